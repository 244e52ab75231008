"""`penchant recommend`: lists, likenesses and reasons from a saved bundle."""

import argparse
import hashlib
import json
import shutil
from collections.abc import Sequence
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl

from penchant.cli.arguments.shared import SEEN
from penchant.cli.bundle import folder_of
from penchant.cli.console import Screen, plain, write_json
from penchant.data.atomic import atomic_file
from penchant.data.vocabulary import FIRST
from penchant.errors import ArgumentError, PenchantError, StoreError
from penchant.funnel import Funnel, load

AT_ONCE = 512  # users a part file: small enough to lose little, large enough to be fast


def run(options: argparse.Namespace) -> None:
    """Answers what was asked."""
    screen = Screen(options)
    _refuse_clashes(options)
    funnel = load(folder_of(options.bundle), trust=options.trust)
    _tell_strangers(funnel, options, screen)
    if options.item:
        found = funnel.similar(options.item, options.k)
        _tell(found, ["item", "title"] if "title" in found.columns else ["item"], "like", screen)
        screen.answer({"similar": found})
    elif options.explain is not None:
        found = _explained(funnel, options, screen)
        screen.answer({"item": options.explain, "contributions": found})
    elif options.all:
        everyone(funnel, options, screen)
    else:
        _lists(funnel, options, screen)


def _refuse_clashes(options: argparse.Namespace) -> None:
    asked = [f"--{name}" for name in ("user", "history", "all", "item") if getattr(options, name)]
    if options.explain is not None and not (options.user or options.history or options.events):
        raise ArgumentError("--explain", options.explain, expected="--user or --history: whose list is it?")
    if not asked and options.events is None:
        raise PenchantError("for whom is the list?\n  Fix: say --user, --history, --events, --all or --item.")
    if len(asked) > 1:
        raise ArgumentError(asked[0], asked[1], expected="one of --user, --history, --all and --item")
    if options.all and options.out is None:
        raise PenchantError("--all needs --out FILE.parquet.")
    if options.out is not None and options.out.suffix not in _WRITERS:
        raise ArgumentError(
            "--out", str(options.out), expected=f"a file name that ends in {' or '.join(_WRITERS)}"
        )
    if options.all and options.out is not None and options.out.suffix != ".parquet":
        raise ArgumentError("--out", str(options.out), expected="a .parquet file with --all")


# -- some lists --------------------------------------------------------------------------------------------


def _lists(funnel: Funnel, options: argparse.Namespace, screen: Screen) -> None:
    found = funnel.recommend(
        users=options.user,
        histories=None
        if options.history is None
        else [_ids(funnel, text, screen) for text in options.history],
        events=options.events,
        k=options.k,
        **_rules(options),
    )
    for (user,), rows in found.group_by(found.columns[0], maintain_order=True):
        shown = [name for name in ("rank", "item", "title", "score", "reason") if name in rows.columns]
        whose = "this history" if options.history else f"user {user}"
        screen.frame(rows.select(shown), title=f"For {whose}, by {rows['stage'][0]}")
        if len(rows) < options.k:
            screen.warn(f"{len(rows)} of {options.k:,} items: no more may be answered here")
    if not len(found):
        screen.warn("nothing may be answered: every item was seen, denied or not available")
    if options.out is not None:
        _write(found, options.out)
        screen.say(f"written: {options.out}")
    screen.answer({"recommendations": found})


def _explained(funnel: Funnel, options: argparse.Namespace, screen: Screen) -> pl.DataFrame:
    found = funnel.explain(
        options.explain,
        user=None if not options.user else options.user[0],
        history=None if not options.history else _ids(funnel, options.history[0], screen),
        events=options.events,
        at=_moment(options.at),
    )
    if not len(found):
        screen.warn("no history: nothing there speaks for or against an item")
    else:
        shown = [name for name in ("item", "title", "value") if name in found.columns]
        about = f"{found['kind'][0]}, by {found['stage'][0]}; below 0: against"
        catalogue = funnel.data.catalogue
        (name,) = catalogue.titles(catalogue.vocabulary.index([options.explain]))
        title = f"What speaks for {name} ({about})"
        screen.frame(found.select(shown).head(options.k), title=title)
    return found


def _tell(found: pl.DataFrame, by: Sequence[str], words: str, screen: Screen) -> None:
    for key, rows in found.group_by(by, maintain_order=True):
        shown = [name for name in ("rank", "similar", "similar_title", "score") if name in rows.columns]
        screen.frame(rows.select(shown), title=f"{words.capitalize()} {key[-1]}, by {rows['stage'][0]}")


def _rules(options: argparse.Namespace) -> dict[str, Any]:
    """What a request asks beside people and length, as `Funnel.recommend` takes it."""
    return {
        "at": _moment(options.at),
        "deny": [word for text in options.deny for word in _words(text)],
        "available": None if options.available is None else _available(options.available),
        "pinned": _pins(options.pin),
        "quota": _quota(options.quota),
        "because": options.because,
        "exclude_seen": SEEN[options.seen],
    }


def _available(file: Path) -> list[str]:
    ids = [word for line in file.read_text(encoding="utf-8").splitlines() if (word := line.strip())]
    if not ids:
        raise ArgumentError("--available", str(file), expected="one item id a line, and at least one")
    return ids


def _tell_strangers(funnel: Funnel, options: argparse.Namespace, screen: Screen) -> None:
    """Says which ids of --deny and --available are not in the log: nothing follows from them."""
    given = {"--deny": [word for text in options.deny for word in _words(text)]}
    given["--available"] = [] if options.available is None else _available(options.available)
    for flag, ids in given.items():
        if strangers := _strangers(funnel, ids):
            shown = ", ".join(strangers[:5]) + (", ..." if len(strangers) > 5 else "")
            screen.warn(f"{flag}: {len(strangers):,} of {len(ids):,} ids are not in the log: {shown}")


def _strangers(funnel: Funnel, ids: Sequence[str]) -> list[str]:
    """The item ids that are not in the log."""
    known = funnel.data.catalogue.vocabulary.index(ids) if ids else []
    return [word for word, index in zip(ids, known, strict=True) if index < FIRST]


def _pins(given: Sequence[str]) -> dict[str, int]:
    """Places by item; who names none gets the first that is free."""
    pins: dict[str, int | None] = {}
    for text in given:
        item, at, place = text.rpartition("@")
        if not (at and place.isdecimal()):
            item, place = text, ""
        item = item.strip()
        if not item or item in pins:
            raise ArgumentError("--pin", text, expected="ID or ID@PLACE, every item once")
        pins[item] = int(place) if place else None
    free = (place for place in count(1) if place not in pins.values())
    return {item: next(free) if place is None else place for item, place in pins.items()}


def _quota(given: Sequence[str]) -> dict[str, dict[str | None, int]]:
    """Numbers by value by column; None is every value that has none of its own."""
    quota: dict[str, dict[str | None, int]] = {}
    for text in given:
        name, _, most = text.rpartition("=")
        column, of_one, value = name.partition(":")
        if not column or bool(of_one) != bool(value) or not most.strip().isdecimal():
            raise ArgumentError("--quota", text, expected="COLUMN=N or COLUMN:VALUE=N, such as genres=3")
        quota.setdefault(column.strip(), {})[value.strip() or None] = int(most)
    return quota


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _ids(funnel: Funnel, text: str, screen: Screen) -> list[str]:
    """Item ids of `--history`; those that the log does not know are told."""
    ids = _words(text)
    if strangers := _strangers(funnel, ids):
        screen.warn(f"not in the log, so nothing is known of: {', '.join(strangers)}")
    return ids


def _moment(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentError(
            "--at", text, expected="a date or time such as 2024-05-31 or 2024-05-31T18:00"
        ) from None


_WRITERS = {
    ".parquet": pl.DataFrame.write_parquet,
    ".csv": pl.DataFrame.write_csv,
    ".ndjson": pl.DataFrame.write_ndjson,
}


def _write(frame: pl.DataFrame, path: Path) -> None:
    with atomic_file(path) as fresh:
        _WRITERS[path.suffix](frame, fresh)


# -- everyone ----------------------------------------------------------------------------------------------


def everyone(funnel: Funnel, options: argparse.Namespace, screen: Screen) -> None:
    """Writes the lists of all users; a run that was killed goes on behind its last whole part file."""
    out: Path = options.out
    rules = _rules(options)
    people = funnel.data.users.vocabulary.all_ids
    parts = out.with_name(f".{out.name}.parts")
    _open_parts(parts, _run_of(options, rules, len(people)), screen)
    width = len(str(len(people)))
    files = {begin: parts / f"{begin:0{width}}.parquet" for begin in range(0, len(people), AT_ONCE)}
    there = [begin for begin, file in files.items() if file.exists()]
    if there:
        screen.say(
            f"going on: {min(len(there) * AT_ONCE, len(people)):,} of {len(people):,} users were done before"
        )
    with screen.bar() as bar:
        task = bar.add_task("users", total=len(people), completed=min(len(there) * AT_ONCE, len(people)))
        for begin, file in files.items():
            if begin not in there:
                chunk = people[begin : begin + AT_ONCE]
                _write(funnel.recommend(users=chunk, k=options.k, **rules), file)
                bar.advance(task, len(chunk))
    with atomic_file(out) as fresh:
        pl.scan_parquet(list(files.values())).sink_parquet(fresh)
    shutil.rmtree(parts)
    rows = pl.scan_parquet(out).select(pl.len()).collect().item()
    screen.say(f"written: {out} ({rows:,} rows, {len(people):,} users)")
    screen.answer({"out": out, "rows": rows, "users": len(people)})


def _run_of(options: argparse.Namespace, rules: dict[str, Any], people: int) -> dict[str, Any]:
    """What the lists depend on: parts of another run must not be taken up."""
    bundle = folder_of(options.bundle)
    digest = hashlib.sha256((bundle / "bundle.json").read_bytes())
    for file in sorted((bundle / "weights").iterdir()):
        digest.update(file.read_bytes())
    return plain({"bundle": digest.hexdigest(), "k": options.k, "users": people, "at_once": AT_ONCE, **rules})


def _open_parts(folder: Path, run: dict[str, Any], screen: Screen) -> None:
    """The folder of part files, emptied where it belongs to another run."""
    note = folder / "run.json"
    if folder.exists():
        try:
            same = json.loads(note.read_text(encoding="utf-8")) == run
        except (OSError, ValueError):
            same = False
        if not same:
            screen.say(f"{folder} holds parts of another bundle or other rules: starting anew")
            shutil.rmtree(folder)
    if not folder.parent.is_dir():
        raise StoreError(f"{folder.parent}: no such folder.")
    write_json(note, run)
