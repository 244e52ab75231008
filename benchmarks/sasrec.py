"""SASRec's rates on MovieLens-100k at the sizes of the peers' race: targets learned, users answered.

    PENCHANT_DATA=... python benchmarks/sasrec.py [--threads 1 2] [--rounds 5]
    PENCHANT_DATA=... python benchmarks/sasrec.py --once softmax [--seconds 6] [--threads 1]

Width 64, 2 blocks, 2 heads, history 50, batches of 128 windows, exact softmax over 1,682 items, dropout 0.2.
A training step is zero_grad, loss, backward, clipping and update; batches are made in it too, by index from
the store. Answering is: requests from the split, encoding, top 10 of the catalogue less what the user had,
and recall and NDCG of the lists. Rates are per CPU second (all threads) and per wall second, median and range
over rounds. `--once` is one run in a process of its own, as the peers' scripts do it: nothing is warm but the
imports. It prints one JSON line; `run.py` takes its figures from there, in turn with the peers'.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from learner import Learner

from penchant.data import Split, datasets, split_leave_last
from penchant.evaluation.ranking import ranking_metrics
from penchant.retrieve import SASRec

SIZES: dict[str, Any] = {"width": 64, "depth": 2, "heads": 2, "history": 50, "dropout": 0.2}
TRAININGS: dict[str, dict[str, Any]] = {  # what `--once` can train
    "softmax": {"objective": "softmax"},
    "flat": {"objective": "softmax", "norm": "pre", "ffn_mult": 4},  # the blocks of RecTools' FlatSASRecNet
    "sampled": {"objective": "sampled", "negatives": 128},
    "bce": {"objective": "bce", "negatives": 1},
    "bce-128": {"objective": "bce", "negatives": 128},
}
BATCH = 128  # windows a step
USERS = 256  # users a block of answers


class Rate(NamedTuple):
    """Things done a second, one entry a round."""

    cpu: list[float]
    wall: list[float]

    def __str__(self) -> str:
        return "; ".join(
            f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f}) a {clock} second"
            for clock, rates in (("CPU", self.cpu), ("wall", self.wall))
        )


def rate(work: Callable[[], int], rounds: int) -> Rate:
    """Rates of `work`, which returns how much it has done; one round more is run to warm up."""
    work()
    found = Rate([], [])
    for _ in range(rounds):
        cpu, wall = time.process_time(), time.perf_counter()
        done = work()
        found.cpu.append(done / (time.process_time() - cpu))
        found.wall.append(done / (time.perf_counter() - wall))
    return found


def training(split: Split, kind: str = "softmax") -> Iterator[int]:
    """Trains for ever, a step for each number taken: how many targets it learned."""
    model = SASRec(split.log.features, **SIZES, **TRAININGS[kind])
    model.prepare(split)
    learner = Learner(model)
    source = model.source(split, batch_size=BATCH, seed=0)

    def steps() -> Iterator[int]:
        while True:
            for batch in source:
                learner.step(batch)
                yield int((batch.target > 0).sum())
            source.set_epoch(source.epoch + 1)

    return steps()


def answering(split: Split) -> Callable[[], int]:
    """Answers all users and measures the lists, at every call."""
    model = SASRec(split.log.features, **SIZES, objective="softmax").eval()
    model.prepare(split)
    queries = split.test()

    def work() -> int:
        lists = [
            model.retrieve(queries.requests(begin, stop, exclude_seen=True), 10).item
            for begin, stop in queries.chunks(USERS)
        ]
        ranking_metrics(torch.cat(lists), queries.targets, (10,), metrics=("recall", "ndcg"))
        return len(queries)

    return work


def once(split: Split, what: str, seconds: float) -> dict[str, object]:
    """One run from cold, as the peers' scripts print it."""
    done = 0
    if what == "answering":
        answer = answering(split)
        next(training(split))  # the peers have trained for a step, too, by then
        wall, cpu = time.perf_counter(), time.process_time()
        done = answer()
    else:
        steps = training(split, what)
        wall, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() < wall + seconds:
            done += next(steps)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    task = "SASRec recommend + metrics" if what == "answering" else f"SASRec train, {what}"
    return {
        "peer": "penchant", "task": task, "processed": done, "cpu_s": cpu, "wall_s": wall,
        "unit": "users" if what == "answering" else "targets", "rate_per_cpu_s": done / cpu,
    }  # fmt: skip


def main() -> None:
    """Prints both rates for each number of threads."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--once", choices=[*TRAININGS, "answering"], help="one run of this, as a JSON line")
    parser.add_argument("--seconds", type=float, default=6, help="of training, with --once")
    options = parser.parse_args()
    split = split_leave_last(datasets.movielens_100k(Path(os.environ["PENCHANT_DATA"]) / "movielens-100k"))
    if options.once:
        torch.set_num_threads(options.threads[0])
        print(json.dumps(once(split, options.once, options.seconds)))
        return
    for threads in options.threads:
        torch.set_num_threads(threads)
        learn = partial(lambda steps: sum(islice(steps, 8)), training(split))
        print(f"{threads} thread(s)")
        print(f"  targets learned: {rate(learn, options.rounds)}")
        print(f"  users answered:  {rate(answering(split), 2 * options.rounds)}", flush=True)


if __name__ == "__main__":
    main()
