"""z-tests of a log against the world that is said to have made it."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import torch
from torch import Tensor

from penchant.world._catalogue import centres_of
from penchant.world._scores import Scores
from penchant.world._tally import Tally
from penchant.world.effects import Boredom, Interests, Popularity, SemanticTemporal
from penchant.world.people import people
from penchant.world.retrace import retrace
from penchant.world.simulate import Simulated
from penchant.world.world import DAY, World

LIMIT = 4.0


def check(world: World, made: Simulated) -> pl.DataFrame:
    """Holds a log against a world: each effect's score against its expectation, given the path so far.

    The probabilities are those of `world`, worked out from the log's rows alone, so a world with a wrong
    parameter fails. Each statistic is a sum of martingale differences (an outcome less its probability, times
    what its effect looks at), so z is standard normal where the world is right. What an effect looks at that
    is off in `world` is taken with its default parameters: an effect that is there and should not be is
    found, too.

    Args:
        world: what the log should come from.
        made: the log and, of its truth, what no log shows: where sessions ended, and the gaps drawn.

    Returns: rows (effect, statistic, expected, observed, z). A table is passed if all |z| are below `LIMIT`:
        of right worlds, with some 50 rows a table, 3 in 1,000 fail.
    """
    tally = Tally()
    _check_users(tally, world, made)
    _check_items(tally, world, made)
    scores = Scores(tally, world, made)
    watching = _watching(world)
    other = None if watching is world else retrace(watching, made)
    for moment in retrace(world, made):
        scores.add(moment, moment if other is None else next(other))
    return tally.table()


def _watching(world: World) -> World:
    """The world with every effect that leaves a level, to see what it would be where it is off."""
    defaults: dict[str, Any] = {
        "interests": Interests(count=min(Interests().count, world.categories)),
        "popularity": Popularity(),
        "semantic": SemanticTemporal(),
        "boredom": Boredom(),
    }
    missing = {name: effect for name, effect in defaults.items() if getattr(world, name) is None}
    return world.changed(missing) if missing else world


def _check_users(tally: Tally, world: World, made: Simulated) -> None:
    """Arms, and when people come."""
    table, sessions = made.users, world.sessions
    numbers = _tensor(table["user"])
    share = 0.0 if world.treatment is None else world.treatment.share
    arms = _tensor(table["variant"]).double()
    tally.bernoulli("treatment", "share of users treated", arms, torch.full_like(arms, share))
    mean = people(world, numbers).gap
    own = _tensor(table["gap"]).double().log()
    middle = torch.full_like(own, math.log(sessions.gap) - sessions.activity**2 / 2)
    _normal(tally, "log of a user's mean gap", own, middle, sessions.activity)
    slots = 1 if made.world.exposure is None else made.world.exposure.slots
    truth = made.truth.gather_every(slots)
    ended = _tensor(truth["ended"])
    tally.bernoulli(
        "sessions", "requests that end one", ended, torch.full(ended.shape, 1 / sessions.length).double()
    )
    requests = _tensor(table["requests"])
    each = mean.repeat_interleave(requests)[ended]
    gaps = _tensor(truth["gap"]).double()[ended].log()
    _normal(tally, "log of a gap", gaps, each.log() - sessions.spread**2 / 2, sessions.spread)
    if world.days > math.ceil(sessions.gap) + 1:  # nobody's first session lies beyond the horizon
        seconds = _tensor(made.log["time"].gather_every(slots))[(requests.cumsum(0) - requests)[requests > 0]]
        hour = (seconds - world.start).double() / DAY - sessions.peak / 24
        bend = torch.tensor(sessions.rhythm, dtype=torch.float64)
        first, zero = torch.special.bessel_j1(bend), torch.special.bessel_j0(2 * bend)
        second = 2 * torch.special.bessel_j1(2 * bend) / (2 * bend).clamp(min=1e-12) - zero
        second = torch.where(bend > 0, second, 0.0)  # J_2(2 rhythm)
        expected = first.expand(len(hour))
        variance = ((1 + second) / 2 - first**2).expand(len(hour))
        tally.add("sessions", "cosine of the first hour", torch.cos(2 * math.pi * hour), expected, variance)


def _normal(tally: Tally, statistic: str, values: Tensor, mean: Tensor, deviation: float) -> None:
    """First and second moment of normal numbers."""
    square = torch.full_like(values, deviation**2)
    tally.add("sessions", statistic, values, mean, square)
    tally.add("sessions", f"{statistic}, variance", (values - mean).square(), square, 2 * square.square())


def _check_items(tally: Tally, world: World, made: Simulated) -> None:
    """Content: vectors around their centres, stars around quality."""
    there = "vector" in made.items.columns
    if world.content is None or not there:
        wanted = torch.tensor([float(world.content is not None)])
        tally.add("content", "tables with vectors", torch.tensor([float(there)]), wanted, torch.zeros(1))
        return
    catalogue, noise = world.catalogue, world.content.noise
    vectors = torch.tensor(made.items["vector"].to_list(), dtype=torch.float64)
    centres = centres_of(world.categories, world.seed, world.content)
    if vectors.shape != (world.items, world.content.width):
        tally.add("content", "shape of the vectors", torch.ones(1), torch.zeros(1), torch.zeros(1))
        return
    share = catalogue.share.unsqueeze(1)
    middle = share * centres[catalogue.main] + (1 - share) * centres[catalogue.other]
    square = torch.full_like(vectors, noise**2)
    tally.add("content", "vectors, squared noise", (vectors - middle).square(), square, 2 * square.square())
    centred = vectors - middle
    tally.add("content", "vectors along their centres", (centred * middle).sum(1), torch.zeros(world.items),
              noise**2 * middle.square().sum(1))  # fmt: skip
    stars = _tensor(made.items["stars"]).double()
    one = torch.ones_like(stars)
    tally.add("content", "stars by quality", stars, catalogue.quality, one, catalogue.quality)


def _tensor(column: pl.Series) -> Tensor:
    return torch.from_numpy(column.to_numpy().copy())
