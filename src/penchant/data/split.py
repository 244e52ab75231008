"""Which rows train, which validate, which test, and which of them a history may use."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from penchant.data.batch import Histories, Ragged, Requests, offsets_of, reader, shown
from penchant.data.interactions import Interactions
from penchant.errors import ArgumentError, SplitError

Ties = Literal["order", "exclude"]
At = Literal["each", "cut"]
UNUSED, TRAIN, VALID, TEST = 0, 1, 2, 3
_PARTS = {"train": TRAIN, "valid": VALID, "test": TEST}


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
        fresh = torch.ones(len(self.log), dtype=torch.bool)
        fresh[1:] = self.log.time[1:] != self.log.time[:-1]
        fresh[self.log.offsets[:-1][self.log.offsets.diff() > 0]] = True
        starts = fresh.nonzero().squeeze(1)
        return torch.repeat_interleave(starts, torch.diff(starts, append=starts.new_tensor([len(self.log)])))

    def histories(self, users: Tensor, ends: Tensor, length: int | None = None) -> Histories:
        """The newest `length` (or all) usable events of `users` before usable positions `ends` [B]."""
        starts = self.starts.index_select(0, users)
        if length is not None:
            starts = torch.maximum(starts, ends - length)
        return self.log.histories(starts, ends, self.usable)

    def past_items(self, users: Tensor, ends: Tensor) -> Ragged:
        """The items of all usable events of `users` before usable positions `ends` [B]."""
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
        return torch.bincount(
            self.log.item.index_select(0, self.train.rows), minlength=len(self.log.catalogue)
        )

    @cached_property
    def seen_items(self) -> Tensor:
        """Whether an item occurs in training rows, [V] bool."""
        return self.item_counts > 0

    @cached_property
    def seen_users(self) -> Tensor:
        """Whether a user has training rows, [U] bool."""
        seen = torch.zeros(len(self.log.users), dtype=torch.bool)
        seen[self.log.user_of(self.train.rows)] = True
        return seen

    @cached_property
    def log_digest(self) -> str:
        """Tells the log from another: by its users, items, times and labels."""
        log = self.log
        return _digest("", log.offsets, log.item, log.time, *(() if log.label is None else (log.label,)))

    @cached_property
    def digest(self) -> str:
        """Tells the split from another: by its log and the part of every row."""
        return _digest(self.log_digest, self.part)

    @property
    def repeats(self) -> bool:
        """Whether users come back to items: then seen items are not excluded from answers by default."""
        return self.log.profile.repeating

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(getattr(self, name)):,}" for name in _PARTS)
        return f"Split({self.name}; {sizes} rows; ties={self.ties!r})"


@dataclass(frozen=True, eq=False)
class Part:
    """One part of a split: its rows, and the questions it can ask."""

    split: Split
    name: Literal["train", "valid", "test"]

    @cached_property
    def rows(self) -> Tensor:
        """Rows of the part, ascending, [n] int64."""
        return (self.split.part == _PARTS[self.name]).nonzero().squeeze(1)

    @cached_property
    def targets(self) -> Tensor:
        """Rows of the part that are positives, ascending."""
        return self.rows[self.split.log.positive(self.rows)]

    def __len__(self) -> int:
        return int((self.split.part == _PARTS[self.name]).sum())

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
            targets = Ragged(items, torch.arange(len(rows) + 1))
            return Queries(
                split, users, split.history_end(rows), log.time.index_select(0, rows), targets, rows
            )
        if at != "cut":
            raise ArgumentError("at", at, expected="'each' or 'cut'")
        asked, counts = torch.unique_consecutive(users, return_counts=True)
        offsets = offsets_of(counts)
        firsts = self._first_rows(asked)
        times = log.time.index_select(0, firsts)
        if split.clock == "global" and split.cuts is not None and self.name != "train":
            times = torch.full_like(times, split.cuts[0 if self.name == "valid" else 1])
        return Queries(split, asked, split.history_end(firsts), times, Ragged(items, offsets), firsts)

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

    def history_lengths(self) -> Tensor:
        """Events before each query, [Q] int64."""
        return self.end - self.split.starts.index_select(0, self.user)

    def requests(self, begin: int, stop: int, *, exclude_seen: bool, history: int | None = None) -> Requests:
        """Queries `begin:stop` as requests.

        Args:
            begin: the first query.
            stop: the one after the last.
            exclude_seen: whether items of the history must not be answered.
            history: newest events to hand over, which is all that they cost; None for all. What a model reads
                is its `window_of` (see protocols).
        """
        users, ends = self.user[begin:stop], self.end[begin:stop]
        histories = self.split.histories(users, ends, history)
        exclude = None
        if exclude_seen:  # all of it, whatever the model reads
            exclude = histories.items if history is None else self.split.past_items(users, ends)
        context = {
            name: c.index_select(0, self.row[begin:stop]) for name, c in self.split.log.columns.items()
        }
        return Requests(
            users,
            histories,
            self.at[begin:stop],
            context,
            exclude=exclude,
        )

    def chunks(self, size: int) -> Iterator[tuple[int, int]]:
        """Bounds of consecutive chunks of `size` queries."""
        for begin in range(0, len(self), size):
            yield begin, min(begin + size, len(self))


# -- the ways to split ---------------------------------------------------------------------------------------


def split_by_time(
    log: Interactions,
    *,
    valid: float | str | date = 0.1,
    test: float | str | date = 0.1,
    ties: Ties = "order",
) -> Split:
    """Cuts the whole log at two times: nothing later than a cut is ever learned from. The honest default.

    Args:
        log: a log with times.
        valid: its share of all events in (0, 1), or when it begins (ISO text, date or datetime, UTC).
        test: likewise. Events of the second at which a share would fall all go to the later part.
        ties: see `Split`.

    Raises: SplitError if the log has no times, or if a part would be empty.
    """
    if not log.has_time:
        raise SplitError(
            "split_by_time needs times and this log has none.\n  Fix: use split_leave_last or split_by_user."
        )
    if not len(log):
        raise SplitError("split_by_time needs events and this log has none.")
    order = log.time.sort().values
    test_cut = _cut(order, test, 0.0, "test")
    valid_cut = _cut(
        order, valid, test if isinstance(test, float) else float((order >= test_cut).double().mean()), "valid"
    )
    if valid_cut >= test_cut:
        raise SplitError(
            f"the validation part would begin at {_day(valid_cut)}, the test part at {_day(test_cut)}: "
            "not after it.\n  Fix: give the validation part an earlier date or a larger share."
        )
    part = torch.full((len(log),), TRAIN, dtype=torch.uint8)
    part[log.time >= valid_cut] = VALID
    part[log.time >= test_cut] = TEST
    name = f"global time, validation from {_day(valid_cut)}, test from {_day(test_cut)}"
    return _checked(Split(log, part, "global", name, (valid_cut, test_cut), ties))


def split_leave_last(log: Interactions, *, k: int = 1, ties: Ties = "order") -> Split:
    """Leaves each user's last `k` positives for testing and the `k` before those for validation.

    A user with at most k positives is all training; one with at most 2k gives no validation. Events between
    and after the held-out positives (label 0) belong to the part that they stand in, so nothing that follows
    a held-out event is learned from its user. Other users' later events are (docs/decisions/0011): use
    `split_by_time` where that matters.
    """
    if k < 1:
        raise ArgumentError("k", k, expected="an integer of at least 1")
    positive = log.positive(torch.arange(len(log)))
    rank = positive.long().flip(0).cumsum(0).flip(0)  # positives from this row on, over all users
    rank_or_end = torch.cat([rank, rank.new_zeros(1)])
    after = rank_or_end.index_select(0, log.offsets[1:])  # ... that belong to later users
    total = rank_or_end.index_select(0, log.offsets[:-1]) - after
    left = rank - after.index_select(0, log.user)  # positives of the same user from this row on
    total = total.index_select(0, log.user)
    # a row belongs to the held-out part from that part's first positive on
    behind = left - positive.long()  # positives of the user strictly after this row
    part = torch.full((len(log),), TRAIN, dtype=torch.uint8)
    reached = torch.where(positive, left, behind + 1)  # at the latest positive up to the row
    has_earlier = reached <= total
    part[(reached <= 2 * k) & has_earlier & (total > 2 * k)] = VALID
    part[(reached <= k) & has_earlier & (total > k)] = TEST
    name = f"leave last {k} out, per user"
    return _checked(Split(log, part, "user", name, ties=ties))


def split_by_user(
    log: Interactions, *, valid: float = 0.1, test: float = 0.1, seed: int = 0, ties: Ties = "order"
) -> Split:
    """Keeps whole users out: their every event is asked about, with what they did before as history.

    Args:
        log: the log.
        valid: its share of users.
        test: likewise.
        seed: which users.
        ties: see `Split`.
    """
    users = _draw(log.offsets.diff() > 0, valid, test, seed)
    part = users.index_select(0, log.user)
    return _checked(
        Split(log, part, "user", f"unseen users ({valid:.0%} / {test:.0%}, seed {seed})", ties=ties)
    )


def split_by_item(
    log: Interactions, *, valid: float = 0.1, test: float = 0.1, seed: int = 0, ties: Ties = "order"
) -> Split:
    """Keeps whole items out: no history holds them, and each of their positives is asked about.

    Args:
        log: the log.
        valid: its share of the items that have an event.
        test: likewise.
        seed: which items.
        ties: see `Split`.
    """
    counts = torch.bincount(log.item, minlength=len(log.catalogue))
    part = _draw(counts > 0, valid, test, seed).index_select(0, log.item)
    usable = (part == TRAIN).nonzero().squeeze(1)
    name = f"unseen items ({valid:.0%} / {test:.0%}, seed {seed})"
    return _checked(Split(log, part, "user", name, ties=ties, usable=usable))


def _draw(present: Tensor, valid: float, test: float, seed: int) -> Tensor:
    for name, share in {"valid": valid, "test": test}.items():
        if not 0 < share < 1:
            raise ArgumentError(name, share, expected="a share in (0, 1)")
    if valid + test >= 1:
        raise ArgumentError("valid", valid, expected=f"valid + test below 1 (test={test})")
    there = present.nonzero().squeeze(1)
    there = there[torch.randperm(len(there), generator=torch.Generator().manual_seed(seed))]
    tested, validated = max(1, round(test * len(there))), max(1, round(valid * len(there)))
    part = torch.full((len(present),), TRAIN, dtype=torch.uint8)
    part[there[:tested]] = TEST
    part[there[tested : tested + validated]] = VALID
    return part


def _cut(ordered: Tensor, at: float | str | date, later: float, name: str) -> int:
    """The time at which a part begins."""
    if isinstance(at, str):
        try:
            at = datetime.fromisoformat(at)
        except ValueError:
            raise ArgumentError(
                name, at, expected="a share in (0, 1), or a date such as '2024-05-31'"
            ) from None
    if isinstance(at, date):
        moment = at if isinstance(at, datetime) else datetime(at.year, at.month, at.day)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    if not 0 < at < 1 or at + later >= 1:
        raise ArgumentError(name, at, expected="a share in (0, 1), less than 1 in sum with the other part")
    return int(ordered[min(len(ordered) - 1, int(len(ordered) * (1 - at - later)))])


def _digest(begin: str, *tensors: Tensor) -> str:
    found = hashlib.blake2b(begin.encode(), digest_size=16)
    for tensor in tensors:
        array: Any = tensor.contiguous().numpy()  # arrays are buffers; their stubs do not say so before 3.12
        found.update(array)
    return found.hexdigest()


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _checked(split: Split) -> Split:
    for name, number in _PARTS.items():
        if not bool((split.part == number).any()):
            raise SplitError(
                f"{split.name}: the {name} part is empty ({len(split.log):,} events, "
                f"{len(split.log.users) - 2:,} users).\n"
                "  Fix: give it a larger share, or use another kind of split."
            )
    return split
