"""Columns as people write them on a command line or in a recipe."""

import re
from typing import Any

from penchant.data.events import AtLeast, Categorical, at_least, categorical
from penchant.errors import ArgumentError

_RULE = re.compile(r"\s*(?P<column>.+?)\s*>=\s*(?P<threshold>[-+.\deE]+)\s*")


def label(text: Any) -> str | AtLeast:
    """What counts as a positive: "rating>=4", or the name of a column of 0 and 1."""
    expected = "'COLUMN>=NUMBER' or the name of a column of 0 and 1"
    if not isinstance(text, str) or not text.strip():
        raise ArgumentError("label", text, expected=expected)
    if not any(sign in text for sign in "<>="):
        return text
    found = _RULE.fullmatch(text)
    try:
        threshold = None if found is None else float(found["threshold"])
    except ValueError:
        threshold = None
    if found is None or threshold is None:
        raise ArgumentError("label", text, expected=expected)
    return at_least(found["column"], threshold)


def context(text: Any) -> str | Categorical:
    """A context column: "price", or "hour=category" where numbers are names."""
    name, _, kind = text.partition("=") if isinstance(text, str) else ("", "", "")
    if not name or kind not in ("", "category"):
        expected = "'COLUMN', or 'COLUMN=category' where numbers are names"
        raise ArgumentError("context", text, expected=expected)
    return categorical(name) if kind else name
