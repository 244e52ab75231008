"""What callers hand to a funnel, checked at the door."""

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from penchant.errors import ArgumentError


def whole(name: str, value: object) -> int:
    """A number of things.

    Args:
        name: the argument.
        value: what was given.

    Raises: ArgumentError unless it is an integer of at least 1.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ArgumentError(name, value, expected="an integer of at least 1")
    return int(value)


def one(name: str, value: object) -> object:
    """An id.

    Args:
        name: the argument.
        value: what was given.

    Raises: ArgumentError where it is a list, a table or nothing.
    """
    if isinstance(value, bool) or not isinstance(value, str | Real):
        first: object = value[0] if isinstance(value, list | tuple) and len(value) == 1 else "..."  # pyright: ignore[reportUnknownVariableType]
        raise ArgumentError(name, value, expected="one id", fix=f"pass {name}={first!r}")
    return value


def several(name: str, value: object) -> pl.Series:
    """A list of ids, as a series.

    Args:
        name: the argument.
        value: a list, tuple, set, array or series.

    Raises: ArgumentError where it is one id or no list of ids at all.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        fix = f"pass {name}=[{value!r}]" if isinstance(value, str | Real) else None
        raise ArgumentError(name, value, expected="a list of ids", fix=fix)
    given: Any = value
    try:
        ids = pl.Series("id", given.tolist() if hasattr(given, "tolist") else list(given), strict=False)
    except (TypeError, ValueError, OverflowError, PolarsError) as error:
        raise ArgumentError(name, given, expected=f"a list of ids ({error})") from None
    if ids.dtype != pl.Null and ids.dtype != pl.String and not ids.dtype.is_numeric():
        raise ArgumentError(name, given, expected=f"ids that are integers or text, not {ids.dtype}")
    if ids.null_count():
        place = int(ids.is_null().arg_true()[0])
        raise ArgumentError(f"{name}[{place}]", None, expected="an id", fix="leave it out")
    return ids
