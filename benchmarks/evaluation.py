"""Evaluation from given vectors against the floor under it: masked matmul and top-k, no metrics.

    python benchmarks/evaluation.py [--quick] [--threads 1 2] [--cutoffs 5 10 20] [--rounds 7] [--once]

Ours does the same matmul and mask, then `penchant.nn.topk` and all ranking metrics at all cutoffs for every
user; the floor calls `torch.topk` and stops there. Rounds alternate, so that drift hits both. The ratio is
floor / ours, median and range over rounds: 1.00 is as fast as if measuring were free; the goal is 0.75. CPU
seconds (all threads) stand beside wall time for machines that others use too. `--once` prints the users per
CPU second of every round as one JSON line, for `run.py`.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from penchant.data.batch import Ragged
from penchant.evaluation.ranking import ranking_metrics
from penchant.nn.topk import topk

CHUNK = 128  # users at once; both sides take the same
CUTOFFS = (5, 10, 20)


class Times(NamedTuple):
    """Seconds of every round."""

    wall: list[float]
    cpu: list[float]


class Case(NamedTuple):
    """Vectors [U, D] and [V, D], items seen (ragged, to be masked), targets (ragged)."""

    users: Tensor
    items: Tensor
    seen: Ragged
    targets: Ragged


def planted(users: int, items: int, width: int, seen: int, targets: int) -> Case:
    """Random vectors and logs in which item frequency falls like 1 / rank."""
    draw, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    popularity = 1 / np.arange(1, items)
    popularity /= popularity.sum()

    def log(mean: int) -> Ragged:
        lengths = 1 + draw.poisson(mean - 1, users)
        values = 1 + draw.choice(items - 1, lengths.sum(), p=popularity)
        return Ragged(torch.from_numpy(values), torch.from_numpy(np.concatenate([[0], lengths.cumsum()])))

    vectors = torch.randn(users, width, generator=generator), torch.randn(items, width, generator=generator)
    return Case(*vectors, log(seen), log(targets))


def best(case: Case, k: int, choose: Callable[[Tensor, int], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Lists [U, k] and their scores: matmul, mask of padding and seen items, `choose`."""
    found: list[tuple[Tensor, Tensor]] = []
    lengths = case.seen.lengths
    for begin in range(0, len(case.users), CHUNK):
        scores = case.users[begin : begin + CHUNK] @ case.items.T
        bounds = case.seen.offsets[[begin, min(begin + CHUNK, len(case.users))]].tolist()
        rows = torch.repeat_interleave(torch.arange(len(scores)), lengths[begin : begin + CHUNK])
        scores[rows, case.seen.values[slice(*bounds)]] = -torch.inf
        scores[:, 0] = -torch.inf
        found.append(choose(scores, k))
    values, lists = zip(*found, strict=True)
    return torch.cat(values), torch.cat(lists)


def race(case: Case, cutoffs: Sequence[int], rounds: int) -> tuple[Times, Times]:
    """Times both sides in turn: ours, and the floor."""
    k = max(cutoffs)

    def floor() -> Tensor:
        return best(case, k, torch.topk)[0]

    def ours() -> Tensor:
        values, lists = best(case, k, topk)
        ranking_metrics(lists, case.targets, cutoffs)
        return values

    torch.testing.assert_close(ours(), floor(), rtol=0, atol=0)  # and the warm-up
    found = {ours: Times([], []), floor: Times([], [])}
    for i in range(rounds):
        for side in (ours, floor) if i % 2 else (floor, ours):
            start = time.perf_counter(), time.process_time()
            side()
            found[side].wall.append(time.perf_counter() - start[0])
            found[side].cpu.append(time.process_time() - start[1])
    return found[ours], found[floor]


def show(case: Case, cutoffs: Sequence[int], ours: Times, floor: Times) -> None:
    """Prints the ratio, by both clocks."""
    print(f"{torch.get_num_threads()} thread(s), cutoffs {'/'.join(map(str, cutoffs))}:")
    for clock, our, bare in (("wall", ours.wall, floor.wall), ("CPU ", ours.cpu, floor.cpu)):
        ratios = sorted(f / o for o, f in zip(our, bare, strict=True))
        ours_us, floor_us = (1e6 * statistics.median(seconds) / len(case.users) for seconds in (our, bare))
        print(
            f"  {clock} {statistics.median(ratios):.2f}x ({ratios[0]:.2f} to {ratios[-1]:.2f}), "
            f"us a user: ours {ours_us:.0f}, floor {floor_us:.0f}"
        )


def main() -> None:
    """Runs the race for each number of threads."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="1,000 users x 5,000 items: seconds")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--cutoffs", type=int, nargs="+", help="default: 5 10 20, then 5 10 20 100")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--once", action="store_true", help="the first case only, as a JSON line")
    options = parser.parse_args()
    users, items = (1_000, 5_000) if options.quick else (10_000, 20_000)
    case = planted(users, items, width=64, seen=50, targets=10)
    if options.once:
        torch.set_num_threads(options.threads[0])
        ours, floor = race(case, options.cutoffs or CUTOFFS, options.rounds)
        rates = {"penchant": [users / s for s in ours.cpu], "bare torch": [users / s for s in floor.cpu]}
        print(json.dumps({"task": "evaluation from given vectors", "unit": "users", "values": rates}))
        return
    print(f"{users:,} users x {items:,} items, D = 64, about 50 seen and 10 targets a user")
    for threads in options.threads:
        torch.set_num_threads(threads)
        for cutoffs in [options.cutoffs] if options.cutoffs else [CUTOFFS, (*CUTOFFS, 100)]:
            show(case, cutoffs, *race(case, cutoffs, options.rounds))


if __name__ == "__main__":
    main()
