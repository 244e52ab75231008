"""A whole training step with a large catalogue against the same step with a small one.

    python benchmarks/step.py [--items 50000 5000000] [--batch 1024] [--negatives 512] [--rounds 9]
        [--threads 2] [--once]

SASRec, sampled softmax, width 64, windows of 50 events: batch x 50 look-ups of items, as many targets, and
the negatives, all uniform over the catalogue (the worst case: in a real log few items make most events, so
their rows come again and stay in cache). A step is zero_grad, loss, backward, clipping and update. Batches
are made beforehand: making them does not depend on the catalogue. Rounds alternate between the catalogues, so
that drift hits both; the ratio is large / small, median and range over rounds; the goal is at most 1.15. CPU
seconds (all threads) stand beside wall time for machines that others use too.

Then the update alone (clipping included) against torch.optim.SparseAdam, on the same gradients. `--once`
leaves that out and prints the CPU milliseconds of every step as one JSON line, for `run.py`.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from learner import Learner
from torch import Generator, Tensor, nn

from penchant.data import Batch, Features, Histories
from penchant.retrieve import SASRec
from penchant.train.optim import RowwiseAdamW, clip_gradients

WIDTH, HISTORY = 64, 50


def batch_of(items: int, size: int, negatives: int, history: int, generator: Generator) -> Batch:
    """Full windows of random items."""

    def draw(count: int) -> Tensor:
        return torch.randint(2, items, (count,), generator=generator)

    count = size * history
    offsets = torch.arange(0, count + 1, history)
    item = draw(count)
    target = item.roll(-1)
    target[offsets[1:] - 1] = draw(size)
    return Batch(
        row=torch.arange(size),
        user=torch.arange(size),
        at=torch.zeros(count, dtype=torch.int64),
        target=target,
        weight=torch.ones(count),
        histories=Histories(offsets, item),
        offsets=offsets,
        extra={"negatives": draw(negatives), "log_q": torch.full((negatives,), -math.log(items))},
    )


class Training:
    """A model that learns, and batches for ever."""

    def __init__(self, items: int, size: int, negatives: int, count: int, *, history: int = HISTORY) -> None:
        generator = Generator().manual_seed(0)
        features = Features(items=items)
        self.learner = Learner(
            SASRec(features, width=WIDTH, history=history, objective="sampled", negatives=negatives)
        )
        self.batches = [batch_of(items, size, negatives, history, generator) for _ in range(count)]
        self.done = 0

    def step(self) -> None:
        """One whole step."""
        self.learner.step(self.batches[self.done % len(self.batches)])
        self.done += 1


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def steps(options: argparse.Namespace) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """(wall, CPU) seconds of a whole step with the small catalogue and with the large one, round by round."""
    small, large = (Training(n, options.batch, options.negatives, options.rounds) for n in options.items)
    for training in (small, large):
        for _ in range(2):
            training.step()
    rounds: list[tuple[tuple[float, float], tuple[float, float]]] = []
    for i in range(options.rounds):
        if i % 2:
            b, a = timed(large.step), timed(small.step)
        else:
            a, b = timed(small.step), timed(large.step)
        rounds.append((a, b))
    return rounds


def show(rounds: list[tuple[tuple[float, float], tuple[float, float]]], options: argparse.Namespace) -> None:
    """Prints the ratio, by both clocks."""
    for kind, name in enumerate(("wall", "CPU")):
        ratios = sorted(large[kind] / small[kind] for small, large in rounds)
        a, b = (statistics.median(pair[i][kind] * 1e3 for pair in rounds) for i in range(2))
        sizes = "{1:,} / {0:,} items".format(*options.items)
        spread = f"{statistics.median(ratios):.2f}x ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"step, {name:4} {sizes}: {spread}, {b:.0f} / {a:.0f} ms")


def clipped(table: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """What `fit` does once gradients are there."""
    clip_gradients(table.parameters(), 1e9)
    optimiser.step()


def updates(options: argparse.Namespace) -> None:
    """The update alone beside SparseAdam's."""
    count = options.batch * HISTORY
    for items in options.items:
        generator = Generator().manual_seed(0)
        tables = [nn.Embedding(items, WIDTH, sparse=True) for _ in range(2)]
        tables[1].load_state_dict(tables[0].state_dict())
        ours, peer = RowwiseAdamW(tables[0].parameters()), torch.optim.SparseAdam(tables[1].parameters())
        seconds: list[list[float]] = [[], []]
        for _ in range(options.rounds + 2):
            index = torch.randint(items, (count,), generator=generator)
            pull = torch.randn(count, WIDTH, generator=generator)
            for which, (table, optimiser) in enumerate(zip(tables, (ours, peer), strict=True)):
                optimiser.zero_grad(set_to_none=True)
                (table(index) * pull).sum().backward()

                if which == 0:
                    seconds[0].append(timed(partial(clipped, table, ours))[1])
                else:
                    seconds[1].append(timed(peer.step)[1])
        apart = (tables[0].weight - tables[1].weight).detach().abs() > 1e-4
        assert apart.double().mean() < 1e-5, (
            "the answers differ"
        )  # eps has another place: tiny gradients differ
        a, b = (statistics.median(s[2:]) for s in seconds)
        print(
            f"update, {items:,} items, {count:,} look-ups: SparseAdam / ours {b / a:.2f}x, "
            f"{b * 1e3:.0f} / {a * 1e3:.0f} ms CPU"
        )


def main() -> None:
    """Times and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--items", type=int, nargs=2, default=[50_000, 5_000_000])
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--negatives", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--once", action="store_true", help="whole steps only, as a JSON line")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.once:
        taken = list(zip(*([cpu * 1e3 for _, cpu in pair] for pair in steps(options)), strict=True))
        values = {f"{n:,} items": taken[i] for i, n in reversed(list(enumerate(options.items)))}
        print(json.dumps({"task": "training step", "unit": "ms a step", "values": values}))
        return
    print(f"{options.threads} threads, torch {torch.__version__}")
    show(steps(options), options)
    updates(options)


if __name__ == "__main__":
    main()
