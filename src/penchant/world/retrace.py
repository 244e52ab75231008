"""A log walked through again: the state of every user before each request, as a world explains it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import torch
from torch import Tensor

from penchant.errors import ArgumentError
from penchant.world.crowd import Crowd
from penchant.world.simulate import Simulated, block_size
from penchant.world.world import World


class Moment:
    """The requests of some users at one step of a walk.

    Attributes:
        crowd: the users [B], before they answer.
        requests: [B] which requests of the log these are, in its order.
        items, click, satisfied: [B, K] what was shown (or chosen), and what came of it.
        ended: [B] bool, whether the session ended.
    """

    def __init__(
        self, crowd: Crowd, requests: Tensor, items: Tensor, click: Tensor, satisfied: Tensor, ended: Tensor
    ) -> None:
        self.crowd, self.requests = crowd, requests
        self.items, self.click, self.satisfied, self.ended = items, click, satisfied, ended
        self.settled = False

    def settle(self) -> Tensor:
        """The users take in what happened; the hazard [B] of quitting where a session ended, else 0."""
        if not self.settled:
            self.crowd.absorb(self.items, self.click, self.satisfied)
            self.settled = True
        return self.crowd.quit_hazard() * self.ended


def retrace(world: World, made: Simulated) -> Iterator[Moment]:
    """Walks through a log as `world` explains it, whoever made it.

    Args:
        world: its parameters say what the states are; it may differ from `made.world`.
        made: the log, and of the truth where sessions ended.

    Raises: ArgumentError if the log is not ordered as `simulate` gives it.
    """
    slots = 1 if made.world.exposure is None else made.world.exposure.slots
    log = _checked(made.log, slots)
    lengths = torch.from_numpy(made.users["requests"].to_numpy().copy())
    users = torch.from_numpy(made.users["user"].to_numpy().copy())
    columns = [_column(log, name, slots) for name in ("item", "click", "satisfied")]
    item, click, satisfied = columns[0].long(), columns[1] > 0, columns[2] > 0
    time = torch.from_numpy(log["time"].gather_every(slots).to_numpy().copy()) - world.start
    ended = torch.from_numpy(made.truth["ended"].gather_every(slots).to_numpy().copy())
    start = lengths.cumsum(0) - lengths
    if int(lengths.sum()) != len(item):
        raise ArgumentError("made.log", len(log), expected=f"{int(lengths.sum()) * slots:,} rows")
    size = block_size(world)
    everybody = torch.arange(len(users))
    for begin in range(0, len(everybody), size):
        chosen = everybody[begin : begin + size]
        chosen = chosen[lengths[chosen] > 0]
        crowd, first, left = world.begin(users[chosen]), start[chosen], lengths[chosen]
        tick = 0
        while len(crowd):
            at = first + tick
            if tick == 0:
                crowd.time = time[at]
            else:
                crowd.move(time[at])
            moment = Moment(crowd, at, item[at], click[at], satisfied[at], ended[at])
            yield moment
            moment.settle()
            tick += 1
            on = (left > tick).nonzero().squeeze(1)
            if len(on) < len(crowd):
                crowd, first, left = crowd.take(on), first[on], left[on]


def replay(world: World, made: Simulated) -> pl.DataFrame:
    """What the probabilities of a log were, worked out again from its rows alone.

    Args:
        world: its parameters decide; it may differ from the world that made the log.
        made: the log, and of the truth where sessions ended.

    Returns: `probability`, `satisfaction`, `hazard` as in `Simulated.truth`, in float64, aligned with the
        log.
    """
    slots = 1 if made.world.exposure is None else made.world.exposure.slots
    size = made.log.height // slots
    found = {
        name: torch.zeros(size, slots, dtype=torch.float64)
        for name in ("probability", "satisfaction", "hazard")
    }
    for moment in retrace(world, made):
        crowd, items, at = moment.crowd, moment.items, moment.requests
        chance = crowd.choice_probability if made.world.exposure is None else crowd.click_probability
        found["probability"][at] = chance(items)
        found["satisfaction"][at] = crowd.satisfaction_probability(items)
        found["hazard"][at] = moment.settle().unsqueeze(1)
    return pl.DataFrame({name: values.reshape(-1).numpy() for name, values in found.items()})


def _checked(log: pl.DataFrame, slots: int) -> pl.DataFrame:
    names = ["user", "item", "time", "satisfied", *(["click", "position"] if slots > 1 else [])]
    missing = [name for name in names if name not in log.columns]
    if missing:
        raise ArgumentError("made.log", log.columns, expected=f"columns {', '.join(missing)}")
    if slots > 1:
        place = log["position"].to_numpy()
        if len(place) % slots or not np.array_equal(place, np.tile(np.arange(slots), len(place) // slots)):
            raise ArgumentError(
                "made.log", "rows", expected=f"lists of {slots} in order of position", fix="keep the order"
            )
    if not log["user"].is_sorted():
        raise ArgumentError("made.log", "rows", expected="users in order", fix="keep the order of `simulate`")
    return log


def _column(log: pl.DataFrame, name: str, slots: int) -> Tensor:
    """A column as [R, K]; ones where the log has none, as every choice is taken."""
    if name not in log.columns:
        return torch.ones(len(log) // slots, slots, dtype=torch.int64)
    return torch.from_numpy(log[name].to_numpy().copy()).view(-1, slots)
