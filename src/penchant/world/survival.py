"""How long users stay: survival curves of each arm and hazard ratios, from the world's own hazards."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from penchant.errors import ArgumentError
from penchant.world.effects import Treatment, check_number
from penchant.world.policy import LoggingPolicy
from penchant.world.simulate import block_size
from penchant.world.world import DAY, World

FRESH = 10**12  # number of the first user that no log holds


class Survival(NamedTuple):
    """The share of users who have not quit.

    Attributes:
        days: [T] since the world began.
        share: [T] in [0, 1].
        error: [T] standard error of `share`, of the users that were simulated.
    """

    days: Tensor
    share: Tensor
    error: Tensor


def survival(world: World, days: Tensor, *, treated: bool, users: int = 4_096) -> Survival:
    """The survival curve of one arm, as if the log were much larger.

    Users live on to the horizon and S(t) is the mean of the product of (1 - hazard) over their sessions that
    ended by t: the draws of quitting are integrated out, and what is left of chance is the users' own paths.
    Both arms are asked about the same users with the same draws, so their difference is much sharper than
    `error` says.

    Args:
        world: the world.
        days: [T] when, in any order.
        treated: which arm.
        users: how many to simulate, at least 2; none of them is in a log of the world.

    Raises:
        ArgumentError: churn is off, a day lies outside the world's, or there are fewer users than 2, of which
            no error follows.
    """
    _churning(world)
    check_number("users", users, 2, whole=True)
    days = torch.as_tensor(days, dtype=torch.float64)
    if days.ndim != 1 or not bool(((days >= 0) & (days <= world.days)).all()):
        raise ArgumentError("days", days.tolist(), expected=f"a list of days from 0 to {world.days}")
    ascending, order = days.sort()
    total = torch.zeros(2, len(days), dtype=torch.float64)
    size = block_size(world)
    for begin in range(0, users, size):
        alive = _alive(
            world, torch.arange(begin, min(begin + size, users)) + FRESH, ascending, treated=treated
        )
        total[:, order] += torch.stack([alive.sum(0), alive.square().sum(0)])
    mean, square = total / users
    return Survival(days, mean, ((square - mean.square()).clamp(min=0) / users).sqrt())


class HazardRatio(NamedTuple):
    """Treated over untreated.

    Attributes:
        direct: of the hazard at the end of a session for two users in the same state: exp(treatment.hazard).
        total: of the cumulated hazards -log S at the horizon, with all that the treatment does on the way.
    """

    direct: float
    total: float


def hazard_ratio(world: World, *, users: int = 4_096) -> HazardRatio:
    """What the treatment does to quitting.

    Args:
        world: the world.
        users: how many to simulate in each arm, at least 2.

    Raises: ArgumentError if churn or treatment is off, or there are fewer users than 2.
    """
    if world.treatment is None:
        raise ArgumentError("treatment", None, expected="a world with a treatment")
    end = torch.tensor([float(world.days)])
    arms = [survival(world, end, treated=arm, users=users) for arm in (True, False)]
    return ratio_of(world.treatment, arms[0], arms[1])


def ratio_of(treatment: Treatment, treated: Survival, untreated: Survival) -> HazardRatio:
    """The ratio that curves of both arms show on their last day.

    Args:
        treatment: the world's.
        treated: one arm's curve.
        untreated: the other's.
    """
    total = treated.share[-1].log() / untreated.share[-1].log()
    return HazardRatio(math.exp(treatment.hazard), float(total))


def _churning(world: World) -> None:
    if world.churn is None:
        raise ArgumentError("churn", None, expected="a world in which users quit", fix="pass churn=Churn()")


def _alive(world: World, users: Tensor, days: Tensor, *, treated: bool) -> Tensor:
    """The chance [U, T] that each user has not quit by each of ascending days."""
    crowd = world.begin(users, treated=treated)
    dead = torch.zeros(
        len(users), len(days) + 1, dtype=torch.float64
    )  # log (1 - hazard) by the day it counts from
    crowd = crowd.take(crowd.active.nonzero().squeeze(1))
    while len(crowd):
        now, place = crowd.time.double() / DAY, crowd.who.user - users[0]
        if world.exposure is None:
            crowd.choose()
        else:
            crowd.respond(LoggingPolicy(crowd).show().items)
        moved = crowd.advance(immortal=True)
        first = torch.searchsorted(days, now)  # the first day asked about that is not before
        dead.index_put_((place, first), torch.log1p(-moved.hazard), accumulate=True)
        left = crowd.active.nonzero().squeeze(1)
        if len(left) < len(crowd):
            crowd = crowd.take(left)
    return dead[:, :-1].cumsum(1).exp()
