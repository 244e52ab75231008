"""How evenly whole systems use the catalogue, how differently they serve users, and how sure one can be."""

from collections.abc import Mapping
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from penchant.evaluation.beyond import Alike, Sums, alike, alike_of, coverage_of, exposure, gini_by, gini_of
from penchant.evaluation.result import Estimate, Setting

Floats = NDArray[np.float64]
Estimates = dict[str, dict[str, Estimate]]  # by system, by metric
_METRICS = ("item_coverage", "exposure_gini", "personalisation")
_GROUPS = 200  # left out one after the other: bounds the cost, whatever the number of users


def used(
    lists: Mapping[str, Tensor], users: NDArray[np.int64], recommendable: Tensor, setting: Setting
) -> tuple[Estimates, Estimates]:
    """Item coverage, exposure Gini and personalisation, and the first system's lead over every other one.

    The intervals come from a jackknife, not from the bootstrap. A resample of users holds 63 % of them, some
    twice, and so covers fewer items than all of them do, every time: a percentile interval would lie beside
    its own estimate. Leaving out users repeats nobody. Each of at most 200 groups of users is left out in
    turn, the same ones for all systems, so differences are paired; the variance is that of the figures
    without a group, scaled up by how large it is, which for groups of one size is on average never too small
    (Efron and Stein), and the interval is the normal one. It speaks of other users of the same number:
    coverage grows with how many are asked.

    Args:
        lists: of every system, the items it answered.
        users: whose list each is.
        recommendable: the items that could be answered.
        setting: for its level and seed.

    Shapes: lists [Q, K]; users [Q]; recommendable bool [V].
    Returns: estimates by system and metric, and differences likewise, the first system's left out.
    Source: Efron and Stein 1981, theorem 1; Burnham and Overton 1978 for the jackknife of a number of kinds;
        Busing, Meijer and van der Leeden 1999 for groups of unequal size.
    """
    owner = np.unique(users, return_inverse=True)[1]
    count = int(owner.max()) + 1 if len(owner) else 0
    groups = min(count, _GROUPS)
    place = np.random.default_rng(setting.seed).permutation(count) % max(groups, 1)
    order = torch.from_numpy(np.argsort(place[owner], kind="stable"))
    sizes = np.bincount(place[owner], minlength=groups).tolist()
    whose = torch.from_numpy(owner)[order].split(sizes)
    share = np.bincount(place, minlength=groups) / max(count, 1)  # of the users, by group
    found = {name: _without(shown[order].split(sizes), whose, recommendable) for name, shown in lists.items()}
    first = next(iter(found))

    def estimates(figures: tuple[Floats, Floats], bounds: tuple[float, float]) -> dict[str, Estimate]:
        whole, without = figures
        low, high = _interval(whole, without, share, setting.level)
        low, high = low.clip(*bounds), high.clip(*bounds)
        depth = next(iter(lists.values())).shape[1]
        return {
            f"{metric}@{depth}": Estimate(float(whole[m]), float(low[m]), float(high[m]), len(users))
            for m, metric in enumerate(_METRICS)
        }

    means = {name: estimates(figures, (0.0, 1.0)) for name, figures in found.items()}
    leads = {
        name: estimates((found[first][0] - whole, found[first][1] - without), (-1.0, 1.0))
        for name, (whole, without) in found.items()
        if name != first
    }
    return means, leads


def _without(
    groups: tuple[Tensor, ...], users: tuple[Tensor, ...], recommendable: Tensor
) -> tuple[Floats, Floats]:
    """The three figures of all lists, [3], and of all but each group's, [G, 3]."""
    lists, owners, items = torch.cat(groups), torch.cat(users), len(recommendable)
    left = _Left(exposure(lists, recommendable), alike(lists, owners, items), recommendable)
    figures = [left.without(group, owner) for group, owner in zip(groups, users, strict=True)]
    return np.array(left.whole), np.array(figures)


class _Left:
    """The three figures without some lists, at a cost that grows with these and hardly with the catalogue.

    Args:
        shown: [n] how many lists show each recommendable item.
        likeness: of all lists.
        recommendable: [V] bool.
    """

    def __init__(self, shown: Tensor, likeness: Alike, recommendable: Tensor) -> None:
        self.whole = [coverage_of(shown), gini_of(shown), likeness.personalisation]
        allowed = recommendable.bool().clone()
        allowed[:1] = False  # padding
        self._count, self._total = len(shown), shown.sum()
        self._shown = torch.full(allowed.shape, -1, dtype=torch.int64)  # below 0: never counted
        self._shown[allowed] = shown
        self._often = torch.bincount(shown, minlength=1)  # how many are shown so often
        self._likeness, self._squares = likeness, likeness.mass.square()
        self._mass = torch.zeros_like(likeness.mass)  # empty between two calls, as the next one
        self._off, self._last = torch.zeros_like(self._shown), torch.zeros_like(self._shown)

    def without(self, lists: Tensor, users: Tensor) -> list[float]:
        """The figures of all lists but these, which are all of these users."""
        flat = lists[lists > 0]
        place = torch.arange(len(flat))
        self._last[flat] = place
        items = flat[self._last[flat] == place]  # each once
        self._off.index_add_(0, flat, torch.ones_like(flat))
        counted = items[self._shown[items] >= 0]
        before, off = self._shown[counted], self._off[counted]
        self._off[items] = 0
        size = len(self._often)
        often = self._often - torch.bincount(before, minlength=size)
        often += torch.bincount(before - off, minlength=size)
        return [
            float((self._count - often[0]).double() / self._count),
            gini_by(often, self._total - off.sum()),
            self._apart(items, alike_of(lists, users)),
        ]

    def _apart(self, items: Tensor, group: Sums) -> float:
        """Personalisation without the sums of a group, whose lists hold these items."""
        self._mass.index_add_(0, group.items, group.parts)
        kept = self._squares[items]
        self._squares[items] = (self._likeness.mass[items] - self._mass[items]).square()
        found = self._likeness.personalisation_without(group, float(self._squares.sum()))
        self._squares[items], self._mass[items] = kept, 0.0
        return found


def _interval(whole: Floats, without: Floats, share: Floats, level: float) -> tuple[Floats, Floats]:
    """The jackknife of figures [M] by those without each group [G, M], of a share [G] of the users."""
    groups = len(without)
    if groups < 2:
        return np.full(len(whole), np.nan), np.full(len(whole), np.nan)
    part = share[:, None]
    pseudo = (whole - (1 - part) * without) / part
    centre = groups * whole - ((1 - part) * without).sum(0)
    error = np.sqrt((part / (1 - part) * np.square(pseudo - centre)).mean(0))
    reach = NormalDist().inv_cdf((1 + level) / 2) * error
    return whole - reach, whole + reach
