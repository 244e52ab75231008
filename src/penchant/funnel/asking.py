"""From ids, lists and tables to `Requests`."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import cached_property
from math import nan
from typing import TypeAlias

import numpy as np
import polars as pl
import torch
from polars.exceptions import PolarsError
from torch import Tensor

from penchant.data.batch import Histories, Requests, offsets_of
from penchant.data.checks import Findings, raise_problems
from penchant.data.columns import ids
from penchant.data.interactions import Interactions
from penchant.data.scan import Source, open_table
from penchant.data.times import understand
from penchant.data.vocabulary import UNKNOWN
from penchant.errors import ArgumentError, nearest
from penchant.funnel.arguments import index_of, several

Moment: TypeAlias = date | str | float  # a datetime is a date, a whole number passes for a float

_logger = logging.getLogger("penchant.funnel")


@dataclass(frozen=True, eq=False)
class Asked:
    """Requests, and what to call those who ask.

    Attributes:
        names: one a request: the "user", or the place of an anonymous "history" among those asked with.
        known: [B] bool, whether the log knows the user (anonymous histories count as known).
        strangers: [B] items of the history that the log does not know, which are left out of it.
        requests: the requests.
    """

    names: pl.Series
    known: np.ndarray
    strangers: np.ndarray
    requests: Requests

    @cached_property
    def empty(self) -> np.ndarray:
        """[B] bool, whether nothing is known of a history."""
        return (self.requests.histories.lengths == 0).numpy()


class Asker:
    """Builds requests from the snapshot of a log."""

    def __init__(self, log: Interactions) -> None:
        self.log = log
        self._last = int(log.time.max()) if len(log) else 0

    @cached_property
    def _first(self) -> int | None:
        """The log's first second."""
        return int(self.log.time.min()) if len(self.log) else None

    def item(self, item: object) -> int:
        """The index of an item id; ArgumentError where it is unknown."""
        return index_of("item", item, self.log.catalogue.vocabulary, expected="an item id of the log")

    def ask(
        self,
        users: Iterable[object] | None,
        histories: Iterable[Iterable[object]] | None,
        events: Source | None,
        *,
        at: Moment | None,
        exclude_seen: bool | None,
    ) -> Asked:
        """See `Funnel.recommend`."""
        moment = self._moment(at)
        given = [
            name
            for name, value in (("users", users), ("histories", histories), ("events", events))
            if value is not None
        ]
        if not given or ("histories" in given and len(given) > 1):
            raise ArgumentError(
                "users", users, expected="users=, histories= or events= (users= and events= go together)"
            )
        if histories is not None:
            packed = self._anonymous(histories, moment)
            names = pl.Series("history", range(len(packed)), dtype=pl.Int64)
            index, known = np.full(len(packed), UNKNOWN), np.ones(len(packed), bool)
        else:
            names, fresh = self._named(users, events, moment)
            index = self.log.users.vocabulary.index(names).copy()  # it may be a view that cannot be written
            packed = self._snapshot(torch.from_numpy(index), moment)
            known = (index != UNKNOWN) | (packed.lengths.numpy() > 0)
            if fresh is not None:
                packed = self._extended(packed, names, fresh, moment)
        packed, strangers = _without_strangers(packed)
        known |= (packed.lengths.numpy() > 0) | (strangers > 0)
        when = torch.full((len(index),), self._last + 1 if moment is None else moment)
        if moment is None and packed.time is not None:  # who was active since is asked just then
            when = when.scatter_reduce(0, packed.items.owner, packed.time, "amax")
        if not len(names):
            names = names.cast(pl.Int64 if histories is not None else self.log.users.vocabulary.dtype)
        if exclude_seen is None:
            exclude_seen = not self.log.profile.repeating
        requests = Requests(
            torch.from_numpy(index.astype(np.int64)), packed, when,
            self._unsaid(len(index)), exclude=packed.items if exclude_seen else None,
        )  # fmt: skip
        return Asked(names, known, strangers, requests)

    def _moment(self, at: Moment | None) -> int | None:
        """The second of asking."""
        if at is None:
            return None
        if not self.log.has_time:
            raise ArgumentError("at", at, expected="None, as the log has no times")
        found = Findings(1, options=False)
        try:
            given = pl.Series("at", [at.item() if isinstance(at, np.generic) else at])
            times = None if given.dtype == pl.Int128 else understand(given, found, joins=self._first)
        except (TypeError, ValueError, OverflowError, PolarsError):
            times = None
        if times is None or found.problems:
            why = f" (it {found.problems[0].what})" if found.problems else ""
            raise ArgumentError(
                "at", at, expected=f"a datetime, a date, ISO 8601 text, or s, ms, us or ns since 1970{why}"
            )
        return int(times.seconds[0])

    def _unsaid(self, count: int) -> dict[str, Tensor]:
        """The log's columns where nobody gave them: unknown category, missing number."""
        return {
            name: torch.full((count,), UNKNOWN if name in self.log.column_labels else nan).to(column.dtype)
            for name, column in self.log.columns.items()
        }

    def _snapshot(self, users: Tensor, moment: int | None) -> Histories:
        """What the log holds of `users` before the moment of asking: nothing later may speak."""
        whole = self.log.histories(self.log.offsets[users], self.log.offsets[users + 1])
        if moment is None or moment > self._last:
            return whole
        assert whole.time is not None
        past = whole.time < moment
        lengths = torch.zeros(len(whole), dtype=torch.int64).index_add_(0, whole.items.owner, past.long())
        return whole.take(past.nonzero().squeeze(1), offsets_of(lengths))

    def _named(
        self, users: Iterable[object] | None, events: Source | None, moment: int | None
    ) -> tuple[pl.Series, pl.DataFrame | None]:
        asked = None if users is None else several("users", users).alias("user")
        if events is None:
            assert asked is not None
            return asked, None
        frame = self._frame(events, moment)
        if asked is not None:
            others = frame["user"].cast(pl.String).unique().to_list()
            if odd := sorted(set(others) - set(asked.cast(pl.String).to_list())):
                raise ArgumentError(
                    "events", odd[:5], expected="events of the users asked about",
                    fix="name their users in users=, or leave users= out to ask about all in the table",
                )  # fmt: skip
            return asked, frame
        return frame["user"].unique(maintain_order=True), frame

    def _frame(self, events: Source, moment: int | None) -> pl.DataFrame:
        """The columns user, item and, where they are given and the log has them, event, second and tick."""
        table = open_table(events, argument="events")
        wanted = [
            "user",
            "item",
            *(["time"] if self.log.has_time else []),
            *(["event"] if self.log.events is not None else []),
        ]
        loaded = table.load([name for name in wanted if name in table.columns])
        given, found = loaded.frame, Findings.of(loaded, options=False)
        columns: dict[str, pl.Series | np.ndarray | None] = {}
        for name in ("user", "item"):
            if name not in table.columns:
                found.missing(name, table.columns, role=f"the {name} of each event")
            elif name in given.columns:
                columns[name] = ids(given[name], found)
        _tell_unread(table.columns, wanted, found)
        if "event" in given.columns:
            columns["event"] = self._types(given["event"], found)
        if "time" in given.columns:
            times = understand(given["time"], found, joins=self._first)
            if times is not None:
                columns |= {"second": times.seconds, "tick": times.ticks}
                if moment is not None:
                    found.of_rows(
                        "time", "lies after the time of asking", times.seconds > moment, given["time"],
                        expected=f"times up to at={moment} (in s)", fix="leave these rows out, or ask later",
                    )  # fmt: skip
        raise_problems(f"events ({table.name})", [found], on_bad="raise")
        return pl.DataFrame(columns)

    def _types(self, column: pl.Series, found: Findings) -> pl.Series:
        """Event types; one that the log does not know is bad."""
        assert self.log.events is not None
        column = column.cast(pl.String) if column.dtype == pl.Boolean else column
        odd = (self.log.events.index(column) == UNKNOWN) & column.is_not_null().to_numpy()
        if odd.any():
            hint = nearest(
                str(column.filter(pl.Series(odd))[0]), [str(name) for name in self.log.events.all_ids]
            )
            found.of_rows(
                "event", "is no event type of the log", odd, column, expected=f"one of its types ({hint})"
            )
        return column

    def _anonymous(self, given: Iterable[Iterable[object]], moment: int | None) -> Histories:
        if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
            raise ArgumentError("histories", given, expected="a list of histories", fix="pass [[item, ...]]")
        histories = [several(f"histories[{n}]", history).to_list() for n, history in enumerate(given)]
        flat = [item for history in histories for item in history]
        offsets = offsets_of(torch.tensor([len(history) for history in histories], dtype=torch.int64))
        item = (
            torch.from_numpy(self.log.catalogue.vocabulary.index(flat)).int()
            if flat
            else torch.zeros(0, dtype=torch.int32)
        )
        if self.log.has_time:  # nobody said when: just now, in the order given
            time = torch.full((len(flat),), self._last if moment is None else moment - 1)
        else:
            time = torch.arange(len(flat)) - torch.repeat_interleave(offsets[:-1], offsets.diff())
        return self._filled(offsets, item, time, None)

    def _filled(self, offsets: Tensor, item: Tensor, time: Tensor, event: Tensor | None) -> Histories:
        """Histories with every column of the log, filled with "unknown" where nobody gave it."""
        columns = self._unsaid(len(item))
        if self.log.label is not None:
            columns["label"] = torch.ones(len(item))
        if self.log.event is not None and event is None:
            event = torch.full((len(item),), UNKNOWN).to(self.log.event.dtype)
        return Histories(offsets, item, time, event, columns)

    def _extended(
        self, old: Histories, names: pl.Series, frame: pl.DataFrame, moment: int | None
    ) -> Histories:
        """Each user's events of the log, then those of the frame, by time."""
        place = pl.DataFrame({"user": names, "place": np.arange(len(names))})
        frame = frame.with_columns(pl.col("user").cast(names.dtype, strict=False)).join(
            place, on="user", how="inner", maintain_order="left"
        )
        if "tick" in frame.columns:
            frame = frame.sort("place", "tick", maintain_order=True)
            seconds = torch.from_numpy(frame["second"].to_numpy().copy())
        else:
            frame = frame.sort("place", maintain_order=True)
            seconds = torch.full((len(frame),), self._last + 1 if moment is None else moment)
        owner = torch.from_numpy(frame["place"].to_numpy().copy())
        counts = torch.bincount(owner, minlength=len(names))
        event = None
        if "event" in frame.columns:
            assert self.log.events is not None
            event = torch.from_numpy(self.log.events.index(frame["event"])).to(torch.int16)
        items = torch.from_numpy(self.log.catalogue.vocabulary.index(frame["item"])).int()
        fresh = self._filled(offsets_of(counts), items, seconds, event)
        return _joined(old, fresh)


def _tell_unread(there: Sequence[str], wanted: Sequence[str], found: Findings) -> None:
    """Notes a column that is probably another one, misspelt, and tells which others nobody reads."""
    unread = [name for name in there if name not in wanted]
    for name in wanted[2:]:  # a missing user or item is told anyway
        like = [
            n for n in unread if n.lower().startswith(name) or get_close_matches(n.lower(), [name], 1, 0.7)
        ]
        if like and name not in there:
            found.of_table(
                like[0], "is not read", expected=f"columns {', '.join(wanted)}",
                fix=f"rename it to {name!r} if that is what it holds, or leave it out",
            )  # fmt: skip
    if unread:
        _logger.warning("events: not read: %s (only %s are)", ", ".join(unread), ", ".join(wanted))


def _without_strangers(histories: Histories) -> tuple[Histories, np.ndarray]:
    """The histories without items that the log does not know, and how many those were, [B]."""
    known = histories.item != UNKNOWN
    lengths = torch.zeros_like(histories.lengths).index_add_(0, histories.items.owner, known.long())
    strangers = (histories.lengths - lengths).numpy()
    if bool(known.all()):
        return histories, strangers
    return histories.take(known.nonzero().squeeze(1), offsets_of(lengths)), strangers


def _joined(old: Histories, new: Histories) -> Histories:
    """Every user's old events and the new ones, by time; of one second, the old ones first."""
    lengths = old.lengths + new.lengths
    offsets = offsets_of(lengths)
    owner = torch.cat([old.items.owner, new.items.owner])
    order = torch.arange(len(owner))
    if old.time is not None and new.time is not None:
        order = torch.argsort(torch.cat([old.time, new.time]), stable=True)
    order = order[torch.argsort(owner[order], stable=True)]

    def both(a: Tensor | None, b: Tensor | None) -> Tensor | None:
        return None if a is None or b is None else torch.cat([a, b.to(a.dtype)])[order]

    item = both(old.item, new.item)
    assert item is not None
    columns = {
        name: torch.cat([column, new.columns[name].to(column.dtype)])[order]
        for name, column in old.columns.items()
    }
    return Histories(offsets, item, both(old.time, new.time), both(old.event, new.event), columns)
