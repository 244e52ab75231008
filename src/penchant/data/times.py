"""What a column of times means: its unit, and what in it cannot be right."""

from dataclasses import dataclass
from time import time as now
from typing import Literal

import numpy as np
import polars as pl

from penchant.data.checks import Findings
from penchant.data.scan import blank, looks_numeric, to_number

Unit = Literal["s", "ms", "us", "ns"]
UNITS: tuple[Unit, ...] = ("s", "ms", "us", "ns")
PER_SECOND: dict[str, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

_DAY = 86_400
_1971, _1990 = 31_536_000, 631_152_000  # seconds
_MOST = 9e18  # still an int64, and far in the future in any unit
_FORMATS = (  # of ISO 8601 and of what databases print for it
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f UTC",
    "%Y-%m-%d",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
)
_WANTED = "seconds, ms, us or ns since 1970 (UTC), datetimes, or ISO 8601 text"


@dataclass(frozen=True)
class Times:
    """A column of times, understood.

    Attributes:
        ticks: [N] int64 since 1970 (UTC), anything where a row is bad.
        per_second: ticks a second.
        unit: how the column was understood: a unit, "datetime" or "iso".
        notes: what a reader should know.
    """

    ticks: np.ndarray
    per_second: int
    unit: str
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> np.ndarray:
        """[N] int64, rounded down."""
        return self.ticks if self.per_second == 1 else self.ticks // self.per_second


def understand(
    column: pl.Series, findings: Findings, *, unit: Unit | None = None, joins: int | None = None
) -> Times | None:
    """The times in a column; notes what is wrong with single rows. None, and a note, where it holds no times.

    Args:
        column: numbers, datetimes (UTC where they name no zone), dates or ISO 8601 text.
        findings: where to note what is wrong.
        unit: of numbers; None: recognised by their size.
        joins: the first second of the log that these times are added to; None where they are a log's own.
    """
    dtype = column.dtype
    if isinstance(dtype, pl.Datetime):
        times = Times(_ticks(column), PER_SECOND[dtype.time_unit], "datetime")
    elif dtype == pl.Date:
        times = Times(_ticks(column) * _DAY, 1, "datetime")
    elif dtype == pl.String and not looks_numeric(column) and not blank(column).all():
        times = _from_text(column, findings)
    elif dtype.is_numeric() or dtype == pl.String or dtype == pl.Null:
        times = _from_numbers(column, findings, unit, joins)
    else:
        findings.wrong_type(column.name, dtype, expected=_WANTED, fix="convert it, or leave `time` out")
        return None
    if column.dtype != pl.String:
        findings.of_null(column.is_null().to_numpy(), column, expected="a time in every row")
    early = _1971 if times.unit in ("datetime", "iso") else None
    _check_span(column, times, findings, early=early, joins=joins)
    return times


def _ticks(column: pl.Series) -> np.ndarray:
    return column.to_physical().cast(pl.Int64).fill_null(0).to_numpy()


def _from_text(column: pl.Series, findings: Findings) -> Times:
    text = column.str.strip_chars()
    found = pl.Series([None], dtype=pl.Int64).extend_constant(None, len(text) - 1)
    for form in _FORMATS:
        parsed = text.str.to_datetime(form, strict=False, time_unit="us").to_physical()
        found = found.fill_null(parsed) if found.null_count() < len(found) else parsed
        if found.null_count() == text.null_count():
            break
    empty = blank(column)
    findings.of_null(empty.to_numpy(), column, expected="a time in every row")
    findings.of_rows(
        column.name, "is no time", (found.is_null() & ~empty).to_numpy(), column, expected=_WANTED
    )
    return Times(found.fill_null(0).to_numpy(), 10**6, "iso")


def _from_numbers(column: pl.Series, findings: Findings, unit: Unit | None, joins: int | None) -> Times:
    notes: list[str] = []
    found = column
    if not column.dtype.is_numeric():
        empty = blank(column.cast(pl.String))
        found = to_number(column.cast(pl.String))
        findings.of_null(empty.to_numpy(), column, expected="a time in every row")
        odd = (found.is_null() & ~empty).to_numpy()
        findings.of_rows(column.name, "is no time", odd, column, expected=_WANTED)
    elif column.dtype == pl.Float32:
        notes.append(f"{column.name!r} is float32, which holds today's seconds to the nearest 128")
    known = None if not found.null_count() else found.is_not_null().to_numpy()
    if found.dtype.is_integer():
        values = found.cast(pl.Int64, strict=False).fill_null(0).to_numpy()
    else:
        values = found.cast(pl.Float64).fill_null(0.0).to_numpy()
        finite = np.isfinite(values)
        if not finite.all():
            findings.of_rows(column.name, "is not finite", ~finite, column, expected="a finite number")
            values = np.where(finite, values, 0.0)
            known = finite if known is None else known & finite
    if unit is None:
        unit, more = _recognise(column, values, known, findings, joins)
        notes += more
    else:
        notes += _doubts(column, values, known, unit)
    ticks, per_second = _whole(values, unit)
    return Times(ticks, per_second, unit, tuple(notes))


def _doubts(column: pl.Series, values: np.ndarray, known: np.ndarray | None, unit: Unit) -> list[str]:
    """A note where the unit that was stated puts all times before 1990, and another one would not."""
    given = values if known is None else values[known]
    if not len(given) or given.max() >= _1990 * PER_SECOND[unit]:
        return []
    low, high = float(given.min()), float(given.max())
    for other in UNITS:
        if low >= _1990 * PER_SECOND[other] and high <= (now() + _DAY) * PER_SECOND[other]:
            last, better = (np.datetime64(int(high / PER_SECOND[u]), "s") for u in (unit, other))
            return [
                f"{column.name!r} was read as {unit}, as time_unit= says: so its last time is {last}; "
                f"read as {other} it is {better}"
            ]
    return []


def _whole(values: np.ndarray, unit: Unit) -> tuple[np.ndarray, int]:
    """Whole ticks of numbers: seconds with a fraction become microseconds, so that their order survives."""
    if values.dtype == np.int64:
        return values, PER_SECOND[unit]
    floor = np.floor(values)
    if unit == "s" and not np.array_equal(floor, values):
        return np.clip(np.floor(values * 1e6), -_MOST, _MOST).astype(np.int64), 10**6
    return np.clip(floor, -_MOST, _MOST).astype(np.int64), PER_SECOND[unit]


def _recognise(
    column: pl.Series, values: np.ndarray, known: np.ndarray | None, findings: Findings, joins: int | None
) -> tuple[Unit, list[str]]:
    """The unit of most rows by their size; rows that are in another one, or long before 1990, are bad.

    A number below 1990 in ms is one after the year 21,000 in seconds, and so on for us and ns.
    """
    given = values if known is None else values[known]
    if not len(given):
        return "s", []
    bounds = [_1990 * PER_SECOND[unit] for unit in UNITS]
    low, high = given.min(), given.max()
    for unit, begin, end in zip(UNITS, bounds, [*bounds[1:], np.inf], strict=True):
        if low >= begin and high < end:  # nearly always: two passes settle it
            return unit, []
    kind = np.searchsorted(bounds, values, side="right") - 1  # -1: before 1990 in any unit
    counts = np.bincount((kind if known is None else kind[known]) + 1, minlength=len(UNITS) + 1)
    early = (kind == -1) if known is None else (kind == -1) & known
    if not counts[1:].any():
        if joins is not None and joins >= _1990:
            findings.of_rows(
                column.name, "lies before 1990 in any unit where the log does not", early, column,
                expected=_WANTED, option="",
            )  # fmt: skip
        note = (
            f"{column.name!r} lies between {low:,} and {high:,}: read as seconds since 1970, so before 1990"
        )
        return "s", [note]
    most = int(counts[1:].argmax())
    for other in range(len(UNITS)):
        if other != most and counts[other + 1]:
            wrong = (kind == other) if known is None else (kind == other) & known
            findings.of_rows(
                column.name, f"is in {UNITS[other]} where most rows are in {UNITS[most]}", wrong, column,
                expected=f"one unit ({UNITS[most]})",
                fix="convert these rows", option="pass time_unit= (--time-unit) if they are right",
            )  # fmt: skip
    findings.of_rows(
        column.name, "lies before 1990 where other rows do not", early, column, expected="a time of the log",
        option=f"pass time_unit={UNITS[most]!r} (--time-unit {UNITS[most]}) if they are right",
    )  # fmt: skip
    return UNITS[most], []


def _check_span(
    column: pl.Series, times: Times, findings: Findings, *, early: int | None, joins: int | None
) -> None:
    """Notes rows from the future, and stand-ins such as 1970-01-01."""
    if not len(times.ticks):
        return
    limit = (int(now()) + _DAY) * times.per_second
    good = findings.good_rows(column.name)
    if times.ticks.max() > limit:
        wrong = times.ticks > limit
        findings.of_rows(
            column.name, "lies in the future", wrong if good is None else wrong & good, column,
            expected="a time up to tomorrow",
            option="pass time_unit= if the unit was taken for another",
        )  # fmt: skip
    if early is not None and times.ticks.min() < early * times.per_second:
        wrong = times.ticks < early * times.per_second
        wrong = wrong if good is None else wrong & good
        if not wrong.all() or (joins is not None and joins >= early):
            findings.of_rows(
                column.name, "lies before 1971 where other rows do not", wrong, column,
                expected="a time of the log",
            )  # fmt: skip
