"""Race 1: from the raw file to the first SASRec batch, per CPU second, imports aside.

    python benchmarks/first_batch.py --data FOLDER --threads 1
    python benchmarks/first_batch.py --once FILE

FOLDER holds movielens-100k/ml-100k.inter (by default PENCHANT_DATA); a log of a million events is made, as
Parquet, CSV and RecBole's atomic file, each with four columns of which three are read. `--once` is one run in
a process of its own, as the peers' scripts do it: nothing is warm but the imports. It prints one JSON line;
`run.py` takes its figures from there, in turn with the peers' on the same file.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch

from penchant.data import Batch, Sequences, Source, read_events, split_leave_last

HISTORY, BATCH = 50, 128  # what the peers are asked for too
NAMES = {"user_id": "token", "item_id": "token", "rating": "float", "timestamp": "float"}


@dataclass(frozen=True)
class Race:
    """One run.

    Attributes:
        events: rows of the file.
        wall, cpu: seconds, all threads.
        batch: what came out.
    """

    events: int
    wall: float
    cpu: float
    batch: Batch

    @property
    def rate(self) -> float:
        """Events per CPU second."""
        return self.events / self.cpu

    def row(self) -> dict[str, object]:
        """As the peers' scripts print it."""
        return {
            "peer": "penchant", "task": "raw file to first batch", "processed": self.events, "unit": "events",
            "cpu_s": self.cpu, "wall_s": self.wall, "rate_per_cpu_s": self.rate,
            "batch": [len(self.batch), HISTORY],
        }  # fmt: skip


def first_batch(path: Path) -> Race:
    """Raw file -> log -> leave-last-out split -> windows of 50 -> the first shuffled batch."""
    wall, cpu = time.perf_counter(), time.process_time()
    log = read_events(path, user="user_id", item="item_id", time="timestamp")
    split = split_leave_last(log)
    batch = next(iter(Source(Sequences(split, history=HISTORY), batch_size=BATCH, seed=0, ahead=0)))
    return Race(log.profile.read, time.perf_counter() - wall, time.process_time() - cpu, batch)


def made(users: int = 20_000, items: int = 5_000, events: int = 1_000_000, seed: int = 0) -> pl.DataFrame:
    """A log in order of time: power-law items, log-normal activity, times over a year."""
    rng = np.random.default_rng(seed)
    activity = np.cumsum(rng.lognormal(size=users))
    popularity = np.cumsum(rng.permutation(1 / (np.arange(items) + 10)))
    frame = pl.DataFrame(
        {
            "user_id": np.searchsorted(activity, rng.random(events) * activity[-1]) + 1,
            "item_id": np.searchsorted(popularity, rng.random(events) * popularity[-1]) + 1,
            "rating": rng.integers(1, 6, events, dtype=np.int8),
            "timestamp": 1_600_000_000 + rng.integers(0, 365 * 86_400, events),
        }
    )
    return frame.sort("timestamp", maintain_order=True)


def files(data: Path | None, folder: Path, events: int) -> dict[str, Path]:
    """The files to race on; the made ones are written to `folder`."""
    found = {"ml-100k": data / "movielens-100k" / "ml-100k.inter"} if data else {}
    frame = made(users=events // 50, items=events // 200, events=events)
    name = f"made, {events:,}"
    frame.write_parquet(folder / "log.parquet")
    frame.write_csv(folder / "log.csv")
    typed = {name: f"{name}:{kind}" for name, kind in NAMES.items()}
    frame.rename(typed).write_csv(folder / "log.inter", separator="\t")
    return found | {f"{name}, {kind}": folder / f"log.{kind}" for kind in ("parquet", "csv", "inter")}


def main() -> None:
    """Prints one line a file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    root = os.environ.get("PENCHANT_DATA")
    parser.add_argument("--data", type=Path, default=Path(root) if root else None)
    parser.add_argument("--events", type=int, default=1_000_000, help="of the made log")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of torch; for Polars set POLARS_MAX_THREADS")
    parser.add_argument("--once", type=Path, metavar="FILE", help="one run on this file, as a JSON line")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.once:
        print(json.dumps(first_batch(options.once).row()))
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, path in files(options.data, Path(folder), options.events).items():
            cold = first_batch(path)  # the first call in a process also starts thread pools
            runs = [first_batch(path) for _ in range(options.rounds)]
            rate = statistics.median(run.rate for run in runs)
            wall = statistics.median(run.wall for run in runs)
            print(
                f"{name:<24} first call {cold.rate:>12,.0f} events per CPU s ({cold.cpu * 1e3:,.0f} ms CPU)"
                f", later ones {rate:>12,.0f} ({wall * 1e3:,.0f} ms wall)"
            )


if __name__ == "__main__":
    main()
