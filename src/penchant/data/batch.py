"""What a model is given: histories, requests and training batches, as packed tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from penchant.errors import ArgumentError

SECONDS_A_DAY = 86_400.0
_MANY = 1 << 14  # values, from which on windows pay, if these waste little and the column is beyond a cache
_NEARLY = 0.65
_LONG = 1 << 20
T = TypeVar("T")


def shown(value: Any) -> str:
    """A dataclass or named tuple of tensors in one line: types and shapes; what it lacks is left out."""
    names = value._fields if isinstance(value, tuple) else [f.name for f in fields(value)]  # pyright: ignore
    parts = {name: getattr(value, name) for name in names}
    said = (f"{name}={_said(part)}" for name, part in parts.items() if part is not None)
    return f"{type(value).__name__}({', '.join(said)})"


def _said(part: object) -> str:
    if isinstance(part, Tensor):
        return f"{str(part.dtype).removeprefix('torch.')}{list(part.shape)}"
    if isinstance(part, Mapping):
        return "{" + ", ".join(f"{key}: {_said(value)}" for key, value in part.items()) + "}"
    return repr(part)


class Ragged(NamedTuple):
    """Lists of differing length: list b is `values[offsets[b]:offsets[b+1]]`."""

    values: Tensor
    offsets: Tensor

    def __repr__(self) -> str:
        return shown(self)

    @property
    def lengths(self) -> Tensor:
        """[B] int64."""
        return self.offsets.diff()

    @property
    def owner(self) -> Tensor:
        """The list that each value belongs to, [T] int64."""
        return torch.repeat_interleave(self.lengths, output_size=len(self.values))

    def rows(self, index: Tensor) -> "Ragged":
        """The lists at `index` [B']."""
        lengths = self.lengths.index_select(0, index)
        values = reader(self.offsets[:-1].index_select(0, index), lengths)(self.values)
        return Ragged(values, _offsets(lengths))


def ranges(starts: Tensor, lengths: Tensor) -> Tensor:
    """Positions [T] of ragged slices: lengths[0] numbers from starts[0] on, then those of the next, ...

    They are integers of the kind that `starts` are.
    """
    count = len(starts)
    ends = lengths.cumsum(0)
    total = int(ends[-1]) if count else 0
    shift = (starts - ends + lengths).to(starts.dtype)
    return torch.repeat_interleave(shift, lengths, output_size=total).add_(
        torch.arange(total, dtype=starts.dtype, device=starts.device)
    )


def reader(starts: Tensor, lengths: Tensor) -> Callable[[Tensor], Tensor]:
    """Reads the ragged slices of `ranges` off columns.

    Slices of one length (full windows, the usual case) are rows of a view of overlapping windows: reading
    these takes less than half the time of an index for every value. Many slices of nearly one length, far
    apart in a long column, are first brought together as such windows and then cut.
    """
    count, longest, total = len(lengths), int(lengths.max()) if len(lengths) else 0, int(lengths.sum())
    if total and total == count * longest:
        return lambda column: column.unfold(0, longest, 1).index_select(0, starts).view(-1)
    near = total >= max(_MANY, _NEARLY * count * longest)

    @cache
    def index() -> Tensor:
        return ranges(starts, lengths)

    @cache
    def windows(size: int) -> tuple[Tensor, Tensor]:
        first = starts.clamp(max=size - longest)  # at a column's end a window begins before its slice
        place = torch.arange(0, count * longest, longest, device=starts.device) + starts - first
        # half as wide where it fits, half the time
        return first, ranges(place.int() if count * longest < 1 << 31 else place, lengths)

    def read(column: Tensor) -> Tensor:
        if not near or len(column) < _LONG:
            return column.index_select(0, index())
        first, place = windows(len(column))
        return column.unfold(0, longest, 1).index_select(0, first).view(-1).index_select(0, place)

    return read


def moved(value: T, device: torch.device | str) -> T:
    """A dataclass, mapping or tuple of tensors with every tensor on `device`."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)  # type: ignore[return-value]
    if isinstance(value, Ragged):
        return Ragged(*(moved(part, device) for part in value))  # type: ignore[return-value]
    if isinstance(value, Mapping):
        return {key: moved(part, device) for key, part in value.items()}  # type: ignore[return-value]
    if is_dataclass(value) and not isinstance(value, type):
        parts: dict[str, Any] = {f.name: moved(getattr(value, f.name), device) for f in fields(value)}
        return replace(value, **parts)
    return value


@dataclass(frozen=True, eq=False)
class Padded:
    """Histories as rectangles, right-padded, newest events kept.

    Attributes:
        item: [B, L], 0 where padded.
        mask: [B, L] bool, True where an event is.
        lengths: [B] int64.
        time, event: [B, L], 0 where padded; None where the histories have none.
        columns: [B, L] by name.
    """

    item: Tensor
    mask: Tensor
    lengths: Tensor
    time: Tensor | None = None
    event: Tensor | None = None
    columns: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])

    def __repr__(self) -> str:
        return shown(self)

    def age(self, at: Tensor) -> Tensor:
        """Days from each event to the request time `at` [B]; [B, L] float64, 0 where padded."""
        if self.time is None:
            raise ArgumentError("histories.time", None, expected="a log with times")
        return (at.unsqueeze(1) - self.time).double().div_(SECONDS_A_DAY).masked_fill_(~self.mask, 0.0)


@dataclass(frozen=True, eq=False)
class Histories:
    """What users did before they were asked, packed; oldest event first.

    Nothing points into a store: the histories of anonymous visitors are the same thing.

    Attributes:
        offsets: [B+1] int64; user b owns events `offsets[b]:offsets[b+1]`.
        item: [T] integers, from 1 (1 is an unknown item).
        time: [T] int64 seconds, or ordinals in a log without times.
        event: [T] event types, where the log has them.
        columns: further columns of the log, [T] by name.
    """

    offsets: Tensor
    item: Tensor
    time: Tensor | None = None
    event: Tensor | None = None
    columns: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])

    def __repr__(self) -> str:
        return shown(self)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Tensor:
        """Events a user, [B] int64."""
        return self.offsets.diff()

    @property
    def items(self) -> Ragged:
        """The items alone."""
        return Ragged(self.item, self.offsets)

    def take(self, index: Tensor, offsets: Tensor) -> "Histories":
        """The events at positions `index` [T'] as histories along `offsets`."""
        return self._read(lambda column: column.index_select(0, index), offsets)

    def slices(self, starts: Tensor, lengths: Tensor) -> "Histories":
        """lengths[b] events from position starts[b] on as the history of b, whosesoever they were."""
        return self._read(reader(starts, lengths), _offsets(lengths))

    def _read(self, read: Callable[[Tensor], Tensor], offsets: Tensor) -> "Histories":
        return Histories(
            offsets,
            read(self.item),
            None if self.time is None else read(self.time),
            None if self.event is None else read(self.event),
            {name: read(column) for name, column in self.columns.items()},
        )

    def tail(self, k: int) -> "Histories":
        """The newest `k` events of every user."""
        lengths = self.lengths
        kept = lengths.clamp(max=k)
        if bool((kept == lengths).all()):
            return self
        return self.slices(self.offsets[1:] - kept, kept)

    def rows(self, index: Tensor) -> "Histories":
        """The histories of the users at `index` [B']."""
        lengths = self.lengths.index_select(0, index)
        return self.slices(self.offsets[:-1].index_select(0, index), lengths)

    def padded(self, length: int) -> Padded:
        """Rectangles of `length` columns and their mask; the newest events are kept.

        Where all histories are that long the rectangles may share the memory of the packed events.
        """
        newest = self.tail(length)
        kept = newest.lengths
        if bool((kept == length).all()):
            mask, gap = kept.new_ones(len(self), length, dtype=torch.bool), None
        else:
            mask = torch.arange(length, device=kept.device) < kept.unsqueeze(1)
            gap = ~mask

        def rectangle(values: Tensor) -> Tensor:
            if gap is None:
                return values.view(mask.shape)
            windows = torch.cat([values, values.new_zeros(length)]).unfold(0, length, 1)
            return windows.index_select(0, newest.offsets[:-1]).masked_fill_(gap, 0)

        return Padded(
            rectangle(newest.item),
            mask,
            kept,
            None if newest.time is None else rectangle(newest.time),
            None if newest.event is None else rectangle(newest.event),
            {name: rectangle(column) for name, column in newest.columns.items()},
        )

    def age(self, at: Tensor) -> Tensor:
        """Days from each event to its user's request time `at` [B]; [T] float64, subtracted in int64."""
        if self.time is None:
            raise ArgumentError("histories.time", None, expected="a log with times")
        return (at.index_select(0, self.items.owner) - self.time).double().div_(SECONDS_A_DAY)

    def to(self, device: torch.device | str) -> "Histories":
        """The same on another device."""
        return moved(self, device)


def _offsets(lengths: Tensor) -> Tensor:
    offsets = lengths.new_zeros(len(lengths) + 1)
    torch.cumsum(lengths, 0, out=offsets[1:])
    return offsets


def offsets_of(lengths: Tensor) -> Tensor:
    """[B+1] int64 offsets of lists with these `lengths` [B]."""
    return _offsets(lengths.long())


@dataclass(frozen=True, eq=False)
class Requests:
    """What is asked of any stage: one object from the service's door to the model.

    Attributes:
        users: [B] int64 dense indices; 1 for a user that the log does not hold, and for an anonymous one. Who
            has no training row keeps their index, as their attributes stand under it: it is for a table of
            ids to read row 1 for them (`ItemTable` does).
        histories: what each user did before.
        at: [B] int64, when each is asked (seconds, or ordinals in a log without times).
        context: request columns by name, [B].
        eligible: items that may be answered, [V] or [B, V] bool; None for all.
        exclude: items that must not be answered to a request (seen ones), ragged; None for none.
    """

    users: Tensor
    histories: Histories
    at: Tensor
    context: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    eligible: Tensor | None = None
    exclude: Ragged | None = None

    def __repr__(self) -> str:
        return shown(self)

    def __len__(self) -> int:
        return len(self.users)

    def rows(self, index: Tensor) -> "Requests":
        """The requests at `index` [B']."""
        exclude = None if self.exclude is None else self.exclude.rows(index)
        eligible = self.eligible
        if eligible is not None and eligible.dim() == 2:
            eligible = eligible.index_select(0, index)
        context = {name: column.index_select(0, index) for name, column in self.context.items()}
        return Requests(
            self.users.index_select(0, index), self.histories.rows(index), self.at.index_select(0, index),
            context, eligible, exclude,
        )  # fmt: skip

    def to(self, device: torch.device | str) -> "Requests":
        """The same on another device."""
        return moved(self, device)


@dataclass(frozen=True, eq=False)
class Batch:
    """Training examples. What a source does not have is None.

    Attributes:
        row: example numbers [B] int64, stable over epochs.
        user: [B] int64.
        at: when the target happened, [B] int64 ([T] from `Sequences`).
        target: the item an example is about, [B] int64 ([T] from `Sequences`; 0: nothing to learn there).
        weight: [B] float32 ([T] from `Sequences`).
        histories: what the user did before; from `Sequences`, the inputs, one a position along the same
            offsets.
        label: the outcome, [B] float32 in [0, 1]; None where every target is a positive.
        offsets: [B+1], only from `Sequences`: user b owns positions `offsets[b]:offsets[b+1]`.
        context: request columns by name.
        progress: share of the training done, in [0, 1].
        extra: what a source adds, by name: "negatives" [M] or [B, M] and their "log_q".
    """

    row: Tensor
    user: Tensor
    at: Tensor
    target: Tensor
    weight: Tensor
    histories: Histories
    label: Tensor | None = None
    offsets: Tensor | None = None
    context: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    progress: float = 0.0
    extra: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])

    def __repr__(self) -> str:
        return shown(self)

    def __len__(self) -> int:
        return len(self.user)

    @property
    def requests(self) -> Requests:
        """The asking side of the batch, as encoders take it (pointwise sources)."""
        return Requests(self.user, self.histories, self.at, self.context)

    def to(self, device: torch.device | str) -> "Batch":
        """The same on another device."""
        return moved(self, device)
