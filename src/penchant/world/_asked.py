"""What callers hand to a world's step API, checked at the door: an index out of range would be another item's
truth, or a crash far from its cause.
"""

from __future__ import annotations

import torch
from torch import Tensor

from penchant.errors import ArgumentError

_WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def check_whole(
    name: str, values: Tensor, shape: tuple[int | None, ...], *, least: int = 0, most: int | None = None
) -> None:
    """Raises ArgumentError where a tensor does not hold integers of this shape and range.

    Args:
        name: what the caller calls it.
        values: the tensor.
        shape: sizes; None for any.
        least: the least value.
        most: the largest; None for any.
    """
    if not isinstance(values, Tensor) or values.dtype not in _WHOLE:
        kind = str(values.dtype) if isinstance(values, Tensor) else type(values).__name__
        raise ArgumentError(name, kind, expected="a tensor of integers")
    _check_shape(name, values, shape)
    if not values.numel():
        return
    low, high = values.aminmax()
    if int(low) < least or (most is not None and int(high) > most):
        wrong = values < least if most is None else (values < least) | (values > most)
        bounds = f"of at least {least:,}" if most is None else f"from {least:,} to {most:,}"
        _refuse(name, values, wrong, f"an integer {bounds}")


def check_flags(name: str, values: Tensor, shape: tuple[int, ...]) -> None:
    """Raises ArgumentError where a tensor is not of booleans of this shape.

    Args:
        name: what the caller calls it.
        values: the tensor.
        shape: its sizes.
    """
    if not isinstance(values, Tensor) or values.dtype != torch.bool:
        kind = str(values.dtype) if isinstance(values, Tensor) else type(values).__name__
        raise ArgumentError(name, kind, expected="a tensor of booleans")
    _check_shape(name, values, shape)


def check_shown(items: Tensor, born: Tensor, day: Tensor) -> None:
    """Raises ArgumentError where lists hold an item twice, or one that is not born yet.

    Args:
        items: lists [B, K] of items that there are.
        born: [V] days of birth.
        day: [B] today.
    """
    early = born[items] > day.unsqueeze(1)
    if bool(early.any()):
        _refuse("items", items, early, "items that are born by the user's day", "see `World.catalogue.born`")
    order = items.sort(1)
    twice = order.values.diff(dim=1) == 0
    if bool(twice.any()):
        again = torch.zeros_like(items, dtype=torch.bool).scatter_(1, order.indices[:, 1:], twice)
        _refuse("items", items, again, "every item once a list")


def _check_shape(name: str, values: Tensor, shape: tuple[int | None, ...]) -> None:
    fits = values.ndim == len(shape) and all(
        want is None or size == want for size, want in zip(values.shape, shape, strict=True)
    )
    if not fits:
        said = ", ".join("any" if size is None else f"{size:,}" for size in shape)
        raise ArgumentError(name, list(values.shape), expected=f"the shape [{said}]")


def _refuse(name: str, values: Tensor, wrong: Tensor, expected: str, fix: str | None = None) -> None:
    """Names the first wrong one by its place."""
    place = wrong.nonzero()[0].tolist()
    raise ArgumentError(f"{name}{place}", int(values[tuple(place)]), expected=expected, fix=fix)
