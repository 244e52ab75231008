"""Dropout whose random numbers do not cost more than the layer that they follow."""

import torch
from torch import Tensor, nn

_LEVELS = 256


class Dropout(nn.Module):
    """Zeroes elements at random while training and scales up the rest.

    On a CPU torch draws one 32-bit number an element, which takes longer than a 64 x 64 product with it. Here
    a 64-bit number serves eight elements, a byte each, so `rate` counts in steps of 1/256 (0.2 is 51/256);
    the scale is that of the rounded rate, so means are exact. Draws come from the device's default generator,
    as everywhere in torch.

    Args:
        rate: share of elements to zero, in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self._level = _level(rate)

    def forward(self, values: Tensor) -> Tensor:
        """`values` of any shape; the same object where there is nothing to drop."""
        if not self.training or not self._level:
            return values
        return values * self.mask(values)

    def mask(self, like: Tensor) -> Tensor:
        """What to multiply values like these by: 0, or 1 / (1 - rate)."""
        count = like.numel()
        words = torch.empty((count + 7) // 8, dtype=torch.int64, device=like.device)
        words.random_(-(2**63), None)  # from the lowest int64 to the highest: all 64 bits vary
        return _scaled(words.view(torch.uint8)[:count].view(like.shape), self._level, like.dtype)


class RowDropout(nn.Module):
    """Dropout of a table's rows: wherever a step reads one, it lacks the same elements.

    As if the whole table went through `Dropout` once a step, at the cost of the rows that are read: whether
    an element stays follows from a hash of its place in the table and of a number drawn for the step.

    Args:
        rate: share of elements to zero, in [0, 1), in steps of 1/256.

    Source: the hash is that of SplitMix64 (Steele, Lea and Flood 2014).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self._level = _level(rate)
        self._drawn: Tensor | None = None

    def draw(self, device: torch.device) -> None:
        """Begin a step: other elements fall out from here on."""
        if self.training and self._level:
            self._drawn = torch.empty((), dtype=torch.int64, device=device).random_(-(2**63), None)

    def forward(self, values: Tensor, rows: Tensor) -> Tensor:
        """`values` [..., D], read from the rows [...] of a table; the same object if nothing is to drop.

        Raises: RuntimeError while training, before any step has begun.
        """
        if not self.training or not self._level:
            return values
        if self._drawn is None:
            raise RuntimeError("no step has begun: call draw(device) before rows are read in training")
        width = values.shape[-1]
        words = (width + 7) // 8  # of 64 bits, a byte an element
        place = rows.long().unsqueeze(-1) * words + torch.arange(words, device=rows.device)
        draws = _hash(place + self._drawn).reshape(-1).view(torch.uint8).view(*rows.shape, 8 * words)
        return values * _scaled(draws[..., :width], self._level, values.dtype)


def _level(rate: float) -> int:
    """Below which of the values of a byte an element falls out."""
    return min(round(rate * _LEVELS), _LEVELS - 1)


def _scaled(draws: Tensor, level: int, dtype: torch.dtype) -> Tensor:
    """0 for bytes below `level`, else the inverse of the share that is not."""
    return (draws >= level).to(dtype).mul_(_LEVELS / (_LEVELS - level))


def _hash(x: Tensor) -> Tensor:
    """SplitMix64's number at each place of its sequence; int64, which wraps around. Changes `x`."""
    x.mul_(-0x61C8864680B583EB)  # 0x9E3779B97F4A7C15, and so on: as signed numbers
    _fold(x, 30).mul_(-0x40A7B892E31B1A47)
    _fold(x, 27).mul_(-0x6B2FB644ECCEEE15)
    return _fold(x, 31)


def _fold(x: Tensor, shift: int) -> Tensor:
    """`x ^ (x >> shift)` of unsigned numbers, in place; the mask takes out the sign that the shift copies."""
    return x.bitwise_xor_((x >> shift).bitwise_and_((1 << (64 - shift)) - 1))
