"""Races penchant with its peers, side by side, and writes the table of ratios.

    PENCHANT_DATA=DIR python benchmarks/run.py --peers DIR [--peerbench DIR] [--rounds 5] [--threads 1]
        [--seconds 5] [--minutes 12] [--only WORD ...] [--out docs/results] [--fresh] [--quick]

`--peers` holds the peers' two environments, `peers` and `replay` (made from peerbench's requirements files);
`--peerbench` the scripts that time them. What is not there gives a row that says so. Every side of a race is
a process of its own and they take turns, so that drift hits all of them; see `races.py` for what is raced,
and `costs.py` for how our own costs may grow.
Rows are kept after every round of a race (`runs/bench/`): run again, an interrupted run goes on where it
was, if code, settings and versions are the same. The end of a run is speed.md and speed.json in `--out`, and
pictures in `pictures` beside it. A whole run takes about 45 minutes of a machine that does nothing else.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import made
from machine import commit, machine, versions, without_folders
from picture import draw
from race import HERE, Race, Settings, Side
from races import races
from table import Record, number, page

from penchant.data.atomic import atomic_file

ROOT = HERE.parent
POOLS = ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "NUMBA", "RAYON")


class NotRunError(Exception):
    """Why a side has no value."""


class Runner:
    """Runs sides of races, one process at a time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def python(self, side: Side) -> Path:
        """The Python of a side's environment.

        Raises: NotRunError if it is not there.
        """
        if side.python == "penchant":
            return Path(sys.executable)
        if self.settings.peers is None:
            raise NotRunError("no folder of the peers' environments was given (--peers)")
        python = self.settings.peers / side.python / "bin" / "python"
        if not python.is_file():
            raise NotRunError(f"there is no environment `{side.python}` in the folder given as --peers")
        if self.settings.peerbench is None:
            raise NotRunError("peerbench is not there (--peerbench)")
        return python

    def rows(self, race: Race, side: Side) -> list[Record]:
        """What one process printed.

        Raises: NotRunError if it printed no row that counts.
        """
        python = self.python(side)
        self.prepare(race)
        try:
            with tempfile.TemporaryDirectory() as scratch:
                done = subprocess.run(
                    [str(python), *side.command], env=self.environment(side), cwd=scratch,
                    timeout=race.timeout, capture_output=True, text=True, check=False,
                )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise NotRunError(f"took over {race.timeout:.0f} seconds") from None
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        for row in rows:
            if reason := row.get("skipped") or row.get("error"):
                raise NotRunError(without_folders(str(reason)))
        rows = [row for row in rows if not side.tasks or row["task"] in side.tasks]
        if done.returncode or len(rows) < max(1, len(side.tasks)):
            said = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
            raise NotRunError(f"failed: {without_folders(said)}")
        return rows

    def environment(self, side: Side) -> dict[str, str]:
        """Variables of a side's process: as many threads as asked for, no GPU, peerbench for peers."""
        threads, settings = str(self.settings.threads), self.settings
        found = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        found |= {f"{pool}_NUM_THREADS": threads for pool in POOLS}
        found |= {"POLARS_MAX_THREADS": threads, "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}
        if settings.data:
            found["PENCHANT_DATA"] = str(settings.data)
        if side.python != "penchant" and settings.peerbench:
            found["PYTHONPATH"] = str(settings.peerbench)
        return found

    def prepare(self, race: Race) -> None:
        """Sees to it that a race's data is there; the made log is made at its first use.

        Raises: NotRunError if it is not.
        """
        file = self.settings.file(race.needs) if race.needs else None
        if race.needs == "made" and file and not file.is_file():
            sizes = (2_000, 1_000, 100_000) if self.settings.quick else (20_000, 5_000, 1_000_000)
            print(f"making a log of {sizes[2]:,} events", flush=True)
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(file) as part:
                made.write_atomic_file(made.frame(*sizes), part)
        if race.needs and (file is None or not file.is_file()):
            raise NotRunError("the data is not there (PENCHANT_DATA)")


def records_of(race: Race, side: Side, number: int, rows: list[Record]) -> list[Record]:
    """Rows as records: one for the side, or one a side and round where a process measured all sides."""
    if race.alone:
        values: dict[str, list[float]] = rows[0]["values"]
        return [
            {"race": race.name, "round": i, "side": name, "value": value}
            for name, found in values.items()
            for i, value in enumerate(found, 1)
        ]
    record: Record = {"race": race.name, "round": number, "side": side.name}
    seconds = sum(row["cpu_s"] for row in rows)
    if race.until is None:
        return [{**record, "value": rows[0]["processed"] / seconds, "rows": rows}]
    best = max(quality for _, quality in rows[0]["curve"])
    reached = best >= race.until
    return [{**record, "value": seconds / 60, **({} if reached else {"short": best}), "rows": rows}]


def one_round(runner: Runner, race: Race, number_: int, before: Sequence[Record]) -> list[Record]:
    """A round of a race: every side once, but not who never ran or did not reach the quality asked for."""
    sides = [race.sides[0]] if race.alone else list(race.sides)
    shift = number_ % len(sides)
    found: list[Record] = []
    for side in sides[shift:] + sides[:shift]:
        mine = [r for r in before if (r["race"], r["side"]) == (race.name, side.name)]
        if mine and not any("value" in r and "short" not in r for r in mine):
            continue
        new: list[Record]
        try:
            new = records_of(race, side, number_, runner.rows(race, side))
        except NotRunError as reason:
            new = [{"race": race.name, "round": number_, "side": side.name, "not_run": str(reason)}]
        found += new
        for name in dict.fromkeys(record["side"] for record in new):
            mine = [r for r in new if r["side"] == name]
            values = [r["value"] for r in mine if "value" in r]
            said = f"{number(median(values))} {race.unit}" if values else f"not run: {mine[0]['not_run']}"
            said += f", best {mine[0]['short']:.4f}" if "short" in mine[0] else ""
            print(f"  {number_}  {race.name}: {name}, {said}", flush=True)
    return found


def about_run(settings: Settings, arguments: argparse.Namespace) -> dict[str, Any]:
    """What a reader must know of a run."""
    head, changes = commit()
    environments = {"penchant": versions(Path(sys.executable))}
    for name in ("peers", "replay"):
        python = settings.peers / name / "bin" / "python" if settings.peers else None
        if python and python.is_file():
            environments[name] = versions(python)
    numbers = ("rounds", "threads", "seconds", "minutes")
    chosen = {name: getattr(arguments, name) for name in (*numbers, "quick", "only")}
    said = " ".join(f"--{name} {chosen[name]:g}" for name in numbers)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "penchant": version("penchant"),
        "commit": head,
        "changes": changes,
        "settings": chosen,
        "environments": environments,
        "machine": machine(),
        "command": f"python benchmarks/run.py --peers DIR --peerbench DIR {said}"
        + (" --quick" if arguments.quick else ""),
    }


def kept(file: Path, about: dict[str, Any]) -> tuple[dict[str, Any], list[Record]]:
    """What an interrupted run of the same code, settings and versions has left; else nothing."""
    if not file.is_file():
        return about, []
    first, *records = (json.loads(line) for line in file.read_text().splitlines())
    for name in ("commit", "changes", "settings", "environments"):
        if first[name] != about[name]:
            print(f"starting anew: {name} changed since the interrupted run", flush=True)
            return about, []
    print(f"going on with an interrupted run: {len(records)} rows are there", flush=True)
    return first, records


def save(file: Path, about: dict[str, Any], records: Sequence[Record]) -> None:
    """All rows so far, as JSON lines, whole or not at all."""
    with atomic_file(file) as part:
        part.write_text("".join(f"{json.dumps(line)}\n" for line in (about, *records)))


def standing(out: Path, about: dict[str, Any]) -> tuple[dict[str, Any], list[Record]]:
    """The published run that some races are to be put into; the program ends where those ran otherwise."""
    old = json.loads((out / "speed.json").read_text())

    def alike(run: dict[str, Any]) -> dict[str, Any]:
        return {
            "settings": run["settings"] | {"only": None}, "environments": run["environments"],
            "machine": run["machine"] | {"load": None},
        }  # fmt: skip

    if differs := [name for name, value in alike(old["about"]).items() if value != alike(about)[name]]:
        sys.exit(
            f"{out / 'speed.json'} ran with other {' and '.join(differs)}: race all again, or another --out"
        )
    return old["about"], old["records"]


def put_into(
    before: tuple[dict[str, Any], list[Record]], about: dict[str, Any], records: Sequence[Record]
) -> tuple[dict[str, Any], list[Record]]:
    """The published run with some races in place of its own, and which ran when."""
    old, kept_ = before
    when = {name: about[name] for name in ("date", "commit", "changes")} | {"load": about["machine"]["load"]}
    again = dict.fromkeys((record["race"] for record in records), when)
    return (
        old | {"again": old.get("again", {}) | again},
        [record for record in kept_ if record["race"] not in again] + list(records),
    )


def publish(out: Path, about: dict[str, Any], all_races: Sequence[Race], records: Sequence[Record]) -> None:
    """The table, its pictures, and the rows that they were made from."""
    pictures = draw(out.parent / "pictures", all_races, records)
    with atomic_file(out / "speed.md") as part:
        part.write_text(page(about, all_races, records, pictures))
    lines = ",\n".join(json.dumps(record) for record in records)
    with atomic_file(out / "speed.json") as part:
        part.write_text(f'{{"about": {json.dumps(about)},\n"records": [\n{lines}\n]}}\n')


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    folder = {name: os.environ.get(name) for name in ("PENCHANT_PEERS", "PENCHANT_DATA")}
    beside = ROOT.parent / "shared" / "peerbench"
    parser.add_argument("--peers", type=Path, default=folder["PENCHANT_PEERS"], help="or PENCHANT_PEERS")
    parser.add_argument("--peerbench", type=Path, default=beside if beside.is_dir() else None)
    parser.add_argument("--data", type=Path, default=folder["PENCHANT_DATA"], help="or PENCHANT_DATA")
    parser.add_argument("--rounds", type=int, help="5; with --quick 1")
    parser.add_argument("--threads", type=int, default=1, help="of every process")
    parser.add_argument("--seconds", type=float, help="of training, for each that trains: 5; with --quick 1")
    parser.add_argument("--minutes", type=float, help="of CPU until a quality, at most: 12; with --quick 0.1")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="races with one of these in their name")
    parser.add_argument(
        "--out", type=Path,
        help="docs/results; with --quick or --only runs/bench/out. With --only, a table that is there keeps "
        "its other races, if they ran alike",
    )  # fmt: skip
    parser.add_argument("--fresh", action="store_true", help="do not go on with an interrupted run")
    parser.add_argument("--quick", action="store_true", help="one small round: a try, no result")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (1.0 if options.quick else 5.0)
    options.minutes = options.minutes or (0.1 if options.quick else 12.0)
    part = options.quick or options.only
    options.into = bool(options.only and options.out and (options.out / "speed.json").is_file())
    options.out = options.out or ROOT / ("runs/bench/out" if part else "docs/results")
    return options


def main() -> None:
    """Runs what is left to run, then writes the table."""
    options = parsed()
    work = ROOT / "runs" / "bench"
    work.mkdir(parents=True, exist_ok=True)
    peers, peerbench, data = (
        p and Path(p).resolve() for p in (options.peers, options.peerbench, options.data)
    )
    settings = Settings(
        peers, peerbench, data, work / f"log-{'small' if options.quick else '1m'}", options.rounds,
        options.threads, options.seconds, options.minutes, options.quick,
    )  # fmt: skip
    runner, chosen = Runner(settings), races(settings)
    if options.only:
        names = [race.name for race in chosen]
        chosen = [race for race in chosen if any(word in race.name for word in options.only)]
        if not chosen:
            sys.exit("no race has one of these words in its name. There are:\n  " + "\n  ".join(names))
    about = about_run(settings, options)
    before = standing(options.out, about) if options.into else None
    file = work / ("unfinished-part.jsonl" if options.quick or options.only else "unfinished.jsonl")
    if options.fresh:
        file.unlink(missing_ok=True)
    about, records = kept(file, about)
    try:
        for number_ in range(1, options.rounds + 1):
            for race in chosen:
                done = {r["round"] for r in records if r["race"] == race.name}
                if number_ in done or (race.alone and done) or number_ > (race.rounds or number_):
                    continue
                records += one_round(runner, race, number_, records)
                save(file, about, records)
    except KeyboardInterrupt:
        print(f"interrupted; {len(records)} rows are kept: run the same again to go on")
        sys.exit(130)
    if before and any("not_run" in record for record in records):
        sys.exit("a side did not run, so the table stays as it is: mend that, then run again with --fresh")
    if before:
        about, records = put_into(before, about, records)
        chosen = races(settings)
    publish(options.out, about, chosen, records)
    file.unlink(missing_ok=True)
    print(f"written: {options.out / 'speed.md'}")


if __name__ == "__main__":
    main()
