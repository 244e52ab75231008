"""The log as flat arrays, one block a user, and what models may know of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from penchant.data.attributes import Attributes
from penchant.data.batch import Histories, moved, offsets_of, reader
from penchant.data.profile import DataProfile
from penchant.data.vocabulary import FIRST, Vocabulary
from penchant.errors import ArgumentError, nearest


@dataclass(frozen=True)
class Column:
    """What a model may know of a log column.

    Attributes:
        size: number of categories (padding and unknown included), or 0 for a plain number.
    """

    size: int = 0


@dataclass(frozen=True, eq=False)
class Features:
    """What a model may know of the data: sizes, columns and handles to the attribute tables.

    Attributes:
        items: V, the rows of an item table (padding and unknown included).
        users: the rows of a user table, likewise.
        events: event types, likewise; 0 where the log has none.
        has_time: whether times are real (else ordinals).
        has_label: whether events carry an outcome.
        columns: the log's context columns.
        catalogue: attributes of items; None where only sizes are known.
        people: attributes of users; None where only sizes are known.
    """

    items: int
    users: int = 2
    events: int = 0
    has_time: bool = True
    has_label: bool = False
    columns: Mapping[str, Column] = field(default_factory=dict[str, Column])
    catalogue: Attributes | None = None
    people: Attributes | None = None

    def __repr__(self) -> str:
        sizes = [f"items={self.items:,}", f"users={self.users:,}", f"events={self.events:,}"]
        what = {"has_time": self.has_time, "has_label": self.has_label}
        what |= {"columns": list(self.columns), "catalogue": self.catalogue, "people": self.people}
        return f"Features({', '.join([*sizes, *(f'{name}={value!r}' for name, value in what.items())])})"

    def __deepcopy__(self, memo: object) -> "Features":
        """Itself: a copied model reads the same tables."""
        return self

    def item_categories(self, name: str) -> tuple[Tensor, int]:
        """The table [V, M] of an item category (0 padding) and its number of labels, for an embedding."""
        if self.catalogue is None:
            raise ArgumentError("categories", name, expected="features of a log with item attributes")
        categories = self.catalogue.category(name)
        return categories.padded, len(categories.labels)


def require_features(features: object) -> None:
    """ArgumentError where a model is given something else than what a log holds, such as the log."""
    if not isinstance(features, Features):
        raise ArgumentError(
            "features", features, expected="what a log holds", fix="pass log.features, or split.log.features"
        )


def require_log(log: object, argument: str) -> None:
    """ArgumentError where `argument` is no log."""
    if not isinstance(log, Interactions):
        raise ArgumentError(
            argument, log, expected="a log", fix="pass what read_events or open_log gives, or split.log"
        )


def check_numbering(model: object, log: "Interactions", *, argument: str) -> None:
    """Raises where a model was made for a log that numbers its items in another way: it would talk nonsense.

    A model is compared by the `features` that it was made with, if it keeps them as an attribute; one that
    says `user_id` or `people` reads users by number, so theirs are compared too.

    Args:
        model: a model.
        log: what its answers are to be about.
        argument: what the caller calls the log, for errors.

    Raises: ArgumentError that names the first index that stands for two things.
    """
    features = getattr(model, "features", None)
    if not isinstance(features, Features):
        return
    pairs = [("item", features.items, features.catalogue, log.catalogue)]
    if getattr(model, "user_id", False) or getattr(model, "people", ()):
        pairs.append(("user", features.users, features.people, log.users))
    for what, size, theirs, ours in pairs:
        mine = None if theirs is None else theirs.vocabulary
        if mine is ours.vocabulary or (mine is None and size == len(ours)):
            continue
        if mine is not None and mine.digest == ours.vocabulary.digest:
            continue
        raise ArgumentError(
            argument, log,
            expected=f"a log that numbers its {what}s as that which {type(model).__name__} was made for "
            f"({_difference(mine, ours.vocabulary, what, size)})",
            fix="pass that log, or make and train the model anew with the features of this one",
        )  # fmt: skip


def _difference(theirs: Vocabulary | None, ours: Vocabulary, what: str, size: int) -> str:
    if theirs is not None:
        count = min(len(theirs), len(ours)) - FIRST
        here, there = (v.all_ids.head(count) for v in (ours, theirs))
        differs = (here != there).arg_true() if ours.dtype == theirs.dtype else range(count)
        if len(differs):
            place = int(differs[0])
            return f"{what} {place + FIRST} was {theirs.all_ids[place]!r} and is {ours.all_ids[place]!r}"
    return f"there were {size - FIRST:,} {what}s and are {len(ours) - FIRST:,}"


@dataclass(frozen=True, eq=False)
class Interactions:
    """The log: N events in flat arrays, sorted by user, then time, then file order (or a seeded hash).

    Attributes:
        users, catalogue: attributes of users and items; their vocabularies translate ids.
        offsets: [U+1] int64; the events of user u are the rows `offsets[u]:offsets[u+1]`.
        item: [N] int32.
        time: [N] int64 seconds UTC; the event's ordinal where `has_time` is False.
        has_time: whether the log has times.
        label: [N] float32 in {0, 1}, or None where every event is a positive.
        event: [N] int16 types, or None. `events` names them.
        columns: context columns by name, [N] float32 (numbers) or int32 (categories).
        column_labels: the categories' names of those columns that hold categories.
        profile: what was read, kept and dropped.
    """

    users: Attributes
    catalogue: Attributes
    offsets: Tensor
    item: Tensor
    time: Tensor
    profile: DataProfile
    has_time: bool = True
    label: Tensor | None = None
    event: Tensor | None = None
    events: Vocabulary | None = None
    columns: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    column_labels: Mapping[str, Vocabulary] = field(default_factory=dict[str, Vocabulary])

    def __len__(self) -> int:
        return len(self.item)

    def __repr__(self) -> str:
        what = [f"{len(self):,} events", f"{self.profile.users:,} users", f"{self.profile.items:,} items"]
        what += [
            name for name, there in (("times", self.has_time), ("labels", self.label is not None)) if there
        ]
        return f"Interactions({', '.join([*what, *self.columns])})"

    def to(self, device: torch.device | str) -> "Interactions":
        """The same with all events in the memory of a device, such as "cuda"; attributes stay where they are.

        Batches and requests are then gathered there: `fit(model, split.to("cuda"))` reads no event from the
        computer's own memory.
        """
        names = ("offsets", "item", "time", "label", "event", "columns")
        return replace(self, **{name: moved(getattr(self, name), device) for name in names})

    @property
    def device(self) -> torch.device:
        """Where its events are."""
        return self.item.device

    def save(self, path: str | Path) -> None:
        """Writes the log as a folder that `open_log` opens in an instant; one that stands there is replaced.

        Raises: StoreError if the folder holds something else, or the disk is full; it is as it was then.
        """
        from penchant.data.atomic import atomic_folder
        from penchant.data.store import save_log  # which makes logs: it imports this module

        with atomic_folder(path) as folder:
            save_log(self, folder)

    @cached_property
    def features(self) -> Features:
        """What models may know: pass it to their constructors."""
        return Features(
            items=len(self.catalogue),
            users=len(self.users),
            events=0 if self.events is None else len(self.events),
            has_time=self.has_time,
            has_label=self.label is not None,
            columns={
                name: Column(len(self.column_labels[name]) if name in self.column_labels else 0)
                for name in self.columns
            },
            catalogue=self.catalogue,
            people=self.users,
        )

    def user_of(self, rows: Tensor) -> Tensor:
        """The user of each row, [n] int64."""
        return torch.searchsorted(self.offsets, rows, right=True) - 1

    @cached_property
    def user(self) -> Tensor:
        """The user of every row, [N] int64. O(N) memory: prefer `user_of`."""
        return torch.repeat_interleave(self.offsets.diff(), output_size=len(self))

    def positive(self, rows: Tensor) -> Tensor:
        """Whether each row is a positive, [n] bool."""
        if self.label is None:
            return torch.ones(len(rows), dtype=torch.bool, device=self.device)
        return self.label.index_select(0, rows) > 0.5

    def column(self, name: str) -> Tensor:
        """A context column [N]; ArgumentError names the nearest one where there is none."""
        if name not in self.columns:
            hint = nearest(name, list(self.columns))
            raise ArgumentError("column", name, expected=f"a column of the log ({hint})")
        return self.columns[name]

    def histories(self, starts: Tensor, ends: Tensor, rows: Tensor | None = None) -> Histories:
        """The events at positions `starts[b]:ends[b]` of every b as histories.

        Args:
            starts: [B] int64 positions in the log, or in `rows` where it is given.
            ends: [B] likewise, exclusive.
            rows: the rows that a history may use; None for all.
        """
        lengths = ends - starts
        whole = Histories(self.offsets, self.item, self.time, self.event, self.history_columns)
        if rows is None:
            return whole.slices(starts, lengths)
        return whole.take(reader(starts, lengths)(rows), offsets_of(lengths))

    @cached_property
    def history_columns(self) -> Mapping[str, Tensor]:
        """Columns that ride along in histories: the context columns and the label."""
        return dict(self.columns) if self.label is None else {**self.columns, "label": self.label}
