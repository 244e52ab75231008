"""Batches of 1,024 histories of 50 events (item, time) against a bare `index_select` of the same columns.

    python benchmarks/batches.py [--events 10000000] [--users 100000] [--batch 1024] [--history 50]
        [--rounds 200] [--once full]

The bare version knows the position of every value beforehand and reads two columns: the floor of a loader
that copies values one by one. Ours starts from row numbers, as a source does: whose they are, where each
history begins and ends, then the columns. Goals, for full histories: 1.5 M a second on one thread and 70 % of
the bare rate. Ragged ones stand beside them, packed and padded, and a whole batch of `Pointwise` with four
negatives. Every round reads rows of its own, as training does, and alternates between all versions, so that
drift hits all of them. One thread; CPU seconds, for machines that others use too. `--once full` or `ragged`
races packed ones with the bare version alone and prints their rates as one JSON line, for `run.py`: there a
value is the rate of 20 batches together, as single ones take too short a time to give a range.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial

import made
import torch
from torch import Generator, Tensor

from penchant.data import Histories, Pointwise, Split, ranges

Version = Callable[[], Callable[[], object]]  # prepares a round, and gives what is timed


def times(versions: dict[str, Version], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of every version, round by round."""
    found: dict[str, list[float]] = {name: [] for name in versions}
    for i in range(rounds + 3):
        for name in list(versions)[:: 1 if i % 2 else -1]:
            timed = versions[name]()
            start = time.process_time()
            timed()
            if i > 2:  # the first rounds warm up
                found[name].append(time.process_time() - start)
    return found


def rates_of(seconds: list[float], batch: int, together: int = 20) -> list[float]:
    """Histories a second, of `together` batches at a time."""
    groups = [seconds[i : i + together] for i in range(0, len(seconds), together)]
    return [len(group) * batch / sum(group) for group in groups]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--history", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--once", choices=("full", "ragged"), help="one race, as a JSON line")
    args = parser.parse_args()
    torch.set_num_threads(1)
    log = made.log(args.events, args.users)
    split = Split(log, torch.ones(len(log), dtype=torch.uint8), "user", "all of it is for training")
    place = torch.arange(len(log)) - log.offsets[:-1].index_select(0, log.user)  # events before each one
    generator = Generator().manual_seed(1)

    full = (place >= args.history).nonzero().squeeze(1)
    ragged = (place < 2 * args.history).nonzero().squeeze(1)

    def some(rows: Tensor) -> Tensor:
        return rows[torch.randint(len(rows), (args.batch,), generator=generator)]

    def positions(rows: Tensor) -> Tensor:
        lengths = place.index_select(0, rows).clamp(max=args.history)
        return ranges(rows - lengths, lengths)

    def read(rows: Tensor) -> Histories:
        return split.histories(log.user_of(rows), split.history_end(rows), args.history)

    def bare(pool: Tensor) -> Version:
        def prepare() -> Callable[[], object]:
            index = positions(some(pool))
            return lambda: (log.item.index_select(0, index), log.time.index_select(0, index))

        return prepare

    def packed(pool: Tensor) -> Version:
        return lambda: partial(read, some(pool))

    def padded(pool: Tensor) -> Version:
        return lambda: partial(lambda rows: read(rows).padded(args.history), some(pool))

    for pool in (full, ragged):
        index = positions(rows := some(pool))
        same = torch.equal(read(rows).item, log.item[index]) and torch.equal(read(rows).time, log.time[index])
        assert same, "the answers differ: nothing to time"
    if args.once:
        pool = full if args.once == "full" else ragged
        found = times({"penchant": packed(pool), "bare index_select": bare(pool)}, args.rounds)
        rates = {name: rates_of(seconds, args.batch) for name, seconds in found.items()}
        print(json.dumps({"task": f"batches, {args.once}", "unit": "histories", "values": rates}))
        return
    examples = Pointwise(split, history=args.history, negatives=4)
    found = times(
        {
            "bare, full": bare(full),
            "packed, full": packed(full),
            "padded, full": padded(full),
            "bare, ragged": bare(ragged),
            "packed, ragged": packed(ragged),
            "padded, ragged": padded(ragged),
            "Pointwise": lambda: partial(examples.batch, some(full), Generator().manual_seed(2)),
        },
        args.rounds,
    )
    mean = float(read(some(ragged)).lengths.double().mean())
    print(
        f"{len(log):,} events of {args.users:,} users; batches of {args.batch:,} histories of {args.history} "
        f"(ragged: {mean:.0f} on average), 1 thread"
    )
    show(found, args.batch)


def show(found: dict[str, list[float]], batch: int) -> None:
    """Prints the rates, and their ratios to the bare ones."""
    for name, seconds in found.items():
        rate = batch / statistics.median(seconds) / 1e6
        floor = found["bare, ragged" if "ragged" in name else "bare, full"]
        ratios = sorted(b / s for b, s in zip(floor, seconds, strict=True))
        low, high = ratios[len(ratios) // 10], ratios[-1 - len(ratios) // 10]
        share = f"{statistics.median(ratios):.0%} of bare ({low:.0%} to {high:.0%})"
        print(f"  {name:15} {rate:6.2f} M histories/s   {share if ',' in name else ''}")


if __name__ == "__main__":
    main()
