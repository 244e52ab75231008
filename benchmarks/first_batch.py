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

import made
import torch

from penchant.data import Batch, Sequences, Source, read_events, split_leave_last

HISTORY, BATCH = 50, 128  # what the peers are asked for too


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        events: rows of the file.
        wall, cpu: seconds, all threads.
        grew: by how many MiB the most memory that the process ever held; None where /proc is not there.
        batch: what came out.
    """

    events: int
    wall: float
    cpu: float
    grew: float | None
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
            "batch": [len(self.batch), HISTORY], "grew_mib": self.grew,
        }  # fmt: skip


def first_batch(path: Path) -> Run:
    """Raw file -> log -> leave-last-out split -> windows of 50 -> the first shuffled batch."""
    peak, wall, cpu = peak_memory(), time.perf_counter(), time.process_time()
    log = read_events(path, user="user_id", item="item_id", time="timestamp")
    split = split_leave_last(log)
    batch = next(iter(Source(Sequences(split, history=HISTORY), batch_size=BATCH, seed=0, ahead=0)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    grew = None if peak is None else peak_memory() - peak
    return Run(log.profile.read, wall, cpu, grew, batch)


def peak_memory() -> float | None:
    """The most memory in MiB that this process ever held. `getrusage` would count its parent's, too."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def files(data: Path | None, folder: Path, events: int) -> dict[str, Path]:
    """The files to race on; the made ones are written to `folder`."""
    found = {"ml-100k": data / "movielens-100k" / "ml-100k.inter"} if data else {}
    log = made.frame(users=events // 50, items=events // 200, events=events)
    log.write_parquet(folder / "log.parquet")
    log.write_csv(folder / "log.csv")
    made.write_atomic_file(log, folder / "log.inter")
    kinds = ("parquet", "csv", "inter")
    return found | {f"made, {events:,}, {kind}": folder / f"log.{kind}" for kind in kinds}


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
