"""What a ranker reads: items, users, context and the columns of history events, each as fields of one width.

A field is one vector of D numbers for one thing known: an id, a category (of several labels the mean), a
number. Candidate and history read items through the same tables. Side by side (`flatten(-2)`) the fields feed
a network, one by one a factorisation machine, and at width 1 their sum is a logistic regression.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar, cast

import torch
from torch import Generator, Tensor, nn

from penchant.data.attributes import Attributes
from penchant.data.batch import Histories, Requests
from penchant.data.interactions import Column, Features, check_numbering
from penchant.data.provenance import Provenance
from penchant.data.split import Split
from penchant.errors import ArgumentError, nearest
from penchant.nn.embedding import CategoryTable, ItemTable

T = TypeVar("T", bound=nn.Module)
STD = 0.05  # of initial vectors
_FAR = 5.0  # standard deviations at which numbers are cut off: one wild value must not rule a logit


class Number(nn.Module):
    """A number as a vector: level + z slope, z the number standardised; a vector of its own if missing.

    Args:
        width: D.
        std: of the initial weights.
        generator: what they are drawn from.

    Shapes: [...] with NaN where missing, to [..., D].
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int, *, std: float, generator: Generator) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))
        self.weight = nn.Parameter(torch.empty(3, width))  # slope, level, missing
        with torch.no_grad():
            nn.init.normal_(self.weight, std=std, generator=generator)

    def prepare(self, values: Tensor) -> None:
        """Take mean and deviation of training values [n] that are finite; a constant is left at scale 1."""
        values = values[values.isfinite()].double()
        if len(values):
            self.mean.copy_(values.mean())
            deviation = values.std(correction=0)
            self.scale.copy_(torch.where(deviation > 0, deviation, torch.ones_like(deviation)))

    def forward(self, values: Tensor) -> Tensor:
        """[..., D]."""
        z = (
            ((values.double() - self.mean) / self.scale)
            .clamp(-_FAR, _FAR)
            .to(self.weight.dtype)
            .unsqueeze(-1)
        )
        slope, level, missing = self.weight
        return torch.where(z.isnan(), missing, torch.addcmul(level, z.nan_to_num(), slope))


class Attribute(nn.Module):
    """An attribute of items or users as a vector, read by index: a category, or a number.

    Args:
        table: attributes of items or users.
        name: which of them.
        width: D.
        std: of the initial weights.
        generator: what they are drawn from.
    """

    values: Tensor

    def __init__(self, table: Attributes, name: str, width: int, *, std: float, generator: Generator) -> None:
        super().__init__()
        if name in table.numbers:
            self.field: Number | CategoryTable = Number(width, std=std, generator=generator)
            # an attribute table is stored once a bundle, and comes back with the features
            self.register_buffer("values", table.numbers[name].float(), persistent=False)
        else:
            labels = table.category(name)
            self.field = CategoryTable(labels.padded, len(labels.labels), width, std=std, generator=generator)

    def prepare(self, index: Tensor) -> None:
        """Count on the training rows, whose items or users are `index` [n]."""
        if isinstance(self.field, Number):
            self.field.prepare(self.values.index_select(0, index.long().to(self.values.device)))

    def forward(self, index: Tensor) -> Tensor:
        """[..., D] of dense indices [...]."""
        if isinstance(self.field, Number):
            return self.field(self.values.index_select(0, index.reshape(-1)).view(index.shape))
        if index.numel() <= len(self.field.table):
            return self.field(index)
        # more look-ups than rows: average the labels of every row once, then look rows up
        rows: Tensor = self.field(torch.arange(len(self.field.table), device=index.device))
        return rows.index_select(0, index.reshape(-1)).view(*index.shape, -1)


class LogColumn(nn.Module):
    """A column of the log as a vector, read by value: categories, or numbers.

    Args:
        column: what the store knows of it.
        width: D.
        std: of the initial weights.
        generator: what they are drawn from.
    """

    def __init__(self, column: Column, width: int, *, std: float, generator: Generator) -> None:
        super().__init__()
        if column.size:
            self.field: Number | ItemTable = ItemTable(column.size, width, std=std, generator=generator)
        else:
            self.field = Number(width, std=std, generator=generator)

    def prepare(self, values: Tensor) -> None:
        """Count on the values [n] of the training rows: a category that they lack reads the unknown row."""
        if isinstance(self.field, Number):
            return self.field.prepare(values)
        self.field.known.copy_(torch.bincount(values, minlength=len(self.field.known)) > 0)

    def forward(self, values: Tensor) -> Tensor:
        """[..., D]."""
        return self.field(values)


class ItemFields(nn.Module):
    """Items: id, categories and numbers.

    Args:
        features: what the store holds.
        width: D, of each field.
        categories: names of item categories.
        numbers: names of item numbers.
        std: of the initial vectors.
        generator: what they are drawn from.

    Shapes: items [...] to fields [..., F, D], F = `fields`; of padding, all zero but numbers and for no use.
    """

    provenance: tuple[Provenance, ...] = ()

    def __init__(
        self, features: Features, *, width: int, categories: Sequence[str] = (), numbers: Sequence[str] = (),
        std: float = STD, generator: Generator,
    ) -> None:  # fmt: skip
        super().__init__()
        self.features = features
        if (categories or numbers) and features.catalogue is None:
            raise ArgumentError(
                "categories" if categories else "numbers", [*categories, *numbers],
                expected="none, or features of a log with item attributes",
            )  # fmt: skip
        self.table = ItemTable(features.items, width, std=std, generator=generator, sparse=True)
        self.attributes = _modules(
            _attribute(features.catalogue, name, kind, width, std, generator)
            for kind, names in (("categories", categories), ("numbers", numbers))
            for name in names
        )
        self.fields = 1 + len(self.attributes)

    def prepare(self, split: Split) -> None:
        """Remember the items of training rows, and scale numbers on those rows."""
        check_numbering(self, split.log, argument="split.log")
        self.table.prepare(split)
        rows = split.train.rows
        items = split.log.item.index_select(0, rows)
        for attribute in self.attributes:
            attribute.prepare(items)
            self.provenance = (Provenance.of("scales of item attributes", split, rows),)

    def forward(self, items: Tensor) -> Tensor:
        """[..., F, D]."""
        ids: Tensor = self.table(items)
        if not self.attributes:
            return ids.unsqueeze(-2)
        return torch.stack([ids, *(attribute(items) for attribute in self.attributes)], -2)


class UserFields(nn.Module):
    """What is asked: the user's id and attributes, and the context of the request.

    Args:
        features: what the store holds.
        width: D, of each field.
        user_id: whether users have a vector of their own; unknown ones share one.
        people: names of user attributes (categories or numbers).
        context: names of log columns that come with a request.
        std: of the initial vectors.
        generator: what they are drawn from.

    Shapes: requests of B users to fields [B, F, D], F = `fields`, which may be 0.
    """

    nothing: Tensor
    provenance: tuple[Provenance, ...] = ()

    def __init__(
        self, features: Features, *, width: int, user_id: bool = False, people: Sequence[str] = (),
        context: Sequence[str] = (), std: float = STD, generator: Generator,
    ) -> None:  # fmt: skip
        super().__init__()
        self.features, self.user_id, self.people = features, user_id, tuple(people)
        if people and features.people is None:
            raise ArgumentError("people", people, expected="none, or features of a log with user attributes")
        self.width, self.context = width, tuple(context)
        self.register_buffer("nothing", torch.zeros(0), persistent=False)  # knows device and precision
        self.ids = (
            ItemTable(features.users, width, std=std, generator=generator, sparse=True) if user_id else None
        )
        self.attributes = _modules(
            _attribute(features.people, name, "people", width, std, generator) for name in people
        )
        self.columns = _modules(
            LogColumn(_column(features.columns, name, "context"), width, std=std, generator=generator)
            for name in context
        )
        self.fields = user_id + len(self.attributes) + len(self.columns)

    def prepare(self, split: Split) -> None:
        """Remember the users and categories of training rows, and scale numbers on those rows."""
        rows, log = split.train.rows, split.log
        check_numbering(self, log, argument="split.log")
        if self.ids is not None:
            self.ids.known.copy_(split.seen_users)
        users = log.user_of(rows) if self.attributes else rows
        for attribute in self.attributes:
            attribute.prepare(users)
        for name, column in zip(self.context, self.columns, strict=True):
            column.prepare(log.column(name).index_select(0, rows))
        if self.fields:
            self.provenance = (Provenance.of("known users, values and scales", split, rows),)

    def forward(self, requests: Requests) -> Tensor:
        """[B, F, D]."""
        users = requests.users
        fields: list[Tensor] = [] if self.ids is None else [self.ids(users)]
        fields += [attribute(users) for attribute in self.attributes]
        for name, column in zip(self.context, self.columns, strict=True):
            if name not in requests.context:
                raise ArgumentError(
                    "context", sorted(requests.context), expected=f"a value of {name!r} with each request",
                    fix=f"pass it, or build the ranker without {name!r} in its context",
                )  # fmt: skip
            fields.append(column(requests.context[name]))
        if not fields:
            return self.nothing.new_zeros(len(users), 0, self.width)
        return torch.stack(fields, -2)


class EventFields(nn.Module):
    """Columns of history events, summed into one vector that is added to the event's item.

    Args:
        features: what the store holds.
        width: of the sum, as wide as an item with all its fields.
        columns: "event" (its type), "label" (its outcome) or context columns of the log.
        std: of the initial vectors.
        generator: what they are drawn from.

    Shapes: histories of T events to [T, width].
    """

    provenance: tuple[Provenance, ...] = ()

    def __init__(
        self,
        features: Features,
        *,
        width: int,
        columns: Sequence[str],
        std: float = STD,
        generator: Generator,
    ) -> None:
        super().__init__()
        known = dict(features.columns)
        if features.events:
            known["event"] = Column(features.events)
        if features.has_label:
            known["label"] = Column(4)  # 0 and 1 stand at the places 2 and 3
        self.names = tuple(columns)
        self.parts = _modules(
            LogColumn(_column(known, name, "columns"), width, std=std, generator=generator)
            for name in columns
        )

    def prepare(self, split: Split) -> None:
        """Count on the training rows."""
        log, rows = split.log, split.train.rows
        for name, part in zip(self.names, self.parts, strict=True):
            if name == "event":
                assert log.event is not None
                part.prepare(log.event.index_select(0, rows))
            elif name == "label":
                assert log.label is not None
                part.prepare(log.label.index_select(0, rows).long() + 2)
            else:
                part.prepare(log.column(name).index_select(0, rows))
        self.provenance = (Provenance.of("known values and scales of events", split, rows),)

    def forward(self, histories: Histories) -> Tensor:
        """[T, width]."""
        given: dict[str, Tensor] = dict(histories.columns)
        if histories.event is not None:
            given["event"] = histories.event
        if "label" in given:
            given["label"] = given["label"].long() + 2
        for name in self.names:
            if name not in given:
                raise ArgumentError(
                    "histories.columns", sorted(given), expected=f"a value of {name!r} with each event",
                    fix=f"pass it, or build the ranker without {name!r} in its columns",
                )  # fmt: skip
        vectors: list[Tensor] = [part(given[name]) for name, part in zip(self.names, self.parts, strict=True)]
        return torch.stack(vectors).sum(0)


def _modules(modules: Iterable[T]) -> list[T]:
    """A ModuleList that the type checker reads as a list of what it holds."""
    return cast("list[T]", nn.ModuleList(modules))


def _attribute(
    table: Attributes | None, name: str, argument: str, width: int, std: float, generator: Generator
) -> Attribute:
    assert table is not None
    known = {
        "categories": list(table.categories),
        "numbers": list(table.numbers),
        "people": [*table.categories, *table.numbers],
    }[argument]
    if name not in known:
        raise ArgumentError(argument, name, expected=f"attributes of the store ({nearest(name, known)})")
    return Attribute(table, name, width, std=std, generator=generator)


def _column(known: Mapping[str, Column], name: str, argument: str) -> Column:
    if name not in known:
        raise ArgumentError(argument, name, expected=f"columns of the log ({nearest(name, list(known))})")
    return known[name]
