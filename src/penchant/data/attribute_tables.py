"""Attribute tables read and checked, and what they say put beside the ids that events know."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch import Tensor

from penchant.data.attributes import Attributes, Categories
from penchant.data.batch import offsets_of
from penchant.data.checks import DROP, Findings
from penchant.data.columns import ids, numbers
from penchant.data.scan import Loaded, Table, open_table
from penchant.data.tables import AttributeTable
from penchant.data.vocabulary import FIRST, UNKNOWN, Vocabulary, number
from penchant.errors import DataError

_MEET = 20  # fewer than one in so many ids in common, and the id column is a wrong one


@dataclass
class Described:
    """The columns of an attribute table, checked.

    Attributes:
        spec: what was asked for.
        columns: by kind and name: numbers, text, labels (text, numbers, or lists of them), vectors (lists).
        ids: of the rows; None where the columns stand in the event table.
        findings: what is wrong with the table; the event table's own where the columns stand there.
        event_ids: the id column of the event table.
    """

    spec: AttributeTable
    columns: dict[str, pl.Series]
    ids: pl.Series | None
    findings: Findings
    event_ids: str


@dataclass(frozen=True)
class Gaps:
    """Where an event table and an attribute table do not meet.

    Attributes:
        without_event: ids of the attribute table that have no event.
        without_attributes: ids with an event of which no attribute is known; 0 where none was asked for.
        notes: what a reader should know.
    """

    without_event: int = 0
    without_attributes: int = 0
    notes: tuple[str, ...] = ()


def read_attributes(
    spec: AttributeTable, events: Loaded, findings: Findings, *, id: str, argument: str
) -> Described:
    """Reads and checks the columns of `spec`.

    Args:
        spec: which.
        events: the event table, with the columns that it shares with `spec` if that has no table of its own.
        findings: of the event table.
        id: the id column of the event table.
        argument: "items" or "users".
    """
    if spec.source is None:
        return Described(spec, _checked(spec, events, findings), None, findings, id)
    table = open_table(spec.source, argument=argument)
    try:
        return _own_table(spec, table, id, argument)
    except DataError as error:  # the file cannot be read as what it is
        found = Findings(0, table.name)
        found.whole = list(error.problems)
        return Described(spec, {}, None, found, id)


def _own_table(spec: AttributeTable, table: Table, event_ids: str, argument: str) -> Described:
    id = spec.id or event_ids
    wanted = [id, *spec.columns]
    loaded = table.load([name for name in dict.fromkeys(wanted) if name in table.columns])
    found = Findings.of(loaded, table=table.name)
    for name in dict.fromkeys(wanted):
        if name not in table.columns:
            role = f"the id of {argument}" if name == id else f"{argument} attributes"
            found.missing(name, table.columns, role=role)
    key = ids(loaded.frame[id], found) if id in loaded.frame.columns else None
    if key is not None:
        twice = (~key.is_first_distinct() & key.is_not_null()).to_numpy()
        found.of_rows(
            id, "stands in an earlier row too", twice, key, expected="one row an id",
            fix="keep one of them", option=f"{DROP} to keep the first",
        )  # fmt: skip
    return Described(spec, _checked(spec, loaded, found), key, found, event_ids)


def _checked(spec: AttributeTable, loaded: Loaded, findings: Findings) -> dict[str, pl.Series]:
    columns: dict[str, pl.Series | None] = {}
    frame = loaded.frame
    for name in spec.columns:
        if name not in frame.columns:
            continue
        column = frame[name]
        if name in spec.numbers:
            columns[f"number {name}"] = numbers(column, findings, patchy=name in loaded.patchy)
        if name in spec.text:
            columns[f"text {name}"] = _text(column, findings)
        if name in spec.categories:
            columns[f"category {name}"] = _labels(column, spec.categories[name], findings)
        if name in spec.vectors:
            columns[f"vector {name}"] = _vectors(column, findings)
    return {name: column for name, column in columns.items() if column is not None}


def _text(column: pl.Series, findings: Findings) -> pl.Series | None:
    if column.dtype.is_nested() or column.dtype == pl.Binary:
        findings.wrong_type(
            column.name,
            column.dtype,
            expected="text",
            fix="name it in categories= or vectors=, or leave it out",
        )
        return None
    return column.cast(pl.String)


def _labels(column: pl.Series, separator: str | None, findings: Findings) -> pl.Series | None:
    inner = column.dtype.inner if isinstance(column.dtype, pl.List | pl.Array) else column.dtype
    if inner.is_nested() or inner.is_float() or inner == pl.Binary:
        findings.wrong_type(
            column.name, column.dtype, expected="labels: text, whole numbers, or lists of them",
            fix=f"convert it, or name it in numbers= ({column.name!r})",
        )  # fmt: skip
        return None
    if isinstance(column.dtype, pl.List | pl.Array):
        return column.cast(pl.List(pl.Int64 if inner.is_integer() else pl.String))
    if separator is not None:
        return column.cast(pl.String).str.split(separator)
    return column.cast(pl.Int64 if column.dtype.is_integer() else pl.String)


def _vectors(column: pl.Series, findings: Findings) -> pl.Series | None:
    dtype = column.dtype
    if not isinstance(dtype, pl.List | pl.Array) or not dtype.inner.is_numeric():
        findings.wrong_type(
            column.name, dtype, expected="lists of numbers", fix="convert it, or leave it out"
        )
        return None
    lists = column.cast(pl.List(pl.Float32))
    lengths = lists.list.len()
    first = lengths.drop_nulls().head(1)
    if len(first):
        findings.of_rows(
            column.name, "has another length than the first vector",
            (lengths != first[0]).fill_null(value=False).to_numpy(), lengths,
            expected=f"{first[0]} numbers in every row", fix="correct these rows", option="",
        )  # fmt: skip
        holes = lists.list.eval(~pl.element().is_finite().fill_null(value=False)).list.any()
        findings.of_rows(
            column.name, "holds a missing or infinite number", holes.fill_null(value=False).to_numpy(),
            column, expected="a number in every place", fix="fill it in, or leave the whole vector out",
            option="",
        )  # fmt: skip
    return lists


# -- joining -----------------------------------------------------------------------------------------------


def attributes(
    described: Described | None, vocabulary: Vocabulary, index: np.ndarray, good: np.ndarray | None
) -> tuple[Attributes, Gaps]:
    """Attributes by index.

    Args:
        described: what was read; None: there are none.
        vocabulary: ids of the events.
        index: [K] int32, the index in `vocabulary` of every event that was kept.
        good: rows of the event table that were kept, as a mask; None for all.

    Returns: the attributes, whose vocabulary holds further ids of their table behind those of the events;
        how many ids stand in one of the tables only.

    Raises: DataError if the two tables have next to no id in common.
    """
    if described is None:
        return Attributes(vocabulary), Gaps()
    if described.ids is None:
        rows, notes = _first_values(described, vocabulary, index, good)
        gaps = Gaps(0, _unknown(described, rows, len(vocabulary)), notes)
        return _built(described, vocabulary, rows), gaps
    found = described.findings
    key, good_rows = described.ids, found.good_rows()
    table_rows = np.arange(len(key)) if good_rows is None else np.flatnonzero(good_rows)
    key = key.gather(table_rows)
    if key.dtype != vocabulary.dtype:
        key = key.cast(vocabulary.dtype, strict=False)
    _must_meet(described, vocabulary, key)
    whole = vocabulary.append(key)
    place = np.full(len(whole), -1)
    place[whole.index(key)] = table_rows
    place[:FIRST] = -1
    rows = {name: place for name in described.columns}
    notes = tuple(f"{found.table}: {n:,} rows dropped, {reason}" for reason, n in found.dropped().items())
    gaps = Gaps(
        len(whole) - len(vocabulary),
        _unknown(described, rows or {described.ids.name: place}, len(vocabulary)),
        notes,
    )
    return _built(described, whole, rows), gaps


def _must_meet(described: Described, vocabulary: Vocabulary, key: pl.Series) -> None:
    """Raises where next to no id of an attribute table is one of the events: that is another column."""
    known = int(np.count_nonzero(vocabulary.index(key) != UNKNOWN))
    fewer = min(len(key), len(vocabulary) - FIRST)
    if known * _MEET > fewer or not fewer:
        return
    assert described.ids is not None
    here, there = (
        ", ".join(map(repr, ids.head(3))) for ids in (vocabulary.all_ids, described.ids.drop_nulls())
    )
    what = f"{known:,} of {len(key):,} ids" if known else "no id"
    described.findings.of_table(
        described.ids.name, f"has {what} in common with the event table",
        expected=f"ids such as {here} (column {described.event_ids!r} of the event table), not {there}",
        fix="name the right column in id=",
    )  # fmt: skip
    raise DataError(described.findings.table, described.findings.whole)


def _unknown(described: Described, rows: Mapping[str, np.ndarray], count: int) -> int:
    """How many of the first `count` ids have no value in any column, by the table rows of every id [V]."""
    known = np.zeros(count, dtype=bool)
    for name, place in rows.items():
        there = place[:count] >= 0
        if name in described.columns:
            held = described.columns[name].is_not_null().to_numpy()
            there = there & held[np.where(there, place[:count], 0)]
        known |= there
    return int(np.count_nonzero(~known[FIRST:]))


def _first_values(
    described: Described, vocabulary: Vocabulary, index: np.ndarray, good: np.ndarray | None
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """For each column the event row of every id's first value [V] (-1: none), and which ids have several."""
    rows: dict[str, np.ndarray] = {}
    notes: list[str] = []
    for name, column in described.columns.items():
        there = column.is_not_null().to_numpy() if good is None else (column.is_not_null().to_numpy() & good)
        file_rows = np.flatnonzero(there)
        owner = index[there if good is None else there[good]]
        first = np.full(len(vocabulary), -1)
        first[owner[::-1]] = file_rows[::-1]
        differs = (column.gather(file_rows) != column.gather(first[owner])).to_numpy()
        if differs.any():
            count = pl.Series(owner[differs]).n_unique()
            notes.append(f"{column.name!r} has several values for {count:,} ids: each keeps its first")
        rows[name] = first
    return rows, tuple(notes)


def _built(described: Described, vocabulary: Vocabulary, rows: Mapping[str, np.ndarray]) -> Attributes:
    """Attributes from the table rows of every index [V] (-1: none), by column."""
    spec, columns = described.spec, described.columns

    def aligned(kind: str, name: str) -> pl.Series:
        key = f"{kind} {name}"
        place = pl.Series(rows[key])
        return columns[key].gather(place.set(place < 0, None))

    return Attributes(
        vocabulary,
        {name: _categories(aligned("category", name)) for name in spec.categories},
        {name: _numbers(aligned("number", name)) for name in spec.numbers},
        {name: aligned("text", name) for name in spec.text},
        {name: _matrix(aligned("vector", name)) for name in spec.vectors},
        spec.title,
    )


def _numbers(column: pl.Series) -> Tensor:
    return torch.from_numpy(column.cast(pl.Float32).fill_null(float("nan")).to_numpy().copy())


def _matrix(column: pl.Series) -> Tensor:
    there = column.is_not_null().to_numpy()
    values = column.drop_nulls().explode().to_numpy()
    table = torch.zeros(len(column), len(values) // max(1, int(there.sum())))
    table[torch.from_numpy(there)] = torch.from_numpy(values.reshape(-1, table.shape[1]).copy())
    return table


def _categories(column: pl.Series) -> Categories:
    """The labels of every row, each once, in the order given there."""
    pairs = pl.DataFrame({"row": np.arange(len(column)), "label": column})
    if isinstance(column.dtype, pl.List):
        pairs = pairs.explode("label")
    if pairs["label"].dtype == pl.String:
        pairs = pairs.with_columns(pl.col("label").str.strip_chars()).filter(pl.col("label") != "")
    pairs = pairs.drop_nulls("label").unique(maintain_order=True)
    values, labels = number(pairs["label"])
    lengths = np.bincount(pairs["row"].to_numpy(), minlength=len(column))
    return Categories(torch.from_numpy(values), offsets_of(torch.from_numpy(lengths)), labels)
