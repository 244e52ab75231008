"""Logs of a world: users in blocks, each block stepped until everybody has quit or reached the horizon."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch import Tensor

from penchant.data.events import categorical, items, read_events
from penchant.data.interactions import Interactions
from penchant.errors import ArgumentError
from penchant.world.crowd import Crowd
from penchant.world.policy import LoggingPolicy
from penchant.world.world import World

_ROWS = 1 << 20  # about as many rows in a block
_USERS = 1 << 12  # users in a block of a log, where that is no more than four times as many rows
_FULL = 0.7  # go on with those who are left once they are fewer than this share
REQUESTS = 1_000_000  # a user's at most: request ids are user * REQUESTS + tick


@dataclass(frozen=True, eq=False)
class Simulated:
    """A log and its truth. Rows of `log` and `truth` are aligned, ordered by user and time.

    Attributes:
        world: what it is of.
        log: `user`, `item`, `time` (seconds UTC), `session`, `variant`, `satisfied`; with exposures also
            `click`, `request`, `position`, `propensity`.
        truth: `probability` (of the click, or of the choice), `satisfaction` (its probability), `interest`,
            `recent`, `boredom` (levels of the item's categories just before), `mood` (before), `hazard` (of
            quitting after this request; 0 inside a session), `ended` (whether the session ended), `gap` (days
            to the planned next session, NaN inside one).
        users: `user`, `variant`, `quit` (seconds UTC; null where censored), `censored`, `requests`,
            `sessions`, `change` (day on which the favourites changed; null where they did not), `gap` (mean
            days between sessions), `interests` (weights on day 0).
        items: see `World.item_table`.
    """

    world: World
    log: pl.DataFrame
    truth: pl.DataFrame
    users: pl.DataFrame
    items: pl.DataFrame

    @classmethod
    def of(cls, parts: Sequence[Simulated]) -> Simulated:
        """Parts of one world, in order, as one."""
        log, truth, users = (
            pl.concat([getattr(part, name) for part in parts]) for name in ("log", "truth", "users")
        )
        return cls(parts[0].world, log, truth, users, parts[0].items)

    def first(self, rows: int) -> Simulated:
        """The first users, with about so many rows: no more, unless the first user alone has more."""
        slots = 1 if self.world.exposure is None else self.world.exposure.slots
        ends = self.users["requests"].cum_sum() * slots
        count = max(1, int((ends <= rows).sum()))
        end = int(ends[count - 1])
        return Simulated(
            self.world, self.log.head(end), self.truth.head(end), self.users.head(count), self.items
        )

    def interactions(self) -> Interactions:
        """The log as models take it: clicks are the label where there are exposures; items with their
        content.

        Its columns are what was known when the list was made: `request`, `position`, `propensity` and
        `variant`. A column can be the context of the very row that it stands in, so `satisfied` is left out:
        it is known only after the click, and says that there was one. It is in `log`, beside the truth.
        """
        content = self.world.content is not None
        shown = self.world.exposure is not None
        context = [categorical("request"), "position", "propensity"] if shown else []
        table = items(
            self.items, id="item", title="title", categories={"category": "|"},
            numbers=["born", "stars"] if content else ["born"], vectors=["vector"] if content else (),
        )  # fmt: skip
        return read_events(
            self.log, user="user", item="item", time="time", time_unit="s", label="click" if shown else None,
            context=[*context, categorical("variant")], items=table,
        )  # fmt: skip


def simulate(world: World, *, block: int | None = None) -> Simulated:
    """The whole log of a world in memory.

    Args:
        world: the world; with `exposure` it gives impressions, without it choices.
        block: users at once; the log does not depend on it.

    >>> made = simulate(World(users=5, items=40, categories=4, days=10))
    >>> made.log.height == made.truth.height > 0, made.users.height
    (True, 5)
    """
    return Simulated.of(list(stream(world, block=block)))


def stream(world: World, *, block: int | None = None) -> Iterator[Simulated]:
    """The log of a world in parts of whole users, in order; memory is that of one part.

    Args:
        world: the world.
        block: users at once; by default as many as give some millions of rows: a step of few users costs as
            much as one of a thousand, and few are left where people quit.
    """
    size = block_size(world)
    size = min(4 * size, max(size, _USERS)) if block is None else block
    if size < 1:
        raise ArgumentError("block", block, expected="at least 1 user")
    table = world.item_table()
    for begin in range(0, world.users, size):
        yield _block(world, torch.arange(begin, min(begin + size, world.users)), table)


def block_size(world: World) -> int:
    """Users whose log has about a million rows if nobody quits."""
    sessions = world.sessions
    slots = 1 if world.exposure is None else world.exposure.slots
    each = max(1.0, world.days / sessions.gap) * sessions.length * slots
    return int(min(max(_ROWS / each, 64), 1 << 14))


def users_for(world: World, events: int) -> int:
    """How many users give about so many events, by a look at the first of them.

    Args:
        world: the world, whose own number of users plays no part.
        events: rows of the log.
    """
    if events < 1:
        raise ArgumentError("events", events, expected="at least 1")
    look = min(block_size(world), 512)
    rows = _block(world, torch.arange(look), pl.DataFrame()).log.height
    return max(1, round(events * look / max(rows, 1)))


# -- one block -----------------------------------------------------------------------------------------------


def _block(world: World, users: Tensor, table: pl.DataFrame) -> Simulated:
    """Steps users [U] with consecutive numbers until the last of them has left."""
    everybody = crowd = world.begin(users)
    first = int(users[0])
    gone = torch.full_like(users, -1)  # seconds, where somebody quit
    steps: list[dict[str, Tensor]] = []
    while len(left := crowd.active.nonzero().squeeze(1)):
        if len(left) < _FULL * len(crowd):
            crowd, left = crowd.take(left), torch.arange(len(left))
        now, user = crowd.time, crowd.who.user
        facts = {"tick": crowd.tick, "time": now, "session": crowd.session, "mood": crowd.mood.float()}
        facts |= _request(crowd)
        moved = crowd.advance()
        facts |= {
            "user": user,
            "hazard": moved.hazard.float(),
            "ended": moved.ended,
            "gap": moved.gap.float(),
        }
        if len(left) < len(crowd):
            facts = {name: values.index_select(0, left) for name, values in facts.items()}
        steps.append(facts)
        quits = left[moved.quit[left]]
        gone[user[quits] - first] = now[quits]
    requests = torch.zeros_like(users)
    for facts in steps:
        requests[facts["user"] - first] = facts["tick"] + 1
    if len(requests) and int(requests.max()) > REQUESTS:
        raise ArgumentError(
            "days", world.days, expected=f"at most {REQUESTS:,} requests a user", fix="use fewer days"
        )
    made = _arranged(steps, requests, first)
    log, truth = _tables(world, everybody, made, first)
    people = _people(world, everybody, requests, made.get("session"), gone)
    return Simulated(world, log, truth, people, table)


def _request(crowd: Crowd) -> dict[str, Tensor]:
    """Lets everybody choose, or look at a list; what happened, [B, K] each (K = 1 for a choice)."""
    catalogue, levels = crowd.world.catalogue, crowd.levels()
    if crowd.world.exposure is None:
        chosen = crowd.choose()
        items = chosen.items.unsqueeze(1)
        facts = {
            "probability": chosen.probability.unsqueeze(1), "satisfied": chosen.satisfied.unsqueeze(1),
            "satisfaction": chosen.satisfaction.unsqueeze(1),
        }  # fmt: skip
    else:
        items, propensity = LoggingPolicy(crowd).show()
        seen = crowd.respond(items)
        facts = {
            "probability": seen.probability, "satisfied": seen.satisfied, "satisfaction": seen.satisfaction,
            "click": seen.click, "propensity": propensity,
        }  # fmt: skip
    for name, level in levels._asdict().items():
        facts[name] = catalogue.mix(level, items)
    narrow = {name: v.float() if v.is_floating_point() else v for name, v in facts.items()}
    return {"item": items.int(), **narrow}


def _arranged(steps: list[dict[str, Tensor]], requests: Tensor, first: int) -> dict[str, Tensor]:
    """The steps' columns ordered by user and tick, [R] or [R, K]; the steps are used up.

    Args:
        steps: of each request what happened.
        requests: [U] requests a user.
        first: number of the first user.
    """
    if not steps:
        return {}
    start = requests.cumsum(0) - requests
    place = torch.cat([start[facts["user"] - first] + facts["tick"] for facts in steps])
    found: dict[str, Tensor] = {}
    for name in list(steps[0]):
        flat = torch.cat([facts.pop(name) for facts in steps])
        found[name] = torch.empty_like(flat).index_copy_(0, place, flat)
    return found


def _tables(
    world: World, everybody: Crowd, made: dict[str, Tensor], first: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The log and its truth, a row an item."""
    shown = world.exposure is not None
    if not made:
        return _empty(_log_schema(shown)), _empty(_TRUTH)
    slots = made["item"].shape[1]
    variant = everybody.who.treated[made["user"] - first].to(torch.int8)
    made |= {"variant": variant, "time": made["time"] + world.start}
    made["request"] = made["user"] * REQUESTS + made["tick"]
    made["position"] = torch.arange(slots, dtype=torch.int16).expand(len(variant), slots)

    def frame(schema: dict[str, pl.DataType]) -> pl.DataFrame:
        columns = {name: made[name] for name in schema}
        return pl.DataFrame(
            [
                pl.Series(name, _flat(values, slots)).cast(dtype)
                for (name, values), dtype in zip(columns.items(), schema.values(), strict=True)
            ]
        )

    return frame(_log_schema(shown)), frame(_TRUTH)


def _flat(values: Tensor, slots: int) -> np.ndarray:
    """[R] or [R, K] as [R K]."""
    return (values.reshape(-1) if values.ndim > 1 else values.repeat_interleave(slots)).numpy()


_WHEN: dict[str, pl.DataType] = {
    "user": pl.Int64(), "item": pl.Int32(), "time": pl.Int64(), "session": pl.Int32(),
    "variant": pl.Int8(), "satisfied": pl.Int8(),
}  # fmt: skip
_SHOWN: dict[str, pl.DataType] = {
    "click": pl.Int8(), "request": pl.Int64(), "position": pl.Int16(), "propensity": pl.Float32(),
}  # fmt: skip
_TRUTH: dict[str, pl.DataType] = {
    "probability": pl.Float32(), "satisfaction": pl.Float32(), "interest": pl.Float32(),
    "recent": pl.Float32(), "boredom": pl.Float32(), "mood": pl.Float32(), "hazard": pl.Float32(),
    "ended": pl.Boolean(), "gap": pl.Float32(),
}  # fmt: skip


def _log_schema(shown: bool) -> dict[str, pl.DataType]:  # noqa: FBT001
    return {**_WHEN, **_SHOWN} if shown else _WHEN


def _empty(schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame(schema=schema)


def _people(
    world: World, everybody: Crowd, requests: Tensor, session: Tensor | None, gone: Tensor
) -> pl.DataFrame:
    """The truth about users."""
    who = everybody.who
    sessions = torch.zeros_like(requests)
    if session is not None:
        last = requests.cumsum(0) - 1
        sessions = torch.where(requests > 0, session[last.clamp(min=0)] + 1, 0)
    weights = world.interests_of(who.user, 0.0).float()
    interests = pl.Series("interests", weights.numpy(), dtype=pl.Array(pl.Float32, world.categories))
    quit_at = pl.Series("quit", (gone + world.start).numpy())
    return pl.DataFrame(
        {
            "user": who.user.numpy(),
            "variant": who.treated.to(torch.int8).numpy(),
            "quit": quit_at.set(pl.Series((gone < 0).numpy()), None),
            "censored": (gone < 0).numpy(),
            "requests": requests.numpy(),
            "sessions": sessions.numpy(),
            "change": pl.Series(who.change.numpy()).replace(float("inf"), None),
            "gap": who.gap.numpy(),
            "interests": interests.cast(pl.List(pl.Float32)),
        }
    )
