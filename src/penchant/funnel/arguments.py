"""What callers hand to a funnel, checked at the door."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from penchant.data.vocabulary import UNKNOWN, Vocabulary
from penchant.errors import ArgumentError

_FEW = 10_000  # ids that a misspelt one is compared with


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


def index_of(name: str, value: object, vocabulary: Vocabulary, *, expected: str) -> int:
    """The index of an id.

    Args:
        name: the argument.
        value: the id.
        vocabulary: where it must stand.
        expected: what it should have been, as a noun phrase.

    Raises: ArgumentError, with the nearest id where one is near, unless it is an id of the vocabulary.
    """
    index = int(vocabulary.index([one(name, value)])[0])
    if index == UNKNOWN:
        few = isinstance(value, str) and vocabulary.dtype == pl.String and len(vocabulary) < _FEW
        close = get_close_matches(value, vocabulary.all_ids, n=1) if few else []  # type: ignore[type-var]
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ArgumentError(name, value, expected=f"{expected}{hint}")
    return index
