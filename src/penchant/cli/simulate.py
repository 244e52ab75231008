"""`penchant simulate`: a log of a simulated world, and its truth."""

import argparse
import shlex
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from penchant.cli.console import Screen, program
from penchant.cli.document import parse_value
from penchant.data.atomic import atomic_folder
from penchant.errors import ArgumentError
from penchant.world import EFFECTS, LIMIT, Simulated, World, card, check, stream, users_for

MARKER = "world.json"
_CHECKED = 250_000  # rows that the z-tests look at


def run(options: argparse.Namespace) -> None:
    """Simulates a world and writes everything, whole or not at all."""
    screen = Screen(options)
    world = _world(options)
    with atomic_folder(options.out, markers=(MARKER,)) as folder:
        head, counts = _write(world, folder, screen)
        table = check(world, head)
        checked = f"the first {head.users.height:,} users ({head.log.height:,} rows)"
        (folder / "card.md").write_text(
            card(world, counts=counts, checks=table, checked=checked), encoding="utf-8"
        )
        (folder / MARKER).write_text(world.to_json(), encoding="utf-8")
    _tell(world, options.out, counts, table, checked, screen)


def _world(options: argparse.Namespace) -> World:
    """The world that the arguments describe."""
    try:
        world = World() if options.world is None else World.from_json(options.world.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise ArgumentError("--world", str(options.world), expected=f"a JSON file ({error})") from None
    changes: dict[str, Any] = {
        name: value
        for name in ("users", "items", "categories", "days", "seed")
        if (value := getattr(options, name)) is not None
    }
    changes |= dict.fromkeys(options.without)
    for word in options.set:
        key, sign, value = word.partition("=")
        effect, dot, name = key.strip().partition(".")
        if not (sign and dot and name):
            raise ArgumentError("--set", word, expected="EFFECT.NAME=VALUE, such as boredom.strength=0.5")
        if effect in options.without:
            raise ArgumentError("--set", word, expected=f"an effect that is on: {effect} is left out")
        changes[effect] = {**changes.get(effect, {}), name: parse_value(value)}
    try:
        world = world.changed(changes)
    except ArgumentError as error:  # world.boredom.strenght: of --set, and not of the file
        raise error.renamed(f"--set {error.name}") if "." in error.name else error from None
    return world if options.events is None else replace(world, users=users_for(world, options.events))


def _write(world: World, folder: Path, screen: Screen) -> tuple[Simulated, dict[str, Any]]:
    """Writes the tables part by part; the first rows and what was counted."""
    head: list[Simulated] = []
    totals: dict[str, int] = {"rows": 0, "requests": 0, "clicks": 0, "satisfied": 0, "quit": 0}
    names = ("log", "truth", "users")
    with screen.bar() as bar, _writers(folder, names) as write:
        task = bar.add_task("users", total=world.users)
        for part in stream(world):
            for name in names:
                write(name, getattr(part, name))
            if sum(done.log.height for done in head) < _CHECKED:
                head.append(part)
            totals["rows"] += part.log.height
            totals["requests"] += int(part.users["requests"].sum())
            totals["clicks"] += int(part.log["click"].sum()) if "click" in part.log.columns else 0
            totals["satisfied"] += int(part.log["satisfied"].sum())
            totals["quit"] += part.users.height - int(part.users["censored"].sum())
            bar.advance(task, part.users.height)
    world.item_table().write_parquet(folder / "items.parquet")
    counts: dict[str, Any] = {"users": world.users, **totals}
    if world.exposure is None:
        del counts["clicks"]
    return Simulated.of(head).first(_CHECKED), counts


@contextmanager
def _writers(folder: Path, names: tuple[str, ...]) -> Generator[Callable[[str, pl.DataFrame], None]]:
    """Gives `write(name, frame)`, which adds a frame to FOLDER/NAME.parquet."""
    there: dict[str, pq.ParquetWriter] = {}

    def write(name: str, frame: pl.DataFrame) -> None:
        rows = frame.to_arrow()
        if name not in there:
            there[name] = pq.ParquetWriter(folder / f"{name}.parquet", rows.schema, compression="zstd")
        there[name].write_table(rows)

    try:
        yield write
    finally:
        for writer in there.values():
            writer.close()
    assert set(there) == set(names)


def _tell(
    world: World, out: Path, counts: dict[str, Any], table: pl.DataFrame, checked: str, screen: Screen
) -> None:
    passed = bool((table["z"].abs() < LIMIT).all())
    off = [name for name in EFFECTS if name not in world.effects]
    screen.table([*counts.items(), ("effects left out", ", ".join(off) or "none")], ["simulated", ""])
    by_effect = table.group_by("effect", maintain_order=True).agg(
        pl.len().alias("tests"), pl.col("z").abs().max().alias("largest |z|")
    )
    screen.frame(by_effect, title=f"The log against the truth, {checked}")
    if not passed:
        screen.warn(f"a z-test exceeds {LIMIT:g}; {out}/card.md shows all of them")
    folder = shlex.quote(str(out))
    label = "" if world.exposure is None else " --label click"
    columns = f"--user user --item item --time time{label}"
    screen.say(
        "",
        f"written: {out}/ (card.md tells what was planted)",
        f"next: {program()} profile {folder}/log.parquet {columns}",
    )
    screen.answer({"out": out, **counts, "effects": world.effects, "passed": passed, "checks": table})
