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
        self._level = min(round(rate * _LEVELS), _LEVELS - 1)

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
        kept = words.view(torch.uint8)[:count].view(like.shape) >= self._level
        return kept.to(like.dtype).mul_(_LEVELS / (_LEVELS - self._level))
