"""Sums of what happened less what was expected, and their z."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl
from torch import Tensor

_ENOUGH = 10.0  # events' worth of variance that a row needs, for a sum to be near normal


@dataclass
class _Sum:
    """A sum of what happened less what was expected."""

    observed: float = 0.0
    expected: float = 0.0
    variance: float = 0.0
    count: float = 0.0
    enough: float = 0.0


@dataclass
class Tally:
    """Sums by (effect, statistic)."""

    sums: dict[tuple[str, str], _Sum] = field(default_factory=dict[tuple[str, str], _Sum])

    def add(
        self, effect: str, statistic: str, observed: Tensor, expected: Tensor, variance: Tensor,
        weight: Tensor | None = None,
    ) -> None:  # fmt: skip
        """Adds outcomes of any shape.

        Args:
            effect: what they tell about.
            statistic: what is summed.
            observed: what happened.
            expected: its expectation given all that went before.
            variance: its variance, likewise.
            weight: known before the outcome; its products are summed.
        """
        found = self.sums.setdefault((effect, statistic), _Sum())
        found.count += expected.numel()
        if weight is None:
            found.enough += float(variance.clamp(max=1).sum())
        else:
            found.enough += float(variance.clamp(max=1).mul_(weight != 0).sum())
            observed, expected, variance = weight * observed, weight * expected, weight.square() * variance
        found.observed += float(observed.sum())
        found.expected += float(expected.sum())
        found.variance += float(variance.sum())

    def bernoulli(
        self, effect: str, statistic: str, hit: Tensor, chance: Tensor, weight: Tensor | None = None
    ) -> None:
        """Adds events with known chances."""
        self.add(effect, statistic, hit.double(), chance, chance * (1 - chance), weight)

    def vector(
        self, effect: str, statistics: Sequence[str], observed: Tensor, expected: Tensor, variance: Tensor
    ) -> None:
        """Adds columns [n, S], a statistic each."""
        for statistic, parts in zip(
            statistics, zip(observed.T, expected.T, variance.T, strict=True), strict=True
        ):
            self.add(effect, statistic, *parts)

    def table(self) -> pl.DataFrame:
        """A row a statistic: means over the rows it is of, and z of their difference."""
        rows = [
            (effect, statistic, s.expected / s.count, s.observed / s.count, _z(s))
            for (effect, statistic), s in self.sums.items()
            if s.count and (s.enough >= _ENOUGH or _impossible(s))
        ]
        return pl.DataFrame(
            rows,
            schema={
                "effect": pl.String, "statistic": pl.String, "expected": pl.Float64, "observed": pl.Float64,
                "z": pl.Float64,
            },
            orient="row",
        )  # fmt: skip


def _impossible(found: _Sum) -> bool:
    """What cannot happen: no variance. It is reported always."""
    return found.variance == 0


def _z(found: _Sum) -> float:
    difference = found.observed - found.expected
    if found.variance > 0:
        return difference / math.sqrt(found.variance)
    return 0.0 if abs(difference) < 1e-6 * max(1.0, found.count) else math.copysign(math.inf, difference)
