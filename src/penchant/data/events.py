"""Event tables of any kind -> Interactions, with one error that lists every problem."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

import numpy as np
import polars as pl
import torch
from torch import Tensor

from penchant.data.attribute_tables import Described, attributes, read_attributes
from penchant.data.batch import offsets_of
from penchant.data.checks import Findings, raise_problems
from penchant.data.columns import Categorical, categorical, context, ids, odd_ids, outcome, types
from penchant.data.interactions import Interactions
from penchant.data.labels import AtLeast, Equals, Rule, at_least, equals, label_of
from penchant.data.ordering import order_events, take
from penchant.data.profile import DataProfile, measure
from penchant.data.scan import Loaded, Source, Table, open_table
from penchant.data.tables import AttributeTable, items, users
from penchant.data.times import UNITS, Times, Unit, understand
from penchant.data.vocabulary import Vocabulary, number
from penchant.errors import ArgumentError

__all__ = [
    "AtLeast",
    "Categorical",
    "Equals",
    "at_least",
    "categorical",
    "equals",
    "items",
    "read_events",
    "users",
]

OnBad = Literal["raise", "drop"]
Context = str | Categorical


def read_events(
    source: Source,
    *,
    user: str,
    item: str,
    time: str | None = None,
    label: str | Rule | None = None,
    event: str | None = None,
    context: Sequence[Context] = (),
    items: AttributeTable | None = None,
    users: AttributeTable | None = None,
    on_bad: OnBad = "raise",
    time_unit: Unit | None = None,
    seed: int = 0,
) -> Interactions:
    """Reads a table of events, one a row.

    Args:
        source: a path to CSV or TSV, Parquet (a file, a folder or a pattern), NDJSON, Arrow IPC or RecBole's
            atomic files, or a frame of Polars, pandas or PyArrow. Only the columns named here are read.
            In text files a row may have fewer fields than the header, but none beyond it.
        user: the column of user ids, whole numbers or text. In text files a column that holds ids such as 007
            is text: no digit is lost.
        item: the column of item ids, likewise.
        time: the column of times: numbers since 1970 (UTC), datetimes (UTC where they name no zone), dates or
            ISO 8601 text. None: each user's events stand in the order of the file.
        label: the outcome: a column of 0 and 1, `at_least("rating", 4)` or `equals("action", "buy")`, or
            the same as text: "rating>=4", "action==buy". None: every event is a positive.
        event: the column of event types ("view", "buy", ...).
        context: further columns. Numbers become float32, text becomes categories, and so do numbers in
            `categorical("hour")`. Models and estimators look for these by name: `weight`, `position`,
            `propensity`, and `request` and `variant` (of `categorical`).
        items: what is known of items: `items("movies.csv", id="movieId", categories={"genres": "|"})`.
        users: what is known of users, likewise.
        on_bad: "raise": one error lists every problem. "drop": rows with a problem are left out, and the
            profile counts them by reason; what no dropping mends still raises.
        time_unit: of times that are numbers: "s", "ms", "us" or "ns". None: recognised by their size.
        seed: of the hash that orders events of one second, where their order in the file follows the item id.

    Returns: the log; `log.profile` tells what was read, kept, dropped and noticed. Ids are numbered in the
        order of first appearance. Exact duplicates (same user, item, time, event) are dropped and counted.

    Raises:
        DataError: the table cannot be used; every problem is listed with its column, rows and remedy.
        ArgumentError: an argument is wrong in itself.

    >>> log = read_events(pl.DataFrame({"u": ["a", "b", "a"], "i": [7, 7, 9]}), user="u", item="i")
    >>> log, log.offsets.tolist(), log.item.tolist()
    (Interactions(3 events, 2 users, 2 items), [0, 0, 0, 2, 3], [2, 3, 2])
    """
    if on_bad not in ("raise", "drop"):
        raise ArgumentError("on_bad", on_bad, expected="'raise' or 'drop'")
    if time_unit is not None and time_unit not in UNITS:
        raise ArgumentError("time_unit", time_unit, expected=f"one of {', '.join(UNITS)}, or None")
    for name, column in (("user", user), ("item", item)):
        if not isinstance(column, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ArgumentError(name, column, expected="the name of a column")
    roles = {"user": user, "item": item, "time": time}
    for name, other in combinations(roles, 2):
        if roles[name] == roles[other]:
            raise ArgumentError(other, roles[other], expected=f"another column than that of {name}")
    for name, made in (("items", items), ("users", users)):
        if made is not None and not isinstance(made, AttributeTable):
            fix = f"wrap the table: penchant.{name}({made!r}, id=...)" if isinstance(made, str) else None
            raise ArgumentError(name, made, expected=f"what penchant.{name}(...) gives", fix=fix)
    rule = None if label is None else label_of(label)
    chosen = Columns(user, item, time, rule, event, _contexts(context), items, users)
    table = open_table(source)
    checked = _check(table, chosen, time_unit)
    raise_problems(table.name, checked.all_findings, on_bad=on_bad)
    return _log(table.name, checked, seed)


# -- which columns -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Columns:
    """Which column is what; the arguments of `read_events`."""

    user: str
    item: str
    time: str | None
    label: str | Rule | None
    event: str | None
    context: tuple[Categorical | str, ...]
    items: AttributeTable | None
    users: AttributeTable | None

    @property
    def label_column(self) -> str | None:
        """The column that the label is made from."""
        return self.label if self.label is None or isinstance(self.label, str) else self.label.column

    def roles(self) -> dict[str, str]:
        """Every column of the event table that is needed, and what for."""
        wanted = [
            (self.user, "user"),
            (self.item, "item"),
            (self.time, "time"),
            (self.label_column, "label"),
            (self.event, "event"),
            *((_name(column), "context") for column in self.context),
        ]
        for argument, table in (("items", self.items), ("users", self.users)):
            if table is not None and table.source is None:
                wanted += [(column, f"attributes of {argument}") for column in table.columns]
        return {column: role for column, role in reversed(wanted) if column is not None}


def _name(column: Context) -> str:
    return column if isinstance(column, str) else column.column


def _contexts(given: Sequence[Context]) -> tuple[Context, ...]:
    columns = (given,) if isinstance(given, str | Categorical) else tuple(given)
    names = [_name(column) for column in columns]
    twice = next((name for n, name in enumerate(names) if name in names[:n]), None)
    if twice is not None:
        raise ArgumentError("context", twice, expected="every column once")
    if "label" in names:
        raise ArgumentError(
            "context", "label", expected="another name: histories carry the label under this one"
        )
    return columns


# -- what is in them -----------------------------------------------------------------------------------------


@dataclass
class Checked:
    """The columns of an event table as what they stand for; None where one is absent, or cannot be that."""

    findings: Findings
    user: pl.Series | None = None
    item: pl.Series | None = None
    times: Times | None = None
    label: np.ndarray | None = None
    event: tuple[np.ndarray, Vocabulary] | None = None
    context: dict[str, tuple[np.ndarray, Vocabulary | None]] = field(
        default_factory=dict[str, tuple[np.ndarray, Vocabulary | None]]
    )
    items: Described | None = None
    users: Described | None = None

    @property
    def all_findings(self) -> list[Findings]:
        """Of the event table and of the attribute tables."""
        own = [d.findings for d in (self.items, self.users) if d is not None]
        return [self.findings, *(found for found in own if found is not self.findings)]


def _check(table: Table, chosen: Columns, unit: Unit | None) -> Checked:
    roles = chosen.roles()
    loaded = table.load([name for name in roles if name in table.columns])
    found = Findings.of(loaded)
    for name, role in roles.items():
        if name not in table.columns:
            found.missing(name, table.columns, role=role)
    checked = Checked(found)
    if loaded.frame.width and not len(loaded.frame):
        found.of_table(None, "is empty", expected="at least one event", fix="check how it was written")
    _check_events(checked, chosen, loaded, unit)
    if chosen.items is not None:
        checked.items = read_attributes(chosen.items, loaded, found, id=chosen.item, argument="items")
    if chosen.users is not None:
        checked.users = read_attributes(chosen.users, loaded, found, id=chosen.user, argument="users")
    label = chosen.label_column
    if label in loaded.frame.columns:  # last: a label of one class is judged on the rows that remain
        rule = None if isinstance(chosen.label, str) else chosen.label
        checked.label = outcome(loaded.frame[label], found, rule=rule, patchy=label in loaded.patchy)
    return checked


def _check_events(checked: Checked, chosen: Columns, loaded: Loaded, unit: Unit | None) -> None:
    frame, found = loaded.frame, checked.findings
    if chosen.user in frame.columns:
        checked.user = ids(frame[chosen.user], found)
    if chosen.item in frame.columns:
        checked.item = ids(frame[chosen.item], found)
    if chosen.time in frame.columns:
        checked.times = understand(frame[chosen.time], found, unit=unit)
    if chosen.event in frame.columns:
        checked.event = types(frame[chosen.event], found)
    for column in chosen.context:
        name = _name(column)
        if name in frame.columns:
            names, patchy = isinstance(column, Categorical), name in loaded.patchy
            read = context(frame[name], found, names=names, patchy=patchy)
            if read is not None:
                checked.context[name] = read


# -- the log -------------------------------------------------------------------------------------------------


def _log(source: str, checked: Checked, seed: int) -> Interactions:
    """The log of a table without problems, or of its good rows."""
    found, times, event, label = checked.findings, checked.times, checked.event, checked.label
    assert checked.user is not None
    assert checked.item is not None
    mask = found.good_rows()
    good = None if mask is None else np.flatnonzero(mask)
    user, user_ids = number(_good(checked.user, mask))
    item, item_ids = number(_good(checked.item, mask))
    people, user_gaps = attributes(checked.users, user_ids, user, mask)
    catalogue, item_gaps = attributes(checked.items, item_ids, item, mask)

    notes = [
        *odd_ids(checked.user.name, user_ids, user, good, found),
        *odd_ids(checked.item.name, item_ids, item, good, found),
    ]

    ticks = None if times is None else take(times.ticks, good)
    kinds = None if event is None else take(event[0], good)
    order = order_events(user, item, kinds, ticks, item_ids.all_ids, seed=seed)
    rows = order.rows  # of the good ones
    user, item = take(user, rows), take(item, rows)
    file_rows = good if rows is None else rows if good is None else good[rows]
    lengths = np.bincount(user, minlength=len(people))
    offsets = offsets_of(torch.from_numpy(lengths))
    seconds = None if times is None else take(times.seconds, file_rows)
    label = None if label is None else take(label, file_rows)
    kinds = None if event is None else take(event[0], file_rows)
    facts = measure(user, item, seconds, lengths)
    notes += [*(times.notes if times else ()), *item_gaps.notes, *user_gaps.notes]
    if order.follows:
        notes.append(
            f"events of one second stand in {order.follows} order of {checked.item.name!r} in the file: "
            f"that order is no history, so ties are broken by a hash (seed {seed})"
        )
    profile = DataProfile(
        source=source, read=found.rows, kept=len(item),
        dropped=found.dropped() | ({"exact duplicate": order.duplicates} if order.duplicates else {}),
        users=facts.users, items=facts.items,
        first=None if seconds is None else int(seconds.min()),
        last=None if seconds is None else int(seconds.max()),
        time_unit="none" if times is None else times.unit, tied=facts.tied, repeats=facts.repeats,
        ties_follow_id=bool(order.follows), tie_order="hash" if order.follows else "file",
        positives=None if label is None else float(label.mean(dtype=np.float64)),
        events=_counts(kinds, event),
        history=facts.history, popularity=facts.popularity,
        items_without_event=item_gaps.without_event, users_without_event=user_gaps.without_event,
        items_without_attributes=item_gaps.without_attributes,
        users_without_attributes=user_gaps.without_attributes, notes=tuple(notes),
    )  # fmt: skip
    if seconds is None:
        seconds = np.arange(len(item)) - np.repeat(offsets.numpy()[:-1], lengths)
    return Interactions(
        users=people, catalogue=catalogue, offsets=offsets, item=_tensor(item), time=_tensor(seconds),
        profile=profile, has_time=times is not None, label=None if label is None else _tensor(label),
        event=None if kinds is None else _tensor(kinds), events=None if event is None else event[1],
        columns={name: _tensor(take(values, file_rows)) for name, (values, _) in checked.context.items()},
        column_labels={name: names for name, (_, names) in checked.context.items() if names is not None},
    )  # fmt: skip


def _good(column: pl.Series, mask: np.ndarray | None) -> pl.Series:
    return column if mask is None else column.filter(pl.Series(mask))


def _counts(kinds: np.ndarray | None, event: tuple[np.ndarray, Vocabulary] | None) -> dict[str, int]:
    if kinds is None or event is None:
        return {}
    counts = np.bincount(kinds, minlength=len(event[1]))[2:]
    return {str(name): int(count) for name, count in zip(event[1].all_ids, counts, strict=True) if count}


def _tensor(values: np.ndarray) -> Tensor:
    """The values as a tensor, copied only where they are somebody else's."""
    return torch.from_numpy(values if values.flags.writeable else values.copy())
