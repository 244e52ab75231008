"""Time to quality: the course that every side runs, each in its own environment: NumPy alone is imported.

SASRec on Beauty as prepared for S3-Rec, in the order of the file: the last item of every user is put away,
the one before is for validation, the rest is learned from. The clock counts CPU seconds of training, all
threads, from the first, cold step on. Every 44 steps, a quarter of an epoch, it stands still and quality is
asked: NDCG@10 on validation, for users drawn once, over all items but those that the user had in training.
The course ends at the goal or at the cap.

Width, dropout, learning rate and negatives below are those that RecTools' authors publish for this file
(github.com/blondered/transformer_benchmark), and so are one block and one head.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, HISTORY, DROPOUT, BATCH, LEARNING_RATE = 64, 50, 0.2, 128, 1e-3
NEGATIVES = 256  # for losses that sample
CUTOFF = 10
EVERY = 44  # steps between questions


@dataclass(frozen=True)
class Beauty:
    """The log without the last item of every user; users and items count from 1, as in the file.

    Attributes:
        user, item: of every event, user by user, oldest first [N].
        last: row of each user's last event, which validation asks for [U].
        items: how many there are, with those that users have only at the very end.
        asked: the users of the questions, ascending.
    """

    user: np.ndarray
    item: np.ndarray
    last: np.ndarray
    items: int
    asked: np.ndarray

    @property
    def learned(self) -> np.ndarray:
        """Rows to learn from."""
        return np.setdiff1d(np.arange(len(self.user)), self.last)

    def ndcg(self, lists: np.ndarray) -> float:
        """NDCG@10 of lists of items [asked, 10], best first; 0 stands for no item."""
        if lists.shape != (len(self.asked), CUTOFF):
            raise ValueError(f"lists {lists.shape}: expected {(len(self.asked), CUTOFF)}")
        hits = lists == self.item[self.last[self.asked - 1]][:, None]
        return float((hits / np.log2(np.arange(CUTOFF) + 2)).sum(1).mean())


def beauty(folder: Path, asked: int) -> Beauty:
    """Reads Beauty.txt, a user a line: the user, then items. `asked` users are drawn, always the same."""
    lines = [
        [int(word) for word in line.split()]
        for line in (folder / "Beauty.txt").read_text(encoding="utf-8").splitlines()
    ]
    if [line[0] for line in lines] != list(range(1, len(lines) + 1)):
        raise ValueError("Beauty.txt: users are not numbered 1, 2, ... line by line")
    lengths = np.array([len(line) - 2 for line in lines])  # less the user and the last item
    return Beauty(
        user=np.repeat(np.arange(1, len(lines) + 1), lengths),
        item=np.concatenate([line[1:-1] for line in lines]),
        last=lengths.cumsum() - 1,
        items=max(max(line[1:]) for line in lines),
        asked=np.sort(np.random.default_rng(0).permutation(len(lines))[:asked]) + 1,
    )


class Course:
    """What a training has cost and what it has reached.

    Args:
        log: what is learned and asked.
        goal: NDCG@10 to reach.
        cap: CPU minutes.
        clock: CPU seconds of this process.
    """

    def __init__(
        self, log: Beauty, goal: float, cap: float, clock: Callable[[], float] = time.process_time
    ) -> None:
        self.log, self.goal, self.cap = log, goal, cap
        self.steps, self.sequences, self.cpu = 0, 0, 0.0
        self.curve: list[tuple[float, float]] = []  # CPU seconds, NDCG@10
        self.over = False
        self._clock, self._began = clock, 0.0

    def start(self) -> None:
        """The clock runs from here."""
        self._began = self._clock()

    def step(self, sequences: int, lists: Callable[[], np.ndarray]) -> bool:
        """After a step: whether the course is over.

        Args:
            sequences: of the batch.
            lists: asks the model for the best 10 items of every asked user, [asked, 10]; called when it is
                time to, off the clock.
        """
        self.steps, self.sequences = self.steps + 1, self.sequences + sequences
        if self.steps % EVERY == 0:
            self.cpu += self._clock() - self._began
            self.curve.append((round(self.cpu, 2), round(self.log.ndcg(lists()), 5)))
            self.over = self.curve[-1][1] >= self.goal or self.cpu >= 60 * self.cap
            self.start()
        return self.over

    def row(self, **more: Any) -> dict[str, Any]:
        """What a side prints at the end."""
        return {
            "task": "time to quality", "goal": self.goal, "cpu_s": round(self.cpu, 2), "steps": self.steps,
            "epochs": round(self.sequences / len(self.log.last), 2), "curve": self.curve, **more,
        }  # fmt: skip


def options(parser: argparse.ArgumentParser) -> None:
    """What every side is told."""
    parser.add_argument("--goal", type=float, default=0.045, help="NDCG@10 on validation")
    parser.add_argument("--cap", type=float, default=12.0, help="CPU minutes of training")
    parser.add_argument("--asked", type=int, default=5000, help="users of the questions")
