"""From ids, lists and tables to `Requests`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import numpy as np
import polars as pl
import torch
from torch import Tensor

from penchant.data.batch import Histories, Requests, offsets_of
from penchant.data.interactions import Interactions
from penchant.data.vocabulary import FIRST, UNKNOWN
from penchant.errors import ArgumentError, DataError, Problem, nearest

Table: TypeAlias = Any  # what read_events takes as a frame: Polars, pandas or PyArrow


@dataclass(frozen=True, eq=False)
class Asked:
    """Requests, and what to call those who ask.

    Attributes:
        names: one a request: the user's id, or the number of an anonymous history.
        known: [B] bool, whether the log knows the user (anonymous histories count as known).
        requests: the requests.
    """

    names: pl.Series
    known: np.ndarray
    requests: Requests


class Asker:
    """Builds requests from the snapshot of a log."""

    def __init__(self, log: Interactions) -> None:
        self.log = log
        self._last = int(log.time.max()) if len(log) else 0

    def item(self, item: object) -> int:
        """The index of an item id; ArgumentError where it is unknown."""
        index = int(self.log.catalogue.vocabulary.index([item])[0])
        if index == UNKNOWN:
            raise ArgumentError("item", item, expected="an item id of the log")
        return index

    def eligible(self, deny: Sequence[object], available: Sequence[object] | None) -> Tensor | None:
        """[V] bool by the rules of a request; None where there are none. Ids not in the log are ignored."""
        if not len(deny) and available is None:
            return None
        vocabulary = self.log.catalogue.vocabulary
        mask = torch.full((len(vocabulary),), available is None)
        if available is not None:
            mask[torch.from_numpy(vocabulary.index(available))] = True
        if len(deny):
            mask[torch.from_numpy(vocabulary.index(deny))] = False
        mask[:FIRST] = False
        return mask

    def ask(
        self,
        users: Sequence[object] | pl.Series | None,
        histories: Sequence[Sequence[object]] | None,
        events: Table | None,
        *,
        at: datetime | int | None,
        exclude_seen: bool | None,
    ) -> Asked:
        """See `Funnel.recommend`."""
        given = [
            name
            for name, value in (("users", users), ("histories", histories), ("events", events))
            if value is not None
        ]
        if not given or ("histories" in given and len(given) > 1):
            raise ArgumentError(
                "users", users, expected="users=, histories= or events= (users= and events= go together)"
            )
        moment = self._moment(at)
        if histories is not None:
            names = pl.Series("user", range(len(histories)), dtype=pl.Int64)
            index, known = np.full(len(histories), UNKNOWN), np.ones(len(histories), bool)
            packed = self._anonymous(histories)
        else:
            names, fresh = self._named(users, events)
            index = self.log.users.vocabulary.index(names)
            packed = self._snapshot(torch.from_numpy(index), moment)
            known = (index != UNKNOWN) | (packed.lengths.numpy() > 0)
            if fresh is not None:
                packed = self._extended(packed, names, fresh)
                known |= packed.lengths.numpy() > 0
        if exclude_seen is None:
            exclude_seen = not self.log.profile.repeating
        requests = Requests(
            torch.from_numpy(index.astype(np.int64)), packed, torch.full((len(index),), moment),
            self._unsaid(len(index)), exclude=packed.items if exclude_seen else None,
        )  # fmt: skip
        return Asked(names, known, requests)

    def _moment(self, at: datetime | int | None) -> int:
        if at is None:
            return self._last + 1
        if isinstance(at, datetime):
            return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
        return int(at)

    def _unsaid(self, count: int) -> dict[str, Tensor]:
        """The log's columns where nobody gave them: unknown category, zero."""
        return {
            name: torch.full((count,), UNKNOWN if name in self.log.column_labels else 0).to(column.dtype)
            for name, column in self.log.columns.items()
        }

    def _snapshot(self, users: Tensor, moment: int) -> Histories:
        """What the log holds of `users` before the moment of asking: nothing later may speak."""
        whole = self.log.histories(self.log.offsets[users], self.log.offsets[users + 1])
        if not self.log.has_time or moment > self._last:
            return whole
        assert whole.time is not None
        past = whole.time < moment
        lengths = torch.zeros(len(whole), dtype=torch.int64).index_add_(0, whole.items.owner, past.long())
        return whole.take(past.nonzero().squeeze(1), offsets_of(lengths))

    def _named(
        self, users: Sequence[object] | pl.Series | None, events: Table | None
    ) -> tuple[pl.Series, pl.DataFrame | None]:
        if events is None:
            assert users is not None
            if isinstance(users, str):
                raise ArgumentError("users", users, expected="a list of ids", fix=f"pass users=[{users!r}]")
            return pl.Series("user", users, strict=False), None
        frame = self._frame(events)
        if users is not None:
            asked = pl.Series("user", users, strict=False)
            others = frame["user"].cast(pl.String).unique().to_list()
            if odd := sorted(set(others) - set(asked.cast(pl.String).to_list())):
                raise ArgumentError(
                    "events", odd[:5], expected="events of the users asked about",
                    fix="name their users in users=, or leave users= out to ask about all in the table",
                )  # fmt: skip
            return asked, frame
        return frame["user"].unique(maintain_order=True), frame

    def _frame(self, events: Table) -> pl.DataFrame:
        frame = events if isinstance(events, pl.DataFrame) else pl.DataFrame(events)
        problems: list[Problem] = []
        for name in ("user", "item"):
            if name not in frame.columns:
                problems.append(
                    Problem(
                        name,
                        "is missing",
                        "columns user, item and, if known, time and event",
                        f"rename the column ({nearest(name, frame.columns)})",
                    )
                )
            elif frame[name].null_count():
                rows = frame[name].is_null().arg_true().to_list()
                problems.append(
                    Problem(name, "is null", "an id", "drop the rows", len(rows), rows[:5], [None] * 5)
                )
        if problems:
            raise DataError("events", problems)
        return frame

    def _anonymous(self, histories: Sequence[Sequence[object]]) -> Histories:
        for n, history in enumerate(histories):
            if isinstance(history, str) or not isinstance(history, Sequence):
                raise ArgumentError(f"histories[{n}]", history, expected="a list of item ids, oldest first")
        flat = [item for history in histories for item in history]
        offsets = offsets_of(torch.tensor([len(history) for history in histories], dtype=torch.int64))
        item = (
            torch.from_numpy(self.log.catalogue.vocabulary.index(flat)).int()
            if flat
            else torch.zeros(0, dtype=torch.int32)
        )
        if self.log.has_time:  # nobody said when: just now, in the order given
            time = torch.full((len(flat),), self._last)
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

    def _extended(self, old: Histories, names: pl.Series, frame: pl.DataFrame) -> Histories:
        """Each user's events of the log, then those of the frame, by time."""
        place = pl.DataFrame({"user": names, "place": np.arange(len(names))})
        frame = frame.with_columns(pl.col("user").cast(names.dtype, strict=False)).join(
            place, on="user", how="inner", maintain_order="left"
        )
        if "time" in frame.columns and self.log.has_time:
            time = frame["time"]
            time = time.dt.epoch("s") if time.dtype.is_temporal() else time.cast(pl.Int64)
            frame = frame.with_columns(time.fill_null(self._last).alias("time")).sort(
                "place", "time", maintain_order=True
            )
            seconds = torch.from_numpy(frame["time"].to_numpy().copy())
        else:
            frame = frame.sort("place", maintain_order=True)
            seconds = torch.full((len(frame),), self._last + 1)
        owner = torch.from_numpy(frame["place"].to_numpy().copy())
        counts = torch.bincount(owner, minlength=len(names))
        event = None
        if self.log.events is not None and "event" in frame.columns:
            event = torch.from_numpy(self.log.events.index(frame["event"])).to(torch.int16)
        items = torch.from_numpy(self.log.catalogue.vocabulary.index(frame["item"])).int()
        fresh = self._filled(offsets_of(counts), items, seconds, event)
        return _joined(old, fresh)


def _joined(old: Histories, new: Histories) -> Histories:
    """Every user's old events followed by the new ones."""
    lengths = old.lengths + new.lengths
    offsets = offsets_of(lengths)
    owner = torch.cat([old.items.owner, new.items.owner])
    order = torch.argsort(owner, stable=True)

    def both(a: Tensor | None, b: Tensor | None) -> Tensor | None:
        return None if a is None or b is None else torch.cat([a, b.to(a.dtype)])[order]

    item = both(old.item, new.item)
    assert item is not None
    columns = {
        name: torch.cat([column, new.columns[name].to(column.dtype)])[order]
        for name, column in old.columns.items()
    }
    return Histories(offsets, item, both(old.time, new.time), both(old.event, new.event), columns)
