"""SASRec's rates on MovieLens-100k at the sizes of the peers' race: targets learned, users answered.

    PENCHANT_DATA=... python benchmarks/sasrec.py [--threads 1 2] [--rounds 5]

Width 64, 2 blocks, 2 heads, history 50, batches of 128 windows, exact softmax over 1,682 items, dropout 0.2.
A training step is zero_grad, loss, backward, clipping and update; batches are made in it too, by index from
the store. Answering is: requests from the split, encoding, top 10 of the catalogue less what the user had,
and recall and NDCG of the lists. Rates are per CPU second (all threads) and per wall second, median and range
over rounds. The peers' figures come from runs of their own, in the same minutes: see `run.py`.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from penchant.data import Split, datasets, split_leave_last
from penchant.evaluation.ranking import ranking_metrics
from penchant.retrieve import SASRec
from penchant.train.optim import RowwiseAdamW, clip_gradients, groups

SIZES = {"width": 64, "depth": 2, "heads": 2, "history": 50, "dropout": 0.2}
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


def training(split: Split, rounds: int, *, steps: int = 8) -> Rate:
    """Targets learned a second; a round is `steps` steps."""
    model = SASRec(split.log.features, **SIZES, objective="softmax").train()
    model.prepare(split)
    optimizer = RowwiseAdamW(groups(model, 0.0), lr=1e-3)
    source = model.source(split, batch_size=BATCH, seed=0)
    batches = iter(())

    def work() -> int:
        nonlocal batches
        done = taken = 0
        while taken < steps:
            batch = next(batches, None)
            if batch is None:
                source.set_epoch(source.epoch + 1)
                batches = iter(source)
                continue
            optimizer.zero_grad()
            model.loss(batch).mean.backward()
            clip_gradients(model.parameters(), 5.0)
            optimizer.step()
            done, taken = done + int((batch.target > 0).sum()), taken + 1
        return done

    return rate(work, rounds)


def answering(split: Split, rounds: int) -> Rate:
    """Users answered and measured a second; a round is all users."""
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

    return rate(work, rounds)


def main() -> None:
    """Prints both rates for each number of threads."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    split = split_leave_last(datasets.movielens_100k(Path(os.environ["PENCHANT_DATA"]) / "movielens-100k"))
    for threads in options.threads:
        torch.set_num_threads(threads)
        print(f"{threads} thread(s)")
        print(f"  targets learned: {training(split, options.rounds)}")
        print(f"  users answered:  {answering(split, 2 * options.rounds)}", flush=True)


if __name__ == "__main__":
    main()
