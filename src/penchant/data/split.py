"""Which rows train, which validate, which test, and which of them a history may use."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from penchant.data.batch import Histories, Ragged, Requests, moved, offsets_of, reader, shown
from penchant.data.interactions import Interactions
from penchant.errors import ArgumentError, SplitError

Ties = Literal["order", "exclude"]
At = Literal["each", "cut"]
UNUSED, TRAIN, VALID, TEST = 0, 1, 2, 3
PARTS = {"train": TRAIN, "valid": VALID, "test": TEST}


@dataclass(frozen=True, eq=False)
class Split:
    """Train, validation and test rows of a log; made by the `split_by_*` functions below.

    Attributes:
        log: the log.
        part: [N] uint8, 0 unused, 1 train, 2 validation, 3 test.
        clock: "global" (nothing later than a cut is trained on) or "user" (each user has cuts of their own,
            so other users' later events are trained on).
        name: how it was made, in words, for results tables.
        cuts: times of the validation and test cuts (global clock).
        ties: "order": a history holds what comes before its target in the log's order. "exclude": only what
            happened in an earlier second.
        usable: rows that a history may use, ascending; None for all.
    """

    log: Interactions
    part: Tensor
    clock: Literal["global", "user"]
    name: str
    cuts: tuple[int, int] | None = None
    ties: Ties = "order"
    usable: Tensor | None = None

    @property
    def train(self) -> "Part":
        """The rows to learn from."""
        return Part(self, "train")

    @property
    def valid(self) -> "Part":
        """The rows to choose by."""
        return Part(self, "valid")

    @property
    def test(self) -> "Part":
        """The rows to report on."""
        return Part(self, "test")

    def joined(self) -> "Split":
        """The same with the validation rows joined to training: for a last fit, once settings are chosen.

        There is no validation part any more, so nothing stops a fit early.
        """
        part = self.part.masked_fill(self.part == VALID, TRAIN)
        return replace(self, part=part, name=f"{self.name}, validation rows learned from")

    def to(self, device: torch.device | str) -> "Split":
        """The same with its rows and the log's events in the memory of a device: see `Interactions.to`.

        Histories are gathered there. Queries and counts of items and users, which are small and asked for by
        everybody, stay in the computer's memory.
        """
        usable = None if self.usable is None else self.usable.to(device)
        return replace(self, log=self.log.to(device), part=self.part.to(device), usable=usable)

    # -- histories -------------------------------------------------------------------------------------------

    @cached_property
    def starts(self) -> Tensor:
        """[U+1] int64: user u's usable events are `starts[u]:starts[u+1]`, of `usable` or of the log."""
        if self.usable is None:
            return self.log.offsets
        return torch.searchsorted(self.usable, self.log.offsets)

    def row_at(self, positions: Tensor) -> Tensor:
        """Log rows of usable positions."""
        return positions if self.usable is None else self.usable.index_select(0, positions)

    def history_end(self, rows: Tensor) -> Tensor:
        """Where the history of a target at each of `rows` ends: an exclusive usable position, [n] int64."""
        if self.ties == "exclude":
            rows = self._first_of_second.index_select(0, rows)
        return rows if self.usable is None else torch.searchsorted(self.usable, rows)

    @cached_property
    def _first_of_second(self) -> Tensor:
        """[N]: the first row of the same user and second."""
        fresh = torch.ones_like(self.part, dtype=torch.bool)
        fresh[1:] = self.log.time[1:] != self.log.time[:-1]
        fresh[self.log.offsets[:-1][self.log.offsets.diff() > 0]] = True
        starts = fresh.nonzero().squeeze(1)
        return torch.repeat_interleave(starts, torch.diff(starts, append=starts.new_tensor([len(self.log)])))

    def histories(self, users: Tensor, ends: Tensor, length: int | None = None) -> Histories:
        """The newest `length` (or all) usable events of `users` before usable positions `ends` [B]."""
        users, ends = users.to(self.log.device), ends.to(self.log.device)
        starts = self.starts.index_select(0, users)
        if length is not None:
            starts = torch.maximum(starts, ends - length)
        return self.log.histories(starts, ends, self.usable)

    def past_items(self, users: Tensor, ends: Tensor) -> Ragged:
        """The items of all usable events of `users` before usable positions `ends` [B]."""
        users, ends = users.to(self.log.device), ends.to(self.log.device)
        starts = self.starts.index_select(0, users)
        lengths = ends - starts
        if self.usable is None:
            return Ragged(reader(starts, lengths)(self.log.item), offsets_of(lengths))
        rows = reader(starts, lengths)(self.usable)
        return Ragged(self.log.item.index_select(0, rows), offsets_of(lengths))

    # -- what training may know ------------------------------------------------------------------------------

    @cached_property
    def item_counts(self) -> Tensor:
        """Training events an item, [V] int64."""
        item = self.log.item.index_select(0, self.train.rows)
        return torch.bincount(item, minlength=len(self.log.catalogue)).cpu()

    @cached_property
    def seen_items(self) -> Tensor:
        """Whether an item occurs in training rows, [V] bool."""
        return self.item_counts > 0

    @cached_property
    def seen_users(self) -> Tensor:
        """Whether a user has training rows, [U] bool."""
        seen = torch.zeros(len(self.log.users), dtype=torch.bool, device=self.log.device)
        seen[self.log.user_of(self.train.rows)] = True
        return seen.cpu()

    @cached_property
    def log_digest(self) -> str:
        """Tells the log from another: by its users, items, times, labels and types of events."""
        log = self.log
        return _digest("", log.offsets, log.item, log.time, log.label, log.event)

    @cached_property
    def digest(self) -> str:
        """Tells the split from another: by its log, the part of every row and what histories may use."""
        return _digest(self.log_digest, self.part, self.usable)

    @property
    def repeats(self) -> bool:
        """Whether users come back to items: then seen items are not excluded from answers by default."""
        return self.log.profile.repeating

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(getattr(self, name)):,}" for name in PARTS)
        return f"Split({self.name}; {sizes} rows; ties={self.ties!r})"


@dataclass(frozen=True, eq=False)
class Part:
    """One part of a split: its rows, and the questions it can ask."""

    split: Split
    name: Literal["train", "valid", "test"]

    @cached_property
    def rows(self) -> Tensor:
        """Rows of the part, ascending, [n] int64."""
        return (self.split.part == PARTS[self.name]).nonzero().squeeze(1)

    @cached_property
    def targets(self) -> Tensor:
        """Rows of the part that are positives, ascending."""
        return self.rows[self.split.log.positive(self.rows)]

    def __len__(self) -> int:
        return int((self.split.part == PARTS[self.name]).sum())

    def __call__(self, at: At = "each") -> "Queries":
        """The questions of this part.

        Args:
            at: "each": one query a positive event, its history rolling on; "cut": one a user at the cut, with
                all positives of the part as targets.
        """
        split, log, rows = self.split, self.split.log, self.targets
        if not len(rows):
            raise SplitError(f"the {self.name} part of {split.name!r} has no positive event to ask about")
        users, items = log.user_of(rows), log.item.index_select(0, rows).long()
        if at == "each":
            targets = Ragged(items, torch.arange(len(rows) + 1, device=rows.device))
            return Queries(
                split, users, split.history_end(rows), log.time.index_select(0, rows), targets, rows
            ).home()
        if at != "cut":
            raise ArgumentError("at", at, expected="'each' or 'cut'")
        asked, counts = torch.unique_consecutive(users, return_counts=True)
        offsets = offsets_of(counts)
        firsts = self._first_rows(asked)
        times = log.time.index_select(0, firsts)
        if split.clock == "global" and split.cuts is not None and self.name != "train":
            times = torch.full_like(times, split.cuts[0 if self.name == "valid" else 1])
        return Queries(split, asked, split.history_end(firsts), times, Ragged(items, offsets), firsts).home()

    def _first_rows(self, users: Tensor) -> Tensor:
        """The first row of this part, positive or not, of each of `users`."""
        owner = self.split.log.user_of(self.rows)
        return self.rows[torch.searchsorted(owner, users)]


@dataclass(frozen=True, eq=False)
class Queries:
    """What an evaluation asks.

    Attributes:
        split: whose events the histories are.
        user: [Q] int64.
        end: [Q] exclusive usable position at which each history ends.
        at: [Q] int64 time (or ordinal) of asking.
        targets: the right answers, ragged.
        row: [Q] log row that each query stands before.
        candidates: items to rank instead of the catalogue, ragged; None for all.
    """

    split: Split
    user: Tensor
    end: Tensor
    at: Tensor
    targets: Ragged
    row: Tensor
    candidates: Ragged | None = None

    def __len__(self) -> int:
        return len(self.user)

    def __repr__(self) -> str:
        return shown(self)

    def rows(self, index: Tensor) -> "Queries":
        """The queries at `index` [Q']."""
        candidates = None if self.candidates is None else self.candidates.rows(index)
        user, end, at, row = (x.index_select(0, index) for x in (self.user, self.end, self.at, self.row))
        return Queries(self.split, user, end, at, self.targets.rows(index), row, candidates)

    def home(self) -> "Queries":
        """The same in the computer's memory, wherever the log is."""
        user, end, at, row = (part.cpu() for part in (self.user, self.end, self.at, self.row))
        targets, candidates = moved(self.targets, "cpu"), moved(self.candidates, "cpu")
        return Queries(self.split, user, end, at, targets, row, candidates)

    def history_lengths(self) -> Tensor:
        """Events before each query, [Q] int64."""
        return self.end - self.split.starts.cpu().index_select(0, self.user)

    def requests(self, begin: int, stop: int, *, exclude_seen: bool, history: int | None = None) -> Requests:
        """Queries `begin:stop` as requests.

        Args:
            begin: the first query.
            stop: the one after the last.
            exclude_seen: whether items of the history must not be answered.
            history: newest events to hand over, which is all that they cost; None for all. What a model reads
                is its `window_of` (see protocols).
        """
        device = self.split.log.device
        asked = (self.user, self.end, self.at, self.row)
        users, ends, at, rows = (x[begin:stop].to(device) for x in asked)
        histories = self.split.histories(users, ends, history)
        exclude = None
        if exclude_seen:  # all of it, whatever the model reads
            exclude = histories.items if history is None else self.split.past_items(users, ends)
        context = {name: c.index_select(0, rows) for name, c in self.split.log.columns.items()}
        return Requests(users, histories, at, context, exclude=exclude)

    def chunks(self, size: int) -> Iterator[tuple[int, int]]:
        """Bounds of consecutive chunks of `size` queries."""
        for begin in range(0, len(self), size):
            yield begin, min(begin + size, len(self))


def _digest(begin: str, *tensors: Tensor | None) -> str:
    found = hashlib.blake2b(begin.encode(), digest_size=16)
    for tensor in tensors:
        found.update(b"no" if tensor is None else b"yes")  # a label alone is not an event type alone
        if tensor is None:
            continue
        array: Any = tensor.cpu().contiguous().numpy()  # arrays are buffers: stubs do not say so before 3.12
        found.update(array)
    return found.hexdigest()
