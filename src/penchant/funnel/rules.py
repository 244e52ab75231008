"""What holds for a list whatever the models think: denied, available and pinned items, and quotas."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor

from penchant.data.interactions import Interactions
from penchant.data.vocabulary import FIRST, Vocabulary
from penchant.errors import ArgumentError, nearest
from penchant.funnel.arguments import index_of, one, several, whole

_UNLIMITED = torch.iinfo(torch.int64).max
_NAMED = 3  # single limits that a reason spells out


@dataclass(frozen=True)
class Rules:
    """What holds for a list whatever the models think.

    Rules of a `Funnel` hold for all its lists, and its bundle keeps them. A request adds its own to them and
    loosens none. Nothing in them changes after they were made: what was given is copied.

    Args:
        deny: item ids that must not be answered. Ids that the log does not know are ignored, here and in
            `available`: the rest of a shop may be newer than the log.
        available: item ids that may be answered; None for all.
        pinned: item ids that stand in the first places, in their order, or a mapping from item ids to places,
            from 1. They stand there whether they were seen or not, and whatever they score.
        quota: how many items of a category a list may hold, by column of the catalogue: a number for each of
            its values, `{"genres": 3}`, or numbers by value, `{"genres": {"Horror": 0, None: 3}}`, where None
            stands for every other one. An item counts for each of its values, a pinned one does, too; one
            without a value counts for none.

    Raises: ArgumentError if an argument is not as said above.
    """

    deny: Iterable[object] = ()
    available: Iterable[object] | None = None
    pinned: Iterable[object] | Mapping[Any, int] = ()
    quota: Mapping[str, int | Mapping[Any, int]] = field(default_factory=dict[str, int | Mapping[Any, int]])

    def __post_init__(self) -> None:
        available = None if self.available is None else tuple(several("available", self.available))
        object.__setattr__(self, "deny", tuple(several("deny", self.deny)))
        object.__setattr__(self, "available", available)
        object.__setattr__(self, "pinned", _places(self.pinned))
        object.__setattr__(self, "quota", _quotas(self.quota))

    def __hash__(self) -> int:
        return hash((self.deny, self.available, frozenset(self.places.items()), frozenset(self.limits)))

    def __reduce__(self) -> tuple[type["Rules"], tuple[object, ...]]:  # a proxy can be copied by nobody
        quota = {column: dict(by) for column, by in self._quota.items()}
        return Rules, (self.deny, self.available, dict(self.places), quota)

    def __bool__(self) -> bool:
        return bool(self.deny or self.pinned or self.limits) or self.available is not None

    def __str__(self) -> str:
        limits = ", ".join(_limit(*limit) for limit in self.limits)
        told = {
            f"{len(tuple(self.deny)):,} denied": self.deny,
            f"{len(tuple(self.available or ())):,} available": self.available is not None,
            f"{len(self.places):,} pinned": self.places,
            f"quota {limits}": limits,
        }
        return "; ".join(words for words, there in told.items() if there)

    @property
    def places(self) -> Mapping[object, int]:
        """Places of pinned items, from 1."""
        return cast("Mapping[object, int]", self.pinned)

    @property
    def _quota(self) -> Mapping[str, Mapping[object, int]]:
        return cast("Mapping[str, Mapping[object, int]]", self.quota)

    @property
    def limits(self) -> list[tuple[str, object, int]]:
        """The quotas one by one: column, value (None: every other one) and number."""
        return [(column, value, most) for column, by in self._quota.items() for value, most in by.items()]

    def as_json(self) -> dict[str, Any]:
        """The same in JSON's types, which `from_json` takes."""
        return {
            "deny": list(self.deny),
            "available": None if self.available is None else list(self.available),
            "pinned": [list(pair) for pair in self.places.items()],
            "quota": [list(limit) for limit in self.limits],
        }

    @classmethod
    def from_json(cls, value: Any) -> "Rules":
        """The rules that `as_json` wrote; ArgumentError where `value` is nothing of that kind."""
        try:
            quota: dict[str, dict[Any, int]] = {}
            for column, kind, most in value["quota"]:
                quota.setdefault(column, {})[kind] = most
            return cls(value["deny"], value["available"], {item: at for item, at in value["pinned"]}, quota)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, ArgumentError):
                raise
            raise ArgumentError("rules", value, expected=f"what Rules.as_json wrote ({error!r})") from None


def _places(given: Any) -> Mapping[object, int]:
    """Places of pinned items."""
    if not isinstance(given, Mapping):
        items = several("pinned", given).to_list()
        given = {item: place for place, item in enumerate(items, 1)}
        if len(given) < len(items):
            twice = next(item for n, item in enumerate(items) if item in items[:n])
            raise ArgumentError("pinned", twice, expected="every item once")
    items = several("pinned", list(given)).to_list()
    found = {
        item: whole(f"pinned[{item!r}]", place) for item, place in zip(items, given.values(), strict=True)
    }
    at = list(found.values())
    if shared := next((place for n, place in enumerate(at) if place in at[:n]), None):
        both = [item for item, place in found.items() if place == shared]
        raise ArgumentError("pinned", both, expected=f"one item at place {shared}")
    return MappingProxyType(found)


def _quotas(given: Any) -> Mapping[str, Mapping[Any, int]]:
    """Numbers by value by column."""
    if not isinstance(given, Mapping):
        raise ArgumentError("quota", given, expected="a mapping from category columns, as {'genres': 3}")
    return MappingProxyType({column: _quota(column, limit) for column, limit in given.items()})


def _quota(column: object, limit: object) -> Mapping[Any, int]:
    if not isinstance(column, str):
        raise ArgumentError("quota", column, expected="the name of a category column")
    name = f"quota[{column!r}]"
    found: dict[Any, int] = {}
    for value, most in (limit if isinstance(limit, Mapping) else {None: limit}).items():
        place = name if value is None else f"{name}[{value!r}]"
        if isinstance(most, bool) or not isinstance(most, Integral) or most < 0:
            raise ArgumentError(place, most, expected="a number of items, 0 or more")
        found[None if value is None else one(name, value)] = int(most)
    return MappingProxyType(found)


def _limit(column: str, value: object, most: int) -> str:
    return f"{column}{'' if value is None else f':{value}'}<={most}"


# -- in indices ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Cap:
    """How many items of each value of a category a list may hold.

    Attributes:
        labels: [V, M] int64, the values of each item, 0 where it has fewer.
        most: [L] int64 by value.
        words: the quota for people, such as "genres<=3".
    """

    labels: Tensor
    most: Tensor
    words: str


@dataclass(frozen=True, eq=False)
class Terms:
    """Rules in indices of a log.

    Attributes:
        eligible: [V] bool, what may be answered; None for all.
        pins: [P] int64, the item of each place; 0 where none is pinned.
        caps: quotas by column.
    """

    eligible: Tensor | None = None
    pins: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    caps: Mapping[str, Cap] = field(default_factory=dict[str, Cap])

    @property
    def arrange(self) -> bool:
        """Whether they move items: pins and quotas do, what is merely not eligible is never found."""
        return bool(len(self.pins) or self.caps)


def terms_of(log: Interactions, rules: Rules, standing: Terms | None = None) -> Terms:
    """Rules in indices, those of a request with the standing ones of its funnel.

    What is denied by either is, what both allow may be answered, and the smaller quota counts. An item that
    a request pins takes the place of one that the funnel pins there. A standing pin that a request denies,
    or has no room for in its quota, is left out of that answer.

    Args:
        log: whose items and categories the rules name.
        rules: of the request, or of the funnel alone.
        standing: of the funnel, where there are any.

    Raises:
        ArgumentError: a pinned item, a category or a value is unknown, or `rules` contradict themselves or
            deny their own pins by the standing ones.
    """
    standing = standing or Terms()
    if not rules:
        return standing
    caps = _stricter(standing.caps, _caps(log, rules), log)
    eligible = _both(standing.eligible, _eligible(log, rules, caps))
    room = _Room(eligible, caps)
    placed: dict[int, int] = {}
    for item, place in rules.places.items():
        index = index_of("pinned", item, log.catalogue.vocabulary, expected="an item id of the log")
        if place > (last := len(log.catalogue) - FIRST):
            raise ArgumentError(f"pinned[{item!r}]", place, expected=f"a place up to {last:,}, of all items")
        if refusal := room.take(index):
            fix = "take it out of pinned, or change the other rule"
            raise ArgumentError(
                "pinned", item, expected=f"an item that may stand there; it {refusal}", fix=fix
            )
        placed[place] = index
    for place, index in enumerate(standing.pins.tolist(), 1):
        if index and place not in placed and index not in placed.values() and not room.take(index):
            placed[place] = index
    pins = torch.zeros(max(placed, default=0), dtype=torch.int64)
    for place, index in placed.items():
        pins[place - 1] = index
    return Terms(eligible, pins, caps)


class _Room:
    """What may still be pinned."""

    def __init__(self, eligible: Tensor | None, caps: Mapping[str, Cap]) -> None:
        self._eligible = eligible
        self._caps = caps
        self._left = {name: cap.most.clone() for name, cap in caps.items()}

    def take(self, item: int) -> str:
        """Takes an item in; answers why it cannot be, "" where it was."""
        kinds = {name: cap.labels[item].unique() for name, cap in self._caps.items()}
        for name, labels in kinds.items():
            if bool((self._left[name][labels] < 1).any()):
                return f"is more than the quota {self._caps[name].words} allows"
        if self._eligible is not None and not bool(self._eligible[item]):
            return "is denied or not available"
        for name, labels in kinds.items():
            self._left[name][labels] -= 1
        return ""


def _both(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return other if one is None else one if other is None else one & other


def _eligible(log: Interactions, rules: Rules, caps: Mapping[str, Cap]) -> Tensor | None:
    """[V] bool; None where all may be answered. A quota of 0 denies."""
    closed = [(cap.most == 0)[cap.labels].any(1) for cap in caps.values() if bool((cap.most == 0).any())]
    if not rules.deny and rules.available is None and not closed:
        return None
    vocabulary = log.catalogue.vocabulary
    mask = torch.full((len(vocabulary),), rules.available is None)
    if rules.available is not None:
        mask[torch.from_numpy(vocabulary.index(several("available", rules.available)))] = True
    if rules.deny:
        mask[torch.from_numpy(vocabulary.index(several("deny", rules.deny)))] = False
    for items in closed:
        mask &= ~items
    mask[:FIRST] = False
    return mask


def _caps(log: Interactions, rules: Rules) -> dict[str, Cap]:
    caps: dict[str, Cap] = {}
    for column, by in cast("Mapping[str, Mapping[object, int]]", rules.quota).items():
        if column not in log.catalogue.categories:
            hint = nearest(column, list(log.catalogue.categories))
            raise ArgumentError("quota", column, expected=f"a category of the catalogue ({hint})")
        categories = log.catalogue.categories[column]
        most = torch.full((len(categories.labels),), by.get(None, _UNLIMITED))
        most[:FIRST] = _UNLIMITED
        for value, limit in by.items():
            if value is not None:
                expected = f"a value of {column}"
                most[index_of(f"quota[{column!r}]", value, categories.labels, expected=expected)] = limit
        if by:
            caps[column] = Cap(categories.padded, most, _words(column, most, categories.labels))
    return caps


def _stricter(one: Mapping[str, Cap], other: Mapping[str, Cap], log: Interactions) -> dict[str, Cap]:
    """The smaller limits of both."""
    found = {**one, **other}
    for column in one.keys() & other.keys():
        most = torch.minimum(one[column].most, other[column].most)
        words = _words(column, most, log.catalogue.categories[column].labels)
        found[column] = Cap(one[column].labels, most, words)
    return found


def _words(column: str, most: Tensor, labels: Vocabulary) -> str:
    """A quota for people: the limit of most values, then those that differ from it."""
    if len(most) == FIRST:
        return column
    usual = int(most[FIRST:].mode().values)
    other = ((most != usual) & (torch.arange(len(most)) >= FIRST)).nonzero().squeeze(1)
    said = [] if usual == _UNLIMITED else [_limit(column, None, usual)]
    for index, value in zip(other[:_NAMED].tolist(), labels.ids(other[:_NAMED].numpy()), strict=True):
        limit = int(most[index])
        said.append(f"{column}:{value} unlimited" if limit == _UNLIMITED else _limit(column, value, limit))
    return ", ".join([*said, *(["..."] if len(other) > _NAMED else [])])
