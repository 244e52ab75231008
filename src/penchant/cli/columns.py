"""Context columns as people write them on a command line or in a recipe."""

from typing import Any

from penchant.data.events import Categorical, categorical
from penchant.errors import ArgumentError


def context_of(text: Any) -> str | Categorical:
    """A context column: "price", or "hour=category" where numbers are names."""
    name, _, kind = text.partition("=") if isinstance(text, str) else ("", "", "")
    if not name or kind not in ("", "category"):
        expected = "'COLUMN', or 'COLUMN=category' where numbers are names"
        raise ArgumentError("context", text, expected=expected)
    return categorical(name) if kind else name
