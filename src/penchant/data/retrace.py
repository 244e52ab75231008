"""From the contents of a batch back to the rows of the log that they are: nobody's word is taken for it."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from penchant.data.batch import Histories, ranges
from penchant.data.split import TEST, TRAIN, VALID, Split
from penchant.errors import ArgumentError

_LARGEST = torch.iinfo(torch.int64).max
SPAN = 1 << 32  # seconds that are counted as they are: 136 years
_ALIKE = 64  # rows of one content (user, item, event, time) that a run of events is tried at, at most


class Scale:
    """Whole numbers from 0 in the order of some values: their distance from the least, or their ranks.

    Args:
        values: [n] int64.
        room: the largest size that distances may have; ranks take more time and memory, and are few.
    """

    def __init__(self, values: Tensor, room: int) -> None:
        self._least, self._most = (int(values.min()), int(values.max())) if len(values) else (0, -1)
        self.size = self._most - self._least + 1
        self._ordered: Tensor | None = None
        if self.size > room:
            self._ordered = ranked = torch.unique(values)
            self.size = len(ranked)

    def find(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The number of each value, and whether it was there, or may have been; else the number is any."""
        if self._ordered is not None:
            return pair_place(self._ordered, values)
        there = (values >= self._least) & (values <= self._most)
        return (values - self._least).masked_fill_(~there, 0), there


class Index:
    """Finds rows by what they are about and when.

    Args:
        rows: [n] int64, ascending.
        what: [n] int64, what each is about, from 0.
        time: [n] int64.
    """

    def __init__(self, rows: Tensor, what: Tensor, time: Tensor) -> None:
        self._time = Scale(time, SPAN)
        self._what = Scale(what, _LARGEST // (self._time.size + 1))
        packed = self._what.find(what)[0].mul_(self._times).add_(self._time.find(time)[0])
        self._packed, order = torch.sort(packed, stable=True)
        self.rows = rows.index_select(0, order)

    @property
    def _times(self) -> int:
        return self._time.size + 1

    def places(self, what: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """The stretches of `rows` about `what` [m] at `time` [m]: begin and end, equal where none is."""
        place, there = self._what.find(what)
        when, then = self._time.find(time)
        packed = place * self._times + when
        begin = torch.searchsorted(self._packed, packed)
        end = torch.searchsorted(self._packed, packed, right=True)
        return begin, torch.where(there & then, end, begin)

    def at_any_time(self, what: Tensor) -> tuple[Tensor, Tensor]:
        """The stretches of `rows` about `what` [m], whenever."""
        place, there = self._what.find(what)
        begin = torch.searchsorted(self._packed, place * self._times)
        end = torch.searchsorted(self._packed, (place + 1) * self._times)
        return begin, torch.where(there, end, begin)


def pair_place(ordered: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The place of each value in `ordered`, and whether it is there."""
    if not len(ordered):
        return torch.zeros_like(values), torch.zeros_like(values, dtype=torch.bool)
    place = torch.searchsorted(ordered, values).clamp_(max=len(ordered) - 1)
    return place, ordered.index_select(0, place) == values


@dataclass(frozen=True, eq=False)
class Events:
    """History events and the rows they are.

    Attributes:
        row: [T] log rows; -1 for what is no row, or stands in the history more often than in the log.
        alone: [T] whether it is known that no other row of the log has the same content.
        runs: [B] whether a history is a stretch of the user's usable events, as one of ours always is.
    """

    row: Tensor
    alone: Tensor
    runs: Tensor


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets and the rows they are.

    Attributes:
        row: [n] training rows, the latest one of the content; -1 for what is no training row.
        first: [n] likewise, the earliest one.
        labelled: [n] whether the label is that of the row (or of another one of the same content).
    """

    row: Tensor
    first: Tensor
    labelled: Tensor


class Retracer:
    """Finds the rows behind batches, by user, item, time and, where there are, event type and label.

    Rows of the same content (exact ties) cannot be told apart; the assignment is then the one that looks
    best: the earliest rows for a history, the latest for a target.

    Args:
        split: whose rows.
    """

    def __init__(self, split: Split) -> None:
        self.split, self.log = split, split.log
        self._items, self._users = len(self.log.catalogue), len(self.log.users)
        self._kinds = 1 if self.log.events is None else len(self.log.events)

    def pair(self, users: Tensor, items: Tensor) -> Tensor:
        """One number a (user, item) pair [n]; -1 for what the log cannot hold."""
        users, items = users.long(), items.long()
        possible = (users >= 0) & (users < self._users) & (items >= 0) & (items < self._items)
        return torch.where(possible, users * self._items + items, -1)

    @cached_property
    def pairs(self) -> Tensor:
        """The pair of every row of the log, [N]."""
        return self.log.user * self._items + self.log.item

    @cached_property
    def usable(self) -> Tensor:
        """Rows that a history may use, ascending."""
        return torch.arange(len(self.log)) if self.split.usable is None else self.split.usable

    @cached_property
    def anything(self) -> Index:
        """All rows by pair."""
        return Index(torch.arange(len(self.log)), self.pairs, self.log.time)

    @cached_property
    def _events(self) -> Index:
        """Usable positions by pair and event type."""
        if self.split.usable is None and self.log.event is None:
            return self.anything  # the same rows, by the same
        what = self._with_kind(self.pairs, self.log.event).index_select(0, self.usable)
        return Index(torch.arange(len(self.usable)), what, self.log.time.index_select(0, self.usable))

    @cached_property
    def _training(self) -> Index:
        """Training rows by pair and label."""
        rows = (self.split.part == TRAIN).nonzero().squeeze(1)
        what = self.pairs.index_select(0, rows) * 2 + self.log.positive(rows).long()
        return Index(rows, what, self.log.time.index_select(0, rows))

    @cached_property
    def trained(self) -> Tensor:
        """Whether an item has training rows, [V]."""
        rows = (self.split.part == TRAIN).nonzero().squeeze(1)
        return torch.bincount(self.log.item.index_select(0, rows), minlength=self._items) > 0

    @cached_property
    def had(self) -> tuple[Tensor, Tensor]:
        """The pairs of training rows, ascending and each once, and the first row of each."""
        rows = (self.split.part == TRAIN).nonzero().squeeze(1)
        ordered, order = torch.sort(self.pairs.index_select(0, rows), stable=True)
        fresh = torch.ones_like(ordered, dtype=torch.bool)
        fresh[1:] = ordered[1:] != ordered[:-1]
        return ordered[fresh], rows[order[fresh]]

    @cached_property
    def later(self) -> Tensor:
        """Pairs of held-out positives that are in no training row, of items that are in some; ascending."""
        held = (self.split.part == VALID) | (self.split.part == TEST)
        rows = held.nonzero().squeeze(1)
        rows = rows[self.log.positive(rows)]
        rows = rows[self.trained.index_select(0, self.log.item.index_select(0, rows).long())]
        found = torch.unique(self.pairs.index_select(0, rows))
        return found[~pair_place(self.had[0], found)[1]]

    def _with_kind(self, pairs: Tensor, kinds: Tensor | None) -> Tensor:
        if self.log.event is None or kinds is None:
            return pairs
        kinds = kinds.long()
        possible = (pairs >= 0) & (kinds >= 0) & (kinds < self._kinds)
        return torch.where(possible, pairs * self._kinds + kinds, -1)

    def targets(self, users: Tensor, items: Tensor, at: Tensor, labels: Tensor | None) -> Targets:
        """The training rows that targets are.

        Args:
            users: [n].
            items: [n].
            at: [n] when.
            labels: [n]; None where all are positives.
        """
        pairs = self.pair(users, items)
        positive = torch.ones_like(pairs) if labels is None else (labels > 0.5).long()

        def ends(outcome: Tensor) -> tuple[Tensor, Tensor]:
            begin, end = self._training.places(torch.where(pairs < 0, -1, pairs * 2 + outcome), at)
            lacking, rows = begin == end, self._training.rows
            return _at(rows, begin).masked_fill_(lacking, -1), _at(rows, end - 1).masked_fill_(lacking, -1)

        first, row = ends(positive)
        other_first, other = ends(1 - positive)
        wrong = (row < 0) & (other >= 0)
        return Targets(torch.where(wrong, other, row), torch.where(wrong, other_first, first), ~wrong)

    def events(self, users: Tensor, histories: Histories) -> Events:
        """The rows that history events are.

        Args:
            users: [B], whose histories they are.
            histories: of B users.
        """
        if histories.time is None or (self.log.event is not None and histories.event is None):
            lacking = "times" if histories.time is None else "event types"
            raise ArgumentError(
                "source", "batches", expected=f"histories with {lacking}, as the log has them",
                fix=f"hand the {lacking} over in Histories, so that it can be told which rows these are",
            )  # fmt: skip
        position = torch.full((len(histories.item),), -1)
        runs = self._runs(users, histories, position)
        alone = torch.zeros_like(position, dtype=torch.bool)
        owner = histories.items.owner
        loose = (~runs).index_select(0, owner).nonzero().squeeze(1)
        if len(loose):
            begin, end = self._places(users, histories, loose, owner.index_select(0, loose))
            alone[loose] = end - begin == 1
            self._one_by_one(owner.index_select(0, loose), begin, end, loose, position)
        return Events(_at(self.usable, position).masked_fill_(position < 0, -1), alone, runs)

    def _places(
        self, users: Tensor, histories: Histories, index: Tensor, owner: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The stretches of the index that the events at `index` [n] are alike to; `owner` [n] is whose."""
        assert histories.time is not None
        pairs = self.pair(users.index_select(0, owner), histories.item.index_select(0, index))
        kinds = None if histories.event is None else histories.event.index_select(0, index)
        return self._events.places(self._with_kind(pairs, kinds), histories.time.index_select(0, index))

    def _runs(self, users: Tensor, histories: Histories, position: Tensor) -> Tensor:
        """Whether each history [B] is a stretch of usable events; where it is, fills in their positions."""
        lengths = histories.lengths
        runs = lengths == 0
        some = (~runs).nonzero().squeeze(1)
        begin, end = self._places(users, histories, histories.offsets[1:].index_select(0, some) - 1, some)
        starts = _at(self.split.starts, users.index_select(0, some).clamp(0, self._users - 1))
        for number in range(_ALIKE):  # earliest first
            left = (~runs.index_select(0, some) & (begin + number < end)).nonzero().squeeze(1)
            if not len(left):
                break
            tried = some.index_select(0, left)
            stop = self._events.rows.index_select(0, begin[left] + number) + 1
            first = stop - lengths[tried]
            inside = first >= starts[left]
            tried, first = tried[inside], first[inside]
            here = ranges(histories.offsets[:-1].index_select(0, tried), lengths[tried])
            there = ranges(first, lengths[tried])
            same = self._same(histories, here, self.usable.index_select(0, there))
            owner = torch.repeat_interleave(torch.arange(len(tried)), lengths[tried])
            good = torch.ones(len(tried), dtype=torch.bool).index_fill_(0, owner[~same], False)
            runs[tried[good]] = True
            chosen = good.index_select(0, owner)
            position[here[chosen]] = there[chosen]
        return runs

    def _same(self, histories: Histories, here: Tensor, rows: Tensor) -> Tensor:
        """Whether events at `here` [n] are like the `rows` [n] of the log."""
        assert histories.time is not None
        same = histories.item.index_select(0, here) == self.log.item.index_select(0, rows)
        same &= histories.time.index_select(0, here) == self.log.time.index_select(0, rows)
        if self.log.event is not None and histories.event is not None:
            same &= histories.event.index_select(0, here) == self.log.event.index_select(0, rows)
        return same

    def _one_by_one(self, owner: Tensor, begin: Tensor, end: Tensor, loose: Tensor, position: Tensor) -> None:
        """Fills in positions of events at `loose`: the n-th of one content in a history is its n-th row."""
        some = (begin < end).nonzero().squeeze(1)  # what the log does not hold is no n-th of anything
        owner, begin, end, loose = (x.index_select(0, some) for x in (owner, begin, end, loose))
        group = owner * (len(self._events.rows) + 1) + begin
        ordered, order = torch.sort(group, stable=True)
        fresh = torch.ones_like(ordered, dtype=torch.bool)
        fresh[1:] = ordered[1:] != ordered[:-1]
        place = torch.arange(len(ordered))
        number = torch.empty_like(place)
        number[order] = place - place.masked_fill(~fresh, 0).cummax(0).values
        chosen = begin + number
        there = chosen < end
        position[loose[there]] = self._events.rows.index_select(0, chosen[there])

    def told_apart(self, values: Tensor, column: Tensor, row: Tensor) -> Tensor:
        """Whether `values` [n] stand in `column` [N] at no row of the same content as `row` [n].

        Missing numbers equal one another.
        """
        differs = _differ(values, column.index_select(0, row))
        doubtful = differs.nonzero().squeeze(1)
        if not len(doubtful):
            return differs
        rows, mine = row[doubtful], values[doubtful]
        begin, end = self.anything.places(self.pairs[rows], self.log.time[rows])
        for number in range(min(_ALIKE, int((end - begin).max()))):
            place = begin + number
            there = _at(self.anything.rows, place)
            same = (place < end) & ~_differ(mine, column.index_select(0, there))
            differs[doubtful[same]] = False
        return differs


def _at(values: Tensor, index: Tensor) -> Tensor:
    """values[index], an index out of range being moved into it."""
    if not len(values):
        return torch.full_like(index, -1)
    return values.index_select(0, index.clamp(0, len(values) - 1))


def _differ(one: Tensor, other: Tensor) -> Tensor:
    if one.is_floating_point() or other.is_floating_point():
        return (one != other) & ~(one.isnan() & other.isnan())
    return one != other
