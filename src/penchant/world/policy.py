"""The logging policy: which lists are shown, and how likely each of their slots was."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Generator, Tensor

from penchant.errors import ArgumentError
from penchant.world import _draws as draws
from penchant.world._asked import check_shown
from penchant.world._draws import step_uniform

if TYPE_CHECKING:
    from penchant.world.crowd import Crowd
    from penchant.world.effects import Exposure
    from penchant.world.world import World


class Shown(NamedTuple):
    """Lists and how they came about, [B, K] each.

    Attributes:
        items: all different in a list.
        propensity: the chance of each, given the slots before it.
    """

    items: Tensor
    propensity: Tensor


def exposure_of(world: World) -> Exposure:
    """The world's exposures; ArgumentError where they are off."""
    if world.exposure is None:
        raise ArgumentError(
            "exposure",
            None,
            expected="a world with exposures",
            fix="pass exposure=Exposure(), or use choices",
        )
    return world.exposure


class LoggingPolicy:
    """The policy of `Exposure` for users at this moment; their states are not touched.

    Args:
        crowd: the users [B].

    Raises: ArgumentError where the world has no exposures.
    """

    def __init__(self, crowd: Crowd) -> None:
        self._crowd, self._effect = crowd, exposure_of(crowd.world)
        self._day = crowd.day
        weight = crowd.world.catalogue.mass.index_select(0, self._day)
        if self._effect.skill > 0:
            weight = weight * (self._effect.skill * crowd.levels().interest).exp()
        self._sums = (weight / weight.cumsum(1)[:, -1:]).cumsum(1)  # [B, C]

    @property
    def category_probability(self) -> Tensor:
        """Pi [B, C]."""
        return self._sums.diff(dim=1, prepend=torch.zeros_like(self._sums[:, :1]))

    def probability(self, items: Tensor) -> Tensor:
        """Q [B, K] of items: the chance of each in the first slot; over all items it sums to 1."""
        self._crowd.check(items)
        catalogue, explore = self._crowd.world.catalogue, self._effect.explore
        there = (catalogue.born[items] <= self._day.unsqueeze(1)).double()
        even = there / catalogue.alive[self._day].unsqueeze(1)
        known = catalogue.chance(items, self.category_probability, self._day)
        return explore * even + (1 - explore) * known

    def propensity(self, items: Tensor) -> Tensor:
        """The chance [B, K] of each slot of lists [B, K], given the slots before it.

        Raises: ArgumentError where a list holds an item twice or one that is not born yet.
        """
        self._crowd.check(items)
        check_shown(items, self._crowd.world.catalogue.born, self._day)
        return self._propensity(items)

    def _propensity(self, items: Tensor) -> Tensor:
        q = self.probability(items)
        return q / (1 - (q.cumsum(1) - q))

    def show(self, generator: Generator | None = None) -> Shown:
        """Draws lists: a slot that repeats an earlier one is drawn anew, which is sampling without
        replacement.

        Args:
            generator: draws; None: they follow from the world's seed.
        """
        slots = self._effect.slots
        everybody = torch.arange(len(self._crowd), device=self._day.device)
        items = self._draw(everybody, slots, generator, 0)
        attempt = 0
        rows, place = _repeats(items)
        left = everybody[rows]
        while len(left):
            attempt += 1
            items[left, place] = self._draw(left, 1, generator, 3 * slots + 3 * (attempt - 1))[:, 0]
            rows, place = _repeats(items[left])
            left = left[rows]
        return Shown(items, self._propensity(items))

    def _draw(self, users: Tensor, slots: int, generator: Generator | None, first: int) -> Tensor:
        """Independent draws from q, [n, slots]."""
        crowd, catalogue = self._crowd, self._crowd.world.catalogue
        key, tick = crowd.who.key[users], crowd.tick[users]
        u = step_uniform(key, tick, draws.POLICY, 3 * slots, generator, first)
        how, which, item = (part.T.contiguous() for part in u.view(3, slots, len(users)))
        category = torch.searchsorted(self._sums[users], which).clamp_(max=crowd.world.categories - 1)
        day = self._day[users].unsqueeze(1)
        found = catalogue.in_category(category, day, item)
        return torch.where(how < self._effect.explore, catalogue.any_born(day, item), found)


def _repeats(items: Tensor) -> tuple[Tensor, Tensor]:
    """The rows [n] of lists with an item twice, and the first place [n] that repeats an earlier one."""
    slots = items.shape[1]
    same = items.unsqueeze(2) == items.unsqueeze(1)  # [B, K, K]
    earlier = torch.ones(slots, slots, dtype=torch.bool, device=items.device).tril(-1)
    repeats = (same & earlier).any(2)
    rows = repeats.any(1).nonzero().squeeze(1)
    return rows, repeats[rows].to(torch.uint8).argmax(1)
