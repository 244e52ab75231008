"""Batches in a seeded order: resumable in mid-epoch, sharded over ranks, made ahead by one thread."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from queue import Full, Queue
from typing import Protocol

import torch
from torch import Generator, Tensor

from penchant.data.batch import Batch
from penchant.errors import ArgumentError

_MASK = (1 << 64) - 1


def keyed_generator(seed: int, stream: str, epoch: int = 0, step: int = 0) -> Generator:
    """A generator that depends on (seed, stream, epoch, step) alone, so that nothing need be remembered.

    Args:
        seed: any integer.
        stream: what the draws are for ("order", "negatives", ...): streams do not touch one another.
        epoch: a counter.
        step: a counter within it.
    """
    key = seed & _MASK
    for value in (*stream.encode(), epoch, step):  # splitmix64 over the parts of the key
        key = (key + value + 0x9E3779B97F4A7C15) & _MASK
        key = ((key ^ (key >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        key = ((key ^ (key >> 27)) * 0x94D049BB133111EB) & _MASK
        key ^= key >> 31
    return Generator().manual_seed(key - (1 << 63))


class Examples(Protocol):
    """Who is asked to learn what: a numbered set of examples that can be made into batches by index."""

    def __len__(self) -> int:
        """How many."""
        ...

    def batch(self, index: Tensor, generator: Generator) -> Batch:
        """Examples `index` [B] as a batch; all that is drawn comes from `generator`."""
        ...


class Source:
    """An endless book of batches: `set_epoch(e)`, then iterate.

    Args:
        examples: what to learn from.
        batch_size: examples a batch, over all ranks.
        seed: order and draws depend on it and on the epoch alone.
        shuffle: whether to shuffle; else examples come in number order.
        ahead: batches made ahead by a thread; 0 for none.

    Batch i of epoch e is the same however one got there, so `state_dict` is (epoch, batches consumed).
    """

    def __init__(
        self, examples: Examples, *, batch_size: int, seed: int = 0, shuffle: bool = True, ahead: int = 2
    ) -> None:
        for name, value, least in (("batch_size", batch_size, 1), ("ahead", ahead, 0)):
            if value < least:
                raise ArgumentError(name, value, expected=f"an integer of at least {least}")
        if not len(examples):
            raise ArgumentError(
                "examples", 0, expected="at least one training example", fix="use a larger log or split"
            )
        self.examples, self.batch_size, self.seed = examples, batch_size, seed
        self.shuffle, self.ahead = shuffle, ahead
        self.epoch, self.consumed = 0, 0
        self.weights: Tensor | None = None
        self._rank, self._ranks = 0, 1
        self._kept: tuple[tuple[int, int], Tensor] | None = None  # the order of the epoch read last

    def shard(self, rank: int, ranks: int) -> "Source":
        """The same source giving each of `ranks` processes its own slice of every batch."""
        if not 0 <= rank < ranks:
            raise ArgumentError("rank", rank, expected=f"a rank in [0, {ranks})")
        self._rank, self._ranks = rank, ranks
        return self

    def __len__(self) -> int:
        """Batches an epoch; the last may be smaller."""
        return -(-len(self.examples) // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch."""
        self.epoch, self.consumed = epoch, 0

    def state_dict(self) -> dict[str, int]:
        """Where the reader is."""
        return {"epoch": self.epoch, "consumed": self.consumed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to where a reader was."""
        self.epoch, self.consumed = state["epoch"], state["consumed"]

    def __iter__(self) -> Iterator[Batch]:
        """The batches from here to the end of the epoch."""
        order = self._order()
        steps = range(self.consumed, len(self))
        made = (self._make(order, step) for step in steps)
        for batch in _ahead(made, self.ahead) if self.ahead else made:
            self.consumed += 1
            yield batch

    def _order(self) -> Tensor | None:
        if not self.shuffle:
            return None
        key = (self.seed, self.epoch)
        if self._kept is None or self._kept[0] != key:
            self._kept = None  # one at a time
            order = torch.randperm(
                len(self.examples), generator=keyed_generator(self.seed, "order", self.epoch)
            )
            self._kept = key, order
        return self._kept[1]

    def _make(self, order: Tensor | None, step: int) -> Batch:
        begin, stop = step * self.batch_size, min((step + 1) * self.batch_size, len(self.examples))
        index = torch.arange(begin, stop) if order is None else order[begin:stop]
        index = index[self._rank :: self._ranks]
        stream = "draws" if self._ranks == 1 else f"draws/{self._rank}"
        batch = self.examples.batch(index, keyed_generator(self.seed, stream, self.epoch, step))
        if self.weights is None:
            return batch
        weight = self.weights.index_select(0, index)
        if batch.offsets is not None:  # one weight a position
            weight = torch.repeat_interleave(weight, batch.offsets.diff())
        return replace(batch, weight=batch.weight * weight)


def _ahead(batches: Iterator[Batch], depth: int) -> Iterator[Batch]:
    """The same batches, made by a thread up to `depth` ahead; an error there is raised here."""
    queue: Queue[Batch | BaseException | None] = Queue(depth)
    stop = threading.Event()
    work = threading.Thread(target=_fill, args=(queue, batches, stop), daemon=True, name="penchant-batches")
    work.start()
    try:
        while (value := queue.get()) is not None:
            if isinstance(value, BaseException):
                raise value
            yield value
    finally:
        stop.set()
        work.join()


def _fill(
    queue: Queue[Batch | BaseException | None], batches: Iterator[Batch], stop: threading.Event
) -> None:
    def put(value: Batch | BaseException | None) -> None:
        while not stop.is_set():
            try:
                return queue.put(value, timeout=0.1)
            except Full:
                continue

    try:
        for batch in batches:
            put(batch)
            if stop.is_set():
                return
        put(None)
    except BaseException as error:  # handed over, not swallowed
        put(error)
