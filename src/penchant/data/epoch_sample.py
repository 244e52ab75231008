"""A look into an epoch: batches of a source, spread over its first epoch, the source left where it stood."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any

import torch

from penchant.data.batch import Batch
from penchant.data.loader import Source, keyed_generator

_BLOCKS = 8  # stretches of an epoch that a sample is made of


def sampled(
    source: Iterable[Batch], sample: int | None, seed: int, *, epoch: int = 0
) -> tuple[Iterator[Batch], bool]:
    """Batches of an epoch of a source, and whether they are all of it.

    Args:
        source: a `Source`, or anything that yields batches.
        sample: how many positions or examples at least, in stretches spread over the epoch; None for all.
        seed: where these stretches begin.
        epoch: of a source that has several (`set_epoch`).

    The source stands where it stood once the batches are read. One that cannot be moved (`load_state_dict`)
    is read through, and every n-th batch is given.
    """
    mover: Any = source
    batches: int | None = len(mover) if hasattr(source, "__len__") else None
    if sample is None or batches is None:
        return _all(mover, epoch), True
    with closing(_all(mover, epoch)) as some:
        first = next(some, None)
    wanted = -(-sample // max(1, len(first.target))) if isinstance(first, Batch) else batches
    if wanted >= batches:
        return _all(mover, epoch), True
    if not hasattr(source, "load_state_dict"):
        step = batches // wanted
        return (batch for number, batch in enumerate(_all(mover, epoch)) if number % step == 0), False
    return _stretches(mover, batches, wanted, seed, epoch), False


def _all(source: Any, epoch: int) -> Generator[Batch]:
    with _kept(source):
        if hasattr(source, "set_epoch"):
            source.set_epoch(epoch)
        yield from source


def _stretches(source: Any, batches: int, wanted: int, seed: int, epoch: int) -> Iterator[Batch]:
    blocks = min(_BLOCKS, wanted)
    length, room = -(-wanted // blocks), batches // blocks
    generator = keyed_generator(seed, "audit")
    with _kept(source):
        for block in range(blocks):
            shift = int(torch.randint(max(1, room - length + 1), (1,), generator=generator))
            source.load_state_dict({"epoch": epoch, "consumed": block * room + shift})
            yield from islice(source, length)


@contextmanager
def _kept(source: Any) -> Generator[None]:
    """Leaves a source where it stood; meanwhile ours makes no batches ahead, which nobody would read."""
    state = source.state_dict() if hasattr(source, "load_state_dict") else None
    ahead = source.ahead if isinstance(source, Source) else 0
    try:
        if isinstance(source, Source):
            source.ahead = 0
        yield
    finally:
        if state is not None:
            source.load_state_dict(state)
        if isinstance(source, Source):
            source.ahead = ahead
