"""Columns of a table as what they stand for: ids, numbers, outcomes, types, context."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from penchant.data.checks import Findings
from penchant.data.labels import Equals, Rule
from penchant.data.scan import blank, to_number
from penchant.data.vocabulary import Vocabulary, number

_EXACT = 1 << 24  # whole numbers up to here survive float32
_LARGEST = float(np.finfo(np.float32).max)
_FLAGS = {"0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0}


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
        missing = column.is_null() | column.is_nan() if column.dtype.is_float() else found.is_null()
        if required:
            findings.of_null(missing.to_numpy(), column, expected="an id in every row")
        findings.of_rows(
            column.name,
            "is no whole number",
            (found.is_null() & ~missing).to_numpy(),
            column,
            expected="whole numbers or text as ids",
        )
    return found


def _ids(column: pl.Series) -> pl.Series | None:
    """Ids, null where there is none; None where the type is not one of ids."""
    dtype = column.dtype
    if dtype == pl.String:
        # Nothing, or nothing but spaces, sorts before all that can be read: a cheap first look.
        empty = column < "!"
        if empty.any():
            empty &= column.str.strip_chars() == ""
        return column.set(empty, None) if empty.any() else column
    if dtype == pl.Null or isinstance(dtype, pl.Categorical | pl.Enum):
        return _ids(column.cast(pl.String))
    if dtype.is_integer():
        found = column.cast(pl.Int64, strict=False)
        # What does not fit 64 bits is kept to the last digit as text.
        return found if found.null_count() == column.null_count() else column.cast(pl.String)
    if dtype.is_float():  # what pandas makes of whole numbers when one is missing
        return column.set(column != column.floor(), None).cast(pl.Int64, strict=False)
    return None


def odd_ids(
    name: str, known: Vocabulary, index: np.ndarray, rows: np.ndarray | None, findings: Findings
) -> list[str]:
    """Notes on ids that may be none: words for nothing, and ids between spaces.

    Args:
        name: the id column.
        known: its ids.
        index: [N] int32, the index of every row that was kept.
        rows: [N] rows of the file that these are; None: all of them, in order.
        findings: of the table, which knows what to call its rows.
    """
    if known.dtype != pl.String:
        return []
    ids = known.all_ids
    notes: list[str] = []
    for odd, said, means in (
        (blank(ids), "an id that may stand for nothing", "if so, leave the field empty"),
        (ids.str.strip_chars() != ids, "an id between spaces", "it is another id than the same without"),
    ):
        if not odd.any():
            continue
        wrong = np.append([False, False], odd.to_numpy())[index]
        places = np.flatnonzero(wrong)[:3]
        values = [repr(value) for value in known.ids(index[places])]
        first = findings.places((places if rows is None else rows[places]).tolist())
        shown = ", ".join(f"{place}: {value}" for place, value in zip(first, values, strict=True))
        notes.append(f"{name!r} holds {said}: {np.count_nonzero(wrong):,} of its rows ({shown}); {means}")
    return notes


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
        )
        return _finite(found.fill_nan(None), findings)
    if dtype.is_float() or dtype.is_decimal():
        return _finite(
            column.cast(pl.Float64).fill_nan(None) if dtype.is_decimal() else column.fill_nan(None), findings
        )
    if dtype.is_numeric():
        return column
    findings.wrong_type(
        column.name,
        dtype,
        expected="numbers",
        fix=f"convert it, e.g. pl.col({column.name!r}).cast(pl.Float64)",
    )
    return None


def _finite(column: pl.Series, findings: Findings) -> pl.Series:
    """The same; notes rows that float32 holds as infinite: one of them would rule every mean."""
    findings.of_rows(
        column.name, "is infinite as float32", (column.abs() > _LARGEST).fill_null(value=False).to_numpy(),
        column, expected="a finite number, or nothing",
    )  # fmt: skip
    return column


def outcome(column: pl.Series, findings: Findings, *, rule: Rule | None, patchy: bool) -> np.ndarray | None:
    """Labels [N] float32 in {0, 1}; None, and a note, where the column holds none.

    Args:
        column: 0/1, booleans or true/false, or what the rule asks for.
        findings: where to note what is wrong, a label of one class only too: ask after all other columns.
        rule: what counts as 1; None: the column is the label.
        patchy: see `numbers`.
    """
    name = column.name
    if isinstance(rule, Equals):
        held = _held(column, rule, findings)
        if held is None:
            return None
        found, missing = held
        odd = missing & False
    elif rule is None and column.dtype == pl.String:
        text = column.str.strip_chars().str.to_lowercase()
        found = text.replace_strict(_FLAGS, default=None, return_dtype=pl.Float64)
        missing = blank(column)
        odd = found.is_null() & ~missing
    else:
        given = numbers(column, findings, patchy=patchy)
        if given is None:
            return None
        missing = blank(column) if column.dtype == pl.String else given.is_null()
        odd = (given != 0) & (given != 1) if rule is None else missing & False
        found = given if rule is None else given >= rule.threshold
    findings.of_null(missing.to_numpy(), column, expected="a label in every row")
    findings.of_rows(
        name, "is neither 0 nor 1", odd.fill_null(value=False).to_numpy(), column, expected="0 or 1",
        fix=f'turn it into one, e.g. label=at_least("{name}", 4)', option="",
    )  # fmt: skip
    labels = found.cast(pl.Float32).fill_null(0.0).to_numpy()
    good = findings.good_rows()
    kept = labels if good is None else labels[good]
    if len(kept) and kept.min() == kept.max():
        only = int(kept[0])
        findings.of_table(
            name, f"gives the label {only} in all rows", expected="both classes",
            fix="leave `label` out: every event then is a positive" if only else _easier(rule, column),
        )  # fmt: skip
    return labels


def _held(column: pl.Series, rule: Equals, findings: Findings) -> tuple[pl.Series, pl.Series] | None:
    """Where a column holds the value of a rule, and where nothing; None, and a note, if it holds no such."""
    dtype = column.dtype
    if not (dtype.is_numeric() or isinstance(dtype, pl.String | pl.Boolean | pl.Categorical | pl.Enum)):
        findings.wrong_type(column.name, dtype, expected="text or numbers", fix="convert it")
        return None
    if dtype.is_numeric():
        try:
            value = float(rule.value)
        except ValueError:
            value = float("nan")  # a number is never a word
        given = column.fill_nan(None) if dtype.is_float() else column
        return given == value, given.is_null()
    text = column.cast(pl.String).str.strip_chars()
    wanted = str(rule.value).lower() if dtype == pl.Boolean else str(rule.value)
    return text == wanted, text.is_null() | (text == "").fill_null(value=True)


def _easier(rule: Rule | None, column: pl.Series) -> str:
    """What to do about a label that is nowhere 1."""
    if not isinstance(rule, Equals):
        return "lower the threshold"
    values = column.drop_nulls().value_counts(sort=True)[column.name].head(3)
    return f"name a value that it holds, such as {', '.join(map(repr, values))}"


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
    return given.cast(pl.Float32).fill_null(float("nan")).to_numpy(), None
