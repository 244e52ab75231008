"""What a log holds, and what was left out of it and why."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


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
        history: quantiles of the number of events a user, by name ("min", "p25", "median", "p75", "max", "mean").
        popularity: share of events on the most popular items, by name ("top 1%", "top 10%").
        unknown_items, unknown_users: ids in the attribute tables that have no event.
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
    unknown_items: int = 0
    unknown_users: int = 0
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The profile as JSON values."""
        return asdict(self)
