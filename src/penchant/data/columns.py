"""Columns of a table as what they stand for: ids, numbers, outcomes, types, context."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from penchant.data.checks import Findings
from penchant.data.scan import blank, to_number
from penchant.data.vocabulary import Vocabulary, number

_EXACT = 1 << 24  # whole numbers up to here survive float32
_DROP = 'correct these rows, or pass on_bad="drop"'
_FLAGS = {"0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0}


@dataclass(frozen=True)
class AtLeast:
    """A label that is 1 where a column reaches a threshold; made by `at_least`."""

    column: str
    threshold: float


def at_least(column: str, threshold: float) -> AtLeast:
    """The label of an event is 1 where `column` is at least `threshold`, else 0.

    Args:
        column: a column of numbers.
        threshold: the smallest number of a positive.

    >>> at_least("rating", 4)
    AtLeast(column='rating', threshold=4)
    """
    return AtLeast(column, threshold)


@dataclass(frozen=True)
class Categorical:
    """A context column whose numbers are names; made by `categorical`."""

    column: str


def categorical(column: str) -> Categorical:
    """A context column whose numbers are names of categories (hours of the day, say), not amounts.

    Args:
        column: a column of whole numbers or text.
    """
    return Categorical(column)


def ids(column: pl.Series, findings: Findings, *, required: bool = True) -> pl.Series | None:
    """Ids as Int64 or String, null where there is none; None, and a note, where the column cannot hold ids.

    Args:
        column: the column.
        findings: where to note what is wrong.
        required: whether a row without an id is bad.
    """
    found = _ids(column)
    if found is None:
        findings.wrong_type(
            column.name,
            column.dtype,
            expected="whole numbers or text as ids",
            fix=f"convert it, e.g. pl.col({column.name!r}).cast(pl.String)",
        )
        return None
    if found.null_count():
        missing = column.is_null() | (column.is_nan() if column.dtype.is_float() else column.is_null())
        if column.dtype == pl.String:
            missing |= (column == "").fill_null(value=True)
        if required:
            findings.of_null(missing.to_numpy(), column, expected="an id in every row")
        findings.of_rows(
            column.name,
            "is no whole number",
            (found.is_null() & ~missing).to_numpy(),
            column,
            expected="whole numbers or text as ids",
            fix=_DROP,
        )
    return found


def _ids(column: pl.Series) -> pl.Series | None:
    """Ids, null where there is none; None where the type is not one of ids."""
    dtype = column.dtype
    if dtype == pl.String:
        empty = column == ""
        return column.set(empty, None) if empty.any() else column
    if dtype == pl.Null or isinstance(dtype, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if dtype.is_integer():
        found = column.cast(pl.Int64, strict=False)
        # What does not fit 64 bits is kept to the last digit as text.
        return found if found.null_count() == column.null_count() else column.cast(pl.String)
    if dtype.is_float():  # what pandas makes of whole numbers when one is missing
        return column.set(column != column.floor(), None).cast(pl.Int64, strict=False)
    return None


def numbers(column: pl.Series, findings: Findings, *, patchy: bool = False) -> pl.Series | None:
    """Numbers, null where there is none (NaN too); None, and a note, where the column holds none.

    Args:
        column: the column.
        findings: where to note what is wrong.
        patchy: the column is text, but most of it is numbers: the other rows are bad.
    """
    dtype = column.dtype
    if dtype == pl.Null:
        return column.cast(pl.Float64)
    if dtype == pl.Boolean:
        return column.cast(pl.Int8)
    if dtype == pl.String and patchy:
        found = to_number(column).cast(pl.Float64)
        odd = found.is_null() & ~blank(column)
        findings.of_rows(
            column.name,
            "is no number",
            odd.to_numpy(),
            column,
            expected="a number, or nothing",
            fix=_DROP,
        )
        return found.fill_nan(None)
    if dtype.is_numeric():
        return (
            column.fill_nan(None)
            if dtype.is_float()
            else column.cast(pl.Float64)
            if dtype.is_decimal()
            else column
        )
    findings.wrong_type(
        column.name,
        dtype,
        expected="numbers",
        fix=f"convert it, e.g. pl.col({column.name!r}).cast(pl.Float64)",
    )
    return None


def outcome(
    column: pl.Series, findings: Findings, *, threshold: float | None, patchy: bool
) -> np.ndarray | None:
    """Labels [N] float32 in {0, 1}; None, and a note, where the column holds none.

    Args:
        column: 0/1, booleans or true/false, or with a threshold any numbers.
        findings: where to note what is wrong, a label of one class only too: ask after all other columns.
        threshold: 1 where the column reaches it; None: the column is the label.
        patchy: see `numbers`.
    """
    name = column.name
    if threshold is None and column.dtype == pl.String:
        text = column.str.strip_chars().str.to_lowercase()
        found = text.replace_strict(_FLAGS, default=None, return_dtype=pl.Float64)
        missing = blank(column)
        odd = found.is_null() & ~missing
    else:
        given = numbers(column, findings, patchy=patchy)
        if given is None:
            return None
        missing = blank(column) if column.dtype == pl.String else given.is_null()
        odd = (given != 0) & (given != 1) if threshold is None else missing & False
        found = given if threshold is None else given >= threshold
    findings.of_null(missing.to_numpy(), column, expected="a label in every row")
    findings.of_rows(
        name, "is neither 0 nor 1", odd.fill_null(value=False).to_numpy(), column, expected="0 or 1",
        fix=f'turn it into one, e.g. label=at_least("{name}", 4)',
    )  # fmt: skip
    labels = found.cast(pl.Float32).fill_null(0.0).to_numpy()
    good = findings.good_rows()
    kept = labels if good is None else labels[good]
    if len(kept) and kept.min() == kept.max():
        only = int(kept[0])
        findings.of_table(
            name, f"gives the label {only} in all rows", expected="both classes",
            fix="leave `label` out: every event then is a positive" if only else "lower the threshold",
        )  # fmt: skip
    return labels


def types(column: pl.Series, findings: Findings) -> tuple[np.ndarray, Vocabulary] | None:
    """Event types [N] int16 and their names; None, and a note, where the column holds none."""
    found = ids(column.cast(pl.String) if column.dtype == pl.Boolean else column, findings)
    if found is None:
        return None
    index, names = number(found)
    if len(names) > np.iinfo(np.int16).max:
        findings.of_table(
            column.name, f"holds {len(names) - 2:,} types", expected="at most some thousands",
            fix="name it in context= instead",
        )  # fmt: skip
        return None
    return index.astype(np.int16), names


def context(
    column: pl.Series, findings: Findings, *, names: bool, patchy: bool
) -> tuple[np.ndarray, Vocabulary | None] | None:
    """Numbers [N] float32 (NaN: missing), or categories [N] int32 (1: missing) and their names.

    Args:
        column: numbers, booleans, text or categories.
        findings: where to note what is wrong.
        names: whether numbers are names.
        patchy: see `numbers`.
    """
    textual = (pl.String, pl.Categorical, pl.Enum)
    if names or (isinstance(column.dtype, textual) and not patchy):
        found = ids(column.cast(pl.Int8) if column.dtype == pl.Boolean else column, findings, required=False)
        return None if found is None else number(found)
    given = numbers(column, findings, patchy=patchy)
    if given is None:
        return None
    largest = given.abs().max()
    if given.dtype.is_integer() and isinstance(largest, int) and largest > _EXACT:
        findings.of_table(
            column.name, f"holds whole numbers up to {largest:,}, which float32 cannot tell apart",
            expected=f"numbers up to {_EXACT:,}, or names",
            fix=f"categorical({column.name!r}) if they are names",
        )  # fmt: skip
        return None
    if given.dtype.is_float():
        findings.of_rows(
            column.name, "is infinite", given.is_infinite().fill_null(value=False).to_numpy(), column,
            expected="a finite number, or nothing", fix=_DROP,
        )  # fmt: skip
    return given.cast(pl.Float32).fill_null(float("nan")).to_numpy(), None
