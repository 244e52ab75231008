"""Random numbers that depend on (seed, user, tick, stream, place) alone, so that no order of work can move
them.

The numbers are those of splitmix64: user u's key is a random state, and the counter is made of the rest. Only
operations whose result does not depend on the place in a vector are used (exp, log, sin, ndtri, sums,
products; not sigmoid or pow), so a user's log is the same bit for bit whoever is simulated beside them.
"""

import torch
from torch import Generator, Tensor

from penchant.data.loader import keyed_generator


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


_GOLDEN, _FIRST, _SECOND = map(_signed, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_SCALE = 2.0**-53
_HALF = 2.0**-54  # so that no number is 0, whose logarithm or quantile is infinite

CHOICE, OUTCOME, SESSION, POLICY = range(4)  # streams of a step
_STREAM, _TICK = 1 << 24, 1 << 32


def _mix(x: Tensor) -> Tensor:
    """Scrambles int64 numbers (Stafford's mix 13); shifts are made logical by a mask."""
    x = (x >> 30 & 0x3FFFFFFFF).bitwise_xor_(x).mul_(_FIRST)
    x = (x >> 27 & 0x1FFFFFFFFF).bitwise_xor_(x).mul_(_SECOND)
    return (x >> 31 & 0x1FFFFFFFF).bitwise_xor_(x)


def keys(seed: int, stream: str, users: Tensor) -> Tensor:
    """A key a user, [B] int64."""
    start = torch.empty((), dtype=torch.int64).random_(generator=keyed_generator(seed, stream))
    return _mix(_mix(users * _GOLDEN + start.to(users.device)))


def uniform(key: Tensor, counter: Tensor) -> Tensor:
    """Numbers in (0, 1), float64, of the shape that `key` and `counter` broadcast to."""
    bits = _mix(counter * _GOLDEN + key)
    return (bits >> 11 & 0x1FFFFFFFFFFFFF).double().mul_(_SCALE).add_(_HALF)


def step_uniform(
    key: Tensor, tick: Tensor, stream: int, count: int, generator: Generator | None, first: int = 0
) -> Tensor:
    """The numbers [count, B] of a step.

    Args:
        key: [B] keys of the users.
        tick: [B] requests that each had before.
        stream: what they are for.
        count: how many a user.
        generator: draws them instead; None: they follow from the world's seed.
        first: place of the first of them in the stream.
    """
    if generator is not None:
        drawn = torch.rand(count, len(key), dtype=torch.float64, generator=generator, device=generator.device)
        return drawn.to(key.device).add_(_HALF)
    place = torch.arange(first, first + count, device=key.device).unsqueeze(1) + stream * _STREAM
    return uniform(key, tick * _TICK + place)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), the same at every place of a vector."""
    return x.neg().exp_().add_(1).reciprocal_()
