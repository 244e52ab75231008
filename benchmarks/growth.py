"""How a cost of ours grows with one size, all others kept.

    python benchmarks/growth.py SUBJECT --sizes 20000 100000 500000 [--rounds 5] [--threads 1]

Prints one JSON line: the cost at each size in each round; `run.py` takes its figures from there. Rounds go
through all sizes, up or down in turn, so that drift hits all of them; a round before them warms up. Subjects:

- reading: CPU seconds from the raw file to the first batch, against events;
- memory: MiB by which the peak of a fresh process grows in that, against events;
- batches: CPU microseconds a history of 50, in batches of 1,024, against the events of a log of users of 100;
- items: CPU milliseconds a training step of SASRec, 512 items sampled of so many;
- window: the same step, 5,000 items, against the length of the windows;
- past: the same with a window of 50, the making of its batch included, against a user's events;
- answers: CPU microseconds for a user's best 10 items, likewise;
- ranking: CPU microseconds to rank items and measure the list, a user, vectors given, against items;
- crowd: the same, against users.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import made
import torch
from first_batch import first_batch
from learner import Learner
from step import HISTORY, WIDTH, Training
from torch import Generator, Tensor

from evaluation import CUTOFFS, best, planted
from penchant.data import Batch, Requests, Source, Split
from penchant.evaluation.ranking import ranking_metrics
from penchant.nn.topk import topk
from penchant.retrieve import SASRec

Cost = Callable[[], float]  # measured once more at every call
WINDOWS = 128  # a training step, but where the window grows
LOG = 1_600_000  # events of the logs whose users have ever more of them


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds, all threads."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def raw_file(events: int, folder: Path) -> Path:
    """A made log of users of 50 events."""
    log = made.frame(users=events // 50, items=events // 200, events=events)
    return made.write_atomic_file(log, folder / f"{events}.inter")


def reading(events: int, folder: Path) -> Cost:
    """From the raw file to the first batch."""
    path = raw_file(events, folder)
    return lambda: first_batch(path).cpu


def memory(events: int, folder: Path) -> Cost:
    """The memory of that, in a process of its own."""
    command = [
        sys.executable, str(Path(__file__).with_name("first_batch.py")),
        "--once", str(raw_file(events, folder)), "--threads", str(torch.get_num_threads()),
    ]  # fmt: skip

    def cost() -> float:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        grew = json.loads(done.stdout)["grew_mib"]
        if grew is None:
            raise OSError("the peak of memory is read in /proc, which is not there")
        return grew

    return cost


def batches(events: int, _: Path) -> Cost:
    """Histories of 50 events, 20 batches at a time."""
    log = made.log(events, events // 100)
    split = Split(log, torch.ones(len(log), dtype=torch.uint8), "user", "all of it is for training")
    place = torch.arange(len(log)) - log.offsets[:-1].index_select(0, log.user)
    full = (place >= HISTORY).nonzero().squeeze(1)
    generator, size, count = Generator().manual_seed(1), 1024, 20

    def cost() -> float:
        rows = full[torch.randint(len(full), (count, size), generator=generator)]
        spent = seconds(
            lambda: [split.histories(log.user_of(r), split.history_end(r), HISTORY) for r in rows]
        )
        return 1e6 * spent / (count * size)

    return cost


def items(count: int, _: Path) -> Cost:
    """A training step with so many items."""
    training = Training(count, WINDOWS, 512, 4)
    return lambda: 1e3 * seconds(lambda: [training.step() for _ in range(4)]) / 4


def window(length: int, _: Path) -> Cost:
    """A training step of windows of this length."""
    training = Training(5_000, WINDOWS, 512, 4, history=length)
    return lambda: 1e3 * seconds(training.step)


def long_log(past: int) -> Split:
    """Users of about so many events; the log is as large whatever they have."""
    log = made.log(LOG, LOG // past, items=20_000)
    part = torch.ones(len(log), dtype=torch.uint8)
    return Split(log, part, "user", "all of it is for training")


def sasrec(split: Split) -> SASRec:
    """The model of these costs."""
    model = SASRec(split.log.features, width=WIDTH, history=HISTORY, objective="sampled", negatives=512)
    model.prepare(split)
    return model


def past(events: int, _: Path) -> Cost:
    """A training step with its batch, where users have so many events."""
    split = long_log(events)
    model = sasrec(split)
    learner = Learner(model)
    source = model.source(split, batch_size=WINDOWS, seed=0)
    source.ahead = 0
    taken = endless(source)
    return lambda: 1e3 * seconds(lambda: [learner.step(next(taken)) for _ in range(4)]) / 4


def endless(source: Source) -> Iterator[Batch]:
    """Epoch after epoch."""
    while True:
        yield from source
        source.set_epoch(source.epoch + 1)


def answers(events: int, _: Path) -> Cost:
    """The best 10 items for 256 users who have so many events, none of them among these."""
    split = long_log(events)
    model, log = sasrec(split).eval(), split.log
    generator = Generator().manual_seed(1)

    def ask(users: Tensor) -> None:
        ends = log.offsets.index_select(0, users + 1)
        histories, had = split.histories(users, ends, HISTORY), split.past_items(users, ends)
        model.retrieve(Requests(users, histories, torch.zeros_like(users), exclude=had), 10)

    def cost() -> float:
        users = torch.randint(2, len(log.offsets) - 1, (256,), generator=generator)
        return 1e6 * seconds(lambda: ask(users)) / len(users)

    return cost


def ranking(count: int, _: Path, users: int = 512) -> Cost:
    """Ranks so many items and measures the lists."""
    case = planted(users, count, width=WIDTH, seen=50, targets=10)

    def work() -> None:
        ranking_metrics(best(case, max(CUTOFFS), topk)[1], case.targets, CUTOFFS)

    return lambda: 1e6 * seconds(work) / users


def crowd(users: int, folder: Path) -> Cost:
    """The same for so many users."""
    return ranking(5_000, folder, users)


SUBJECTS = {
    subject.__name__: subject
    for subject in (reading, memory, batches, items, window, past, answers, ranking, crowd)
}


def main() -> None:
    """Prints the costs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument("--sizes", type=int, nargs="+", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        costs = {size: SUBJECTS[options.subject](size, Path(folder)) for size in options.sizes}
        found: dict[int, list[float]] = {size: [] for size in costs}
        for i in range(options.rounds + 1):
            for size in options.sizes[:: 1 if i % 2 else -1]:
                value = costs[size]()
                if i:
                    found[size].append(value)
    values = {f"{size:,}": costs for size, costs in found.items()}
    print(json.dumps({"task": f"cost: {options.subject}", "values": values}))


if __name__ == "__main__":
    main()
