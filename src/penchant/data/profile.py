"""What a log holds, and what was left out of it and why."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np


@dataclass(frozen=True)
class DataProfile:
    """Facts counted while reading an event table; nothing is dropped without a line here.

    Attributes:
        source: where the events came from.
        read: rows read.
        kept: rows kept.
        dropped: rows left out, by reason.
        users, items: how many of each have an event.
        first, last: times of the first and last event, seconds UTC; None without times.
        time_unit: how the time column was understood ("s", "ms", "us", "ns", "datetime", "iso", "none").
        tied: events that share their second with the user's event before.
        ties_follow_id: whether file order within ties ascends (or descends) with the item id.
        tie_order: what breaks ties: "file", or "hash" where file order follows an id.
        repeats: events whose user had the item before.
        positives: share of events with label 1; None without labels.
        events: events by type.
        history: quantiles of the number of events a user, by name ("min", "p25", "median", "p75", "max",
            "mean").
        popularity: share of events on the most popular items, by name ("top 1%", "top 10%").
        items_without_event, users_without_event: ids in the attribute tables that have no event.
        items_without_attributes, users_without_attributes: ids that have an event but no attribute, where
            attributes were asked for.
        notes: what a reader should know, in words.
    """

    source: str
    read: int
    kept: int
    dropped: Mapping[str, int] = field(default_factory=dict[str, int])
    users: int = 0
    items: int = 0
    first: int | None = None
    last: int | None = None
    time_unit: str = "none"
    tied: int = 0
    ties_follow_id: bool = False
    tie_order: str = "file"
    repeats: int = 0
    positives: float | None = None
    events: Mapping[str, int] = field(default_factory=dict[str, int])
    history: Mapping[str, float] = field(default_factory=dict[str, float])
    popularity: Mapping[str, float] = field(default_factory=dict[str, float])
    items_without_event: int = 0
    users_without_event: int = 0
    items_without_attributes: int = 0
    users_without_attributes: int = 0
    notes: tuple[str, ...] = ()

    @property
    def repeating(self) -> bool:
        """Whether people come back to items (5 % of events do): then seen items may be answered again."""
        return self.repeats > 0.05 * max(self.kept, 1)

    def as_dict(self) -> dict[str, Any]:
        """The profile as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DataProfile":
        """What `as_dict` gave."""
        more: dict[str, Any] = dict(values) | {"notes": tuple(values["notes"])}
        return cls(**more)

    def rows(self) -> list[tuple[str, str]]:
        """The profile as a table for people: a name and a value a row, without what does not apply."""
        rows = [
            ("source", self.source),
            ("events", f"{self.kept:,} of {self.read:,} rows"),
            *((f"dropped: {reason}", f"{count:,}") for reason, count in self.dropped.items()),
            ("users", f"{self.users:,}"),
            ("items", f"{self.items:,}"),
        ]
        if self.first is not None and self.last is not None:
            rows += [
                ("times", f"{_moment(self.first)} to {_moment(self.last)} UTC"),
                ("time read as", self.time_unit),
            ]
            rows.append(("share their second", f"{self.tied:,} events, in {self._tie_words()}"))
        else:
            rows.append(("times", "none: events stand in file order"))
        rows.append(("repeats", f"{self.repeats:,} events"))
        if self.positives is not None:
            rows.append(("positives", f"{self.positives:.1%}"))
        rows += [(f"events: {name}", f"{count:,}") for name, count in self.events.items()]
        if self.history:
            rows.append(
                ("events a user", ", ".join(f"{name} {value:,.6g}" for name, value in self.history.items()))
            )
        rows += [
            (f"events on the {name} of items", f"{share:.1%}") for name, share in self.popularity.items()
        ]
        rows += [(name, f"{count:,}") for name, count in self.gaps().items()]
        return [*rows, *(("note", note) for note in self.notes)]

    def gaps(self) -> dict[str, int]:
        """How many ids stand in one of two tables only, in words; those that are none are left out."""
        counts = {
            "items without an event": self.items_without_event,
            "items without attributes": self.items_without_attributes,
            "users without an event": self.users_without_event,
            "users without attributes": self.users_without_attributes,
        }
        return {name: count for name, count in counts.items() if count}

    def _tie_words(self) -> str:
        return "file order" if self.tie_order == "file" else "an order drawn by a seeded hash"

    def __str__(self) -> str:
        rows = self.rows()
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


@dataclass(frozen=True)
class Measured:
    """What a log itself says of its profile; the fields are those of `DataProfile`."""

    users: int
    items: int
    tied: int
    repeats: int
    history: Mapping[str, float]
    popularity: Mapping[str, float]


def measure(user: np.ndarray, item: np.ndarray, seconds: np.ndarray | None, lengths: np.ndarray) -> Measured:
    """Counts what a profile tells.

    Args:
        user: [N] indices, ascending.
        item: [N] indices.
        seconds: [N] times within each user ascending, or None.
        lengths: [U] events a user.
    """
    counts = np.bincount(item)
    counts = np.sort(counts[counts > 0])[::-1]
    active = np.sort(lengths[lengths > 0])
    tied = 0
    if seconds is not None:
        tied = int(np.count_nonzero((seconds[1:] == seconds[:-1]) & (user[1:] == user[:-1])))
    pairs = (user.astype(np.int64) << 32) | item
    pairs.sort()  # two passes beat a hash table
    names = ("min", "p25", "median", "p75", "max")
    # np.quantile imports numpy.ma, which takes longer than all the rest of a small log.
    places = np.linspace(0, 1, len(names)) * (len(active) - 1)
    quantiles = np.interp(places, np.arange(len(active)), active).tolist()
    top = {f"top {percent}%": -(-len(counts) * percent // 100) for percent in (1, 10)}
    return Measured(
        users=len(active),
        items=len(counts),
        tied=tied,
        repeats=int(np.count_nonzero(pairs[1:] == pairs[:-1])),
        history=dict(zip(names, quantiles, strict=True)) | {"mean": float(active.mean())},
        popularity={name: float(counts[:n].sum() / len(item)) for name, n in top.items()},
    )
