"""What counts as a positive: rules on a column of the event table, as calls or as text."""

import re
from dataclasses import dataclass
from typing import TypeAlias

from penchant.errors import ArgumentError


@dataclass(frozen=True)
class AtLeast:
    """A label that is 1 where a column reaches a threshold; made by `at_least`."""

    column: str
    threshold: float


@dataclass(frozen=True)
class Equals:
    """A label that is 1 where a column holds a value; made by `equals`."""

    column: str
    value: str | int | float | bool


Rule: TypeAlias = AtLeast | Equals

_RULE = re.compile(r"\s*(?P<column>[^<>=]+?)\s*(?P<sign>>=|==)\s*(?P<value>[^<>=]+?)\s*")
_EXPECTED = "'COLUMN>=NUMBER', 'COLUMN==VALUE', or the name of a column of 0 and 1"


def at_least(column: str, threshold: float) -> AtLeast:
    """The label of an event is 1 where `column` is at least `threshold`, else 0.

    Args:
        column: a column of numbers.
        threshold: the smallest number of a positive.

    >>> at_least("rating", 4)
    AtLeast(column='rating', threshold=4)
    """
    return AtLeast(column, threshold)


def equals(column: str, value: str | float) -> Equals:
    """The label of an event is 1 where `column` holds `value`, else 0.

    Args:
        column: a column of text or numbers, that of event types for one.
        value: what a positive holds.

    >>> equals("action", "buy")
    Equals(column='action', value='buy')
    """
    return Equals(column, value)


def label_of(label: object) -> str | Rule:
    """The rule that a text says: "rating>=4", "action==buy", or the name of a column of 0 and 1.

    Args:
        label: text, or a rule, which is left as it is.

    Raises: ArgumentError that says both forms.

    >>> label_of("rating >= 4"), label_of("action==buy"), label_of("clicked")
    (AtLeast(column='rating', threshold=4.0), Equals(column='action', value='buy'), 'clicked')
    """
    if isinstance(label, AtLeast | Equals):
        return label
    if not isinstance(label, str) or not label.strip():
        raise ArgumentError("label", label, expected=_EXPECTED)
    if not any(sign in label for sign in "<>="):
        return label
    found = _RULE.fullmatch(label)
    if found is not None and found["sign"] == "==":
        return equals(found["column"], found["value"])
    try:
        threshold = None if found is None else float(found["value"])
    except ValueError:
        threshold = None
    if found is None or threshold is None or threshold != threshold:
        raise ArgumentError("label", label, expected=_EXPECTED)
    return at_least(found["column"], threshold)
