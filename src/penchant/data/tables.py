"""Which columns describe items and users: in a table of their own, or in the event table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penchant.data.scan import Source
from penchant.errors import ArgumentError


@dataclass(frozen=True)
class AttributeTable:
    """Which columns say what of items or users; made by `items` and `users`.

    Attributes:
        source: the table; None: the event table itself.
        id: its id column; None: named as in the event table.
        title: the text to show to people.
        categories: by column, what separates the labels in it; None for lists and single labels.
        numbers, text, vectors: columns.
    """

    source: Source | None
    id: str | None
    title: str | None
    categories: Mapping[str, str | None]
    numbers: tuple[str, ...]
    text: tuple[str, ...]
    vectors: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """All of them but the id."""
        return list(dict.fromkeys([*self.text, *self.categories, *self.numbers, *self.vectors]))


def items(
    source: Source | None = None,
    *,
    id: str | None = None,
    title: str | None = None,
    categories: Mapping[str, str | None] | Sequence[str] | None = None,
    numbers: str | Sequence[str] = (),
    text: str | Sequence[str] = (),
    vectors: str | Sequence[str] = (),
) -> AttributeTable:
    """Says which columns describe items; an argument of `read_events`.

    Args:
        source: a table as `read_events` takes it, one row an item. None: the columns stand in the event
            table, and each item gets its first value there.
        id: the column of item ids; by default it is named as in the event table.
        title: a column of text to show to people.
        categories: columns of one or several labels, and what separates them: `{"genres": "|"}`. None as
            separator, and a list of columns, as in `["brand"]`: they hold lists, or a single label.
        numbers: columns of numbers, or one.
        text: further columns of text, or one.
        vectors: columns of lists of numbers, all of one length, or one.
    """
    labels = _separators(categories)
    texts = _names(text) if title is None or title in _names(text) else (title, *_names(text))
    return AttributeTable(source, id, title, labels, _names(numbers), texts, _names(vectors))


def users(
    source: Source | None = None,
    *,
    id: str | None = None,
    title: str | None = None,
    categories: Mapping[str, str | None] | Sequence[str] | None = None,
    numbers: str | Sequence[str] = (),
    text: str | Sequence[str] = (),
    vectors: str | Sequence[str] = (),
) -> AttributeTable:
    """Says which columns describe users; see `items`.

    Args:
        source: a table, one row a user; None: the event table.
        id: the column of user ids.
        title: a column of text to show to people.
        categories: columns of labels, and what separates them.
        numbers: columns of numbers.
        text: further columns of text.
        vectors: columns of lists of numbers.
    """
    return items(
        source, id=id, title=title, categories=categories, numbers=numbers, text=text, vectors=vectors
    )


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _separators(given: Mapping[str, str | None] | Sequence[str] | None) -> dict[str, str | None]:
    if isinstance(given, str) or not isinstance(given, Mapping | Sequence | None):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ArgumentError(
            "categories", given,
            expected='a separator by column, such as {"genres": "|"}, or a list of columns',
        )  # fmt: skip
    separators = dict(given) if isinstance(given, Mapping) else dict.fromkeys(given or ())
    for column, separator in separators.items():
        if separator == "":
            raise ArgumentError(
                "categories", {column: ""}, expected="what separates labels",
                fix="pass None where a cell holds a single label, or a list",
            )  # fmt: skip
    return separators
