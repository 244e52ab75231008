"""Who the users of a world are: what each was given once, as a function of the seed and the user's number."""

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from penchant.world._draws import keys, uniform
from penchant.world.effects import Interests

if TYPE_CHECKING:
    from penchant.world.world import World

_TAU = 2 * torch.pi


@dataclass(frozen=True, eq=False)
class People:
    """Users [B] of a world with C categories.

    Attributes:
        user: [B] their numbers.
        key: [B] what their draws in the course of time follow from.
        base: [B, C] log-weights b of the interests.
        later: [B, C] b after the change; None where nobody's changes.
        change: [B] day of the change; inf where there is none.
        speed: [B, C] of the waves, radians a day.
        phase: [B, C] of the waves, radians.
        treated: [B] 1.0 in the treatment arm, else 0.0.
        gap: [B] mean days between sessions.
    """

    user: Tensor
    key: Tensor
    base: Tensor
    later: Tensor | None
    change: Tensor
    speed: Tensor
    phase: Tensor
    treated: Tensor
    gap: Tensor

    def take(self, index: Tensor) -> "People":
        """Those at `index` [n]."""
        picked = {
            f.name: value.index_select(0, index)
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), Tensor)
        }
        return replace(self, **picked)


def people(world: "World", users: Tensor) -> People:
    """The users `users` [B] int64, whoever they are: any number of 0 or more is a user of the world."""
    users = users.long()
    effect = world.interests or Interests(count=1, liking=0, spread=0, drift=0, change=0)
    count, categories = len(users), world.categories
    place = torch.arange(categories, device=users.device)
    key = keys(world.seed, "interests", users).unsqueeze(1)
    speed = _TAU / (effect.period * torch.exp((2 * uniform(key, place + 2 * categories) - 1) * _LOG2))
    moment = uniform(keys(world.seed, "change", users), torch.tensor(0))
    when = uniform(keys(world.seed, "change", users), torch.tensor(1)) * world.days
    change = torch.where(moment < effect.change, when, torch.inf)
    own = keys(world.seed, "people", users)
    arm = uniform(own, torch.tensor(0))
    busy = torch.special.ndtri(uniform(own, torch.tensor(1)))
    sessions = world.sessions
    share = 0.0 if world.treatment is None else world.treatment.share
    return People(
        user=users,
        key=keys(world.seed, "steps", users),
        base=_favourites(effect, key, place, count),
        later=_favourites(effect, key, place + 4 * categories, count) if effect.change > 0 else None,
        change=change,
        speed=speed,
        phase=_TAU * uniform(key, place + 3 * categories),
        treated=(arm < share).double(),
        gap=sessions.gap * torch.exp(sessions.activity * busy - sessions.activity**2 / 2),
    )


_LOG2 = 0.6931471805599453


def _favourites(effect: Interests, key: Tensor, place: Tensor, count: int) -> Tensor:
    """B [B, C]."""
    score, noise = uniform(key, place), torch.special.ndtri(uniform(key, place + len(place)))
    best = score.topk(effect.count, dim=1).indices
    liked = torch.zeros(count, len(place), dtype=torch.float64, device=key.device)
    return liked.scatter_(1, best, effect.liking) + effect.spread * noise


def log_interests(world: "World", who: People, at: Tensor) -> Tensor:
    """Eta [B, C] at days `at` [B]; the weights are its softmax. Zeros where interests are off."""
    if world.interests is None:
        return torch.zeros_like(who.base)
    at = at.unsqueeze(1)
    waves = (at * who.speed).add_(who.phase).sin_().mul_(world.interests.drift)
    base = who.base if who.later is None else torch.where(at < who.change.unsqueeze(1), who.base, who.later)
    return waves.add_(base)
