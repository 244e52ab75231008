"""A world said whole: sizes, a seed, and the effects that are on; as Python and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import polars as pl
import torch
from torch import Generator, Tensor

from penchant.errors import ArgumentError, nearest
from penchant.world._asked import check_whole
from penchant.world._catalogue import Catalogue, category_names, make_catalogue
from penchant.world.effects import (
    Births,
    Boredom,
    Churn,
    Content,
    Exposure,
    Interests,
    Popularity,
    Satisfaction,
    SemanticTemporal,
    Sequels,
    Sessions,
    Treatment,
    check_number,
)
from penchant.world.people import log_interests, people

if TYPE_CHECKING:
    from penchant.world.crowd import Crowd

DAY = 86_400
EFFECTS = {
    "interests": Interests,
    "popularity": Popularity,
    "births": Births,
    "semantic": SemanticTemporal,
    "boredom": Boredom,
    "sequels": Sequels,
    "satisfaction": Satisfaction,
    "churn": Churn,
    "treatment": Treatment,
    "exposure": Exposure,
    "content": Content,
}
_FORMAT = 1


@dataclass(frozen=True, kw_only=True, eq=True)
class World:
    """A simulated world with planted truth. Every effect is on unless it is None.

    With `exposure`, a logging policy shows lists and users click (`click_probability`); without it, users
    choose freely (`choice_probability`). All else stays as it is: the draws of one effect do not move
    another's, and a user is the same whoever else is simulated.

    Args:
        users: how many a log has; any other user can be asked about, too.
        items: of the catalogue.
        categories: of items.
        days: the horizon, on which who has not quit is censored.
        seed: everything follows from it.
        start: seconds UTC of day 0 (2020-01-01).
        sessions: when users come.
        interests: what users like, and how that changes. None is off, here and below.
        popularity: how items of a category differ.
        births: when items appear.
        semantic: what past events do to items of their category.
        boredom: how repetition tires.
        sequels: which item follows which.
        satisfaction: how users feel about what they chose.
        churn: why they quit.
        treatment: an arm at random.
        exposure: lists that are shown.
        content: what can be read of items.

    Raises: ArgumentError that names the number that cannot be.

    >>> world = World(users=10, items=60, categories=6, days=20, boredom=None)
    >>> world.effects[:4], world.interests_of(torch.arange(3), at=2.5).shape
    (['interests', 'popularity', 'births', 'semantic'], torch.Size([3, 6]))
    >>> World.from_json(world.to_json()) == world
    True
    """

    users: int = 1_000
    items: int = 2_000
    categories: int = 24
    days: int = 90
    seed: int = 0
    start: int = 1_577_836_800
    sessions: Sessions = field(default_factory=Sessions)
    interests: Interests | None = field(default_factory=Interests)
    popularity: Popularity | None = field(default_factory=Popularity)
    births: Births | None = field(default_factory=Births)
    semantic: SemanticTemporal | None = field(default_factory=SemanticTemporal)
    boredom: Boredom | None = field(default_factory=Boredom)
    sequels: Sequels | None = field(default_factory=Sequels)
    satisfaction: Satisfaction | None = field(default_factory=Satisfaction)
    churn: Churn | None = field(default_factory=Churn)
    treatment: Treatment | None = field(default_factory=Treatment)
    exposure: Exposure | None = field(default_factory=Exposure)
    content: Content | None = field(default_factory=Content)

    def __post_init__(self) -> None:
        check_number("users", self.users, 1, 10**12, whole=True)
        check_number("items", self.items, 2, 2**31 - 1, whole=True)
        check_number("categories", self.categories, 1, self.items, whole=True)
        check_number("days", self.days, 1, 36_500, whole=True)
        check_number("seed", self.seed, -(2**63), 2**63 - 1, whole=True)
        check_number("start", self.start, 0, 2**40, whole=True)
        for name, kind in {"sessions": Sessions, **EFFECTS}.items():
            value = getattr(self, name)
            if not isinstance(value, kind) and (value is not None or name == "sessions"):
                raise ArgumentError(name, value, expected=f"{kind.__name__}(...) or None, which is off")
        if self.interests is not None and self.interests.count > self.categories:
            raise ArgumentError(
                "interests.count", self.interests.count, expected=f"at most {self.categories} categories"
            )
        late = 0.0 if self.births is None else self.births.share
        if self.exposure is None or 10 * self.exposure.slots < (1 - late) * self.items:
            return  # far from too few, and not worth making the catalogue for
        if self.exposure.slots > int(self.catalogue.alive[0]):
            raise ArgumentError(
                "exposure.slots", self.exposure.slots,
                expected=f"at most the {int(self.catalogue.alive[0])} items that are there on the first day",
                fix="use more items, shorter lists, or fewer births",
            )  # fmt: skip

    @property
    def effects(self) -> list[str]:
        """The names of the effects that are on."""
        return [name for name in EFFECTS if getattr(self, name) is not None]

    def without(self, *effects: str) -> World:
        """The same world with these effects off; ArgumentError names the nearest where one does not exist."""
        for name in effects:
            if name not in EFFECTS:
                raise ArgumentError("effect", name, expected=f"an effect ({nearest(name, list(EFFECTS))})")
        return replace(self, **dict.fromkeys(effects))

    @cached_property
    def catalogue(self) -> Catalogue:
        """What the items are."""
        return make_catalogue(
            self.items, self.categories, self.days, self.seed,
            popularity=self.popularity, births=self.births, content=self.content,
        )  # fmt: skip

    @cached_property
    def category_names(self) -> list[str]:
        """Readable names of the categories."""
        return category_names(self.categories)

    def item_table(self) -> pl.DataFrame:
        """What a model may read of the items: `item`, `title`, `category` ("drama|comedy" for two), `born`
        (day), and with content `stars` and `vector`.
        """
        return self.catalogue.frame(self.category_names)

    # -- truth that does not depend on a path ----------------------------------------------------------------

    def interests_of(self, users: Tensor, at: float | Tensor) -> Tensor:
        """The interest weights [n, C] of users, which sum to 1; uniform where interests are off.

        Args:
            users: [n] int64.
            at: days since the beginning, one or [n].

        Raises: ArgumentError where a user's number is below 0, or `at` is not finite or of another size.
        """
        check_whole("users", users, (None,))
        when = torch.as_tensor(at, dtype=torch.float64)
        if when.shape not in ((), users.shape) or not bool(when.isfinite().all()):
            raise ArgumentError("at", at, expected=f"a finite number of days, or {len(users):,} of them")
        when = when.expand(len(users))
        return log_interests(self, people(self, users), when).softmax(1)

    def item_probability(self, at: float) -> Tensor:
        """The law [V] that everybody draws from at a moment where no effect but popularity and births is
        on.

        Args:
            at: days since the beginning, from 0 to the world's days.

        Raises: ArgumentError where it lies outside.
        """
        check_number("at", at, 0, self.days)
        alive = self.catalogue.weight * (self.catalogue.born <= int(at))
        return alive / alive.sum()

    def semantic_map(self, ranks: int, age: float = 0.0) -> Tensor:
        """What a past event of each rank adds to the log-odds of an item now, [2, ranks].

        Args:
            ranks: how many; the latest event comes first.
            age: days since the event.

        Returns: row 0 for an event of another category (zeros), row 1 for one of the same; flat where it is
            off.
        Raises: ArgumentError where `ranks` is no integer of at least 1, or `age` below 0 or not finite.
        """
        check_number("ranks", ranks, 1, whole=True)
        check_number("age", age, 0)
        found = torch.zeros(2, ranks, dtype=torch.float64)
        if self.semantic is not None:
            place = torch.arange(1, ranks + 1)
            found[1] = self.semantic.kernel(place, torch.full_like(place, age, dtype=torch.float64))
        return found

    # -- steps -----------------------------------------------------------------------------------------------

    def begin(
        self, users: Tensor, generator: Generator | None = None, *, treated: bool | None = None
    ) -> Crowd:
        """Users [B] int64 at their first request, each with a clean state.

        Args:
            users: their numbers; any of 0 or more.
            generator: draws when they come; None: it follows from the world's seed.
            treated: puts all of them into one arm; None: as they were randomised.

        Raises: ArgumentError where a number is below 0, or `users` is not [B] of integers.
        """
        from penchant.world.crowd import Crowd  # which reads worlds

        return Crowd.begin(self, users, generator, treated=treated)

    # -- JSON ------------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """The whole configuration."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> World:
        """What `to_json` gave.

        Raises: ArgumentError that names what is unknown or cannot be.
        """
        try:
            given = json.loads(text)
        except ValueError as error:
            raise ArgumentError("world", text[:40], expected=f"JSON ({error})") from None
        if not isinstance(given, dict) or given.pop("format", None) != _FORMAT:
            raise ArgumentError("format", text[:40], expected=f"the JSON of a world in format {_FORMAT}")
        return cls().changed(cast("Mapping[str, Any]", given))

    def changed(self, values: Mapping[str, Any]) -> World:
        """The same world with other values.

        Args:
            values: by name; an effect's is None, or its own arguments as a mapping: those that are not named
                stay as they are, or have their defaults where the effect was off.

        Raises: ArgumentError with the nearest name where one is unknown.
        """
        fresh: dict[str, Any] = {}
        for name, value in values.items():
            _known(name, [f.name for f in fields(self)], "")
            kind = {"sessions": Sessions, **EFFECTS}.get(name)
            if kind is not None and isinstance(value, Mapping):
                parts = cast("Mapping[str, Any]", value)
                for part in parts:
                    _known(part, [f.name for f in fields(kind)], f"{name}.")
                there = fresh.get(name, getattr(self, name))
                value = kind(**parts) if there is None else replace(there, **parts)
            fresh[name] = value
        return replace(self, **fresh)


def _known(name: str, names: list[str], prefix: str) -> None:
    if name not in names:
        hint = nearest(name, names)
        raise ArgumentError("world", f"{prefix}{name}", expected=f"a setting of a world ({hint})")
