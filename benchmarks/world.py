"""How fast a world is simulated: rows a second with every effect on.

    python benchmarks/world.py [--rows 1000000 10000000] [--threads 2] [--write] [--once [--rounds 3]]

Both kinds of log, impressions of lists and free choices, part by part as `penchant simulate` makes them; with
`--write` by that command, into Parquet files and with its z-tests of the first 250,000 rows. Wall and CPU
seconds of the whole process and its peak memory. The goal is 10 million rows with every effect on in less
than 60 seconds on two cores. `--once` prints the wall seconds of impressions, the first size `--rounds`
times, as one JSON line beside the 60.
"""

import os

# Before anything imports torch: threads that spin while they wait starve each other on two busy cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import torch

from penchant.cli import main as penchant
from penchant.world import EFFECTS, World, stream, users_for

ITEMS = 20_000
GOAL = 60.0  # wall seconds, for 10 million rows


class Cost(NamedTuple):
    """What a log took."""

    rows: int
    wall: float
    cpu: float


def timed(world: World, folder: Path | None) -> Cost:
    """Simulates a log, into memory part by part or into files."""
    rows = 0
    began = time.perf_counter(), time.process_time()
    if folder is None:
        for part in stream(world):
            rows += part.log.height
    else:
        (folder / "given.json").write_text(world.to_json())
        words = ["simulate", str(folder / "made"), "--world", str(folder / "given.json"), "--quiet"]
        assert penchant(words) == 0
        rows = pq.read_metadata(folder / "made" / "log.parquet").num_rows
    return Cost(rows, time.perf_counter() - began[0], time.process_time() - began[1])


def raced(rows: int, rounds: int) -> dict[str, Any]:
    """The wall seconds of a log with every effect on, beside those that it may take."""
    world = World(items=ITEMS)
    assert world.effects == list(EFFECTS)
    world = replace(world, users=users_for(world, rows))
    walls = [timed(world, None).wall for _ in range(rounds)]
    values = {"penchant": walls, f"{GOAL:g} s": [GOAL] * rounds}
    return {"task": "simulated log", "unit": "wall seconds", "values": values}


def main() -> None:
    """Times both kinds of log."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="into files, by the command line")
    parser.add_argument("--once", action="store_true", help="the first size only, as a JSON line")
    parser.add_argument("--rounds", type=int, default=3, help="with --once")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.once:
        print(json.dumps(raced(options.rows[0], options.rounds)))
        return
    for rows in options.rows:
        for name, world in (
            ("impressions", World(items=ITEMS)),
            ("choices", World(items=ITEMS, exposure=None)),
        ):
            whole = replace(world, users=users_for(world, rows))
            with tempfile.TemporaryDirectory() as folder:
                cost = timed(whole, Path(folder) if options.write else None)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(
                f"{name}, {cost.rows:,} rows, {whole.users:,} users, {options.threads} thread(s): "
                f"wall {cost.wall:.1f} s, CPU {cost.cpu:.1f} s, {cost.rows / cost.cpu:,.0f} rows a CPU "
                f"second, peak {peak:.2f} GiB so far",
                flush=True,
            )


if __name__ == "__main__":
    main()
