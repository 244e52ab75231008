"""What stands in the batches that a model learns from, compared with the log event by event."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from penchant.data.audit_negatives import EXPECTED, Drawn
from penchant.data.batch import Batch
from penchant.data.findings import Finding, Kind, Severity, Words
from penchant.data.retrace import Events, Retracer, pair_place
from penchant.data.untraced import Untraced
from penchant.errors import ArgumentError

_KEEPS = "hand over only what stands before the target in the log's order (`split.history_end`)"
_NEGATIVES = ("negatives", "own_negatives")
# what stands beside them, and a loss alone reads
_BESIDE = frozenset({"log_q", *(f"{name}_weight" for name in _NEGATIVES)})
_PARTS = ("unused", "training", "validation", "test")


@dataclass
class Case:
    """A kind of finding and its first case."""

    kind: Kind
    message: str
    fix: str
    row: int | None
    column: str | None
    severity: Severity
    count: int = 0


@dataclass
class _Seen:
    """How much was looked at."""

    examples: int = 0
    events: int = 0
    negatives: int = 0
    cases: dict[tuple[Kind, str | None], Case] = field(default_factory=dict[tuple[Kind, str | None], Case])


class BatchAudit:
    """Looks at batches one by one; `findings` says what was found.

    Args:
        tracer: of the split that the batches are to be made of.
        where: what to call their source.
        promised: whether the source says that no negative is an item that the user had.
    """

    def __init__(self, tracer: Retracer, where: str, *, promised: bool = False) -> None:
        self.tracer, self.split, self.log = tracer, tracer.split, tracer.log
        self.where, self.promised = where, promised
        self._words, self._seen = Words(self.log), _Seen()
        self.drawn = Drawn(tracer)
        self._untraced = Untraced(where)

    @property
    def drew(self) -> bool:
        """Whether there were negatives."""
        return self._seen.negatives > 0

    # -- batches ---------------------------------------------------------------------------------------------

    def look(self, batch: Batch) -> None:
        """Looks at a batch."""
        batch = batch.to("cpu")
        owner = None
        if batch.offsets is not None:
            if not torch.equal(batch.offsets, batch.histories.offsets):
                raise ArgumentError(
                    "source", self.where, expected="packed batches whose histories have the batch's offsets"
                )
            owner = torch.repeat_interleave(batch.offsets.diff())
        learned = batch.target > 0
        users = batch.user if owner is None else batch.user.index_select(0, owner)
        events = self.tracer.events(batch.user, batch.histories)
        self._events(batch, events)
        rows, earliest = self._targets(batch, users, learned)
        latest = _latest(events.row, batch, owner)
        self._order(users, rows, latest)
        self._values(batch, events.row, rows, owner)
        self._strangers(batch)
        for name in _NEGATIVES:
            if name in batch.extra:
                weight = batch.extra.get(f"{name}_weight")
                self._negatives(batch.extra[name], weight, users, batch.target, earliest)
        self._seen.examples += int(learned.sum())
        self._seen.events += len(events.row)

    def _events(self, batch: Batch, events: Events) -> None:
        """Every event is a row of its user, and they stand in the log's order."""
        owner = batch.histories.items.owner
        lost = (events.row < 0).nonzero().squeeze(1)
        if len(lost):
            self._lost(batch, lost)
        loose = ~events.runs.index_select(0, owner) & events.alone
        back = torch.zeros_like(loose)
        back[1:] = loose[1:] & loose[:-1] & (owner[1:] == owner[:-1]) & (events.row[1:] < events.row[:-1])
        back &= events.row >= 0

        def told(place: int) -> str:
            row, before = int(events.row[place]), int(events.row[place - 1])
            user = self._words.user(int(batch.user[owner[place]]))
            tied = bool(self.log.time[row] == self.log.time[before])
            words = f"a history of {user} holds {self._words.event(row)} after {self._words.event(before)}"
            return f"{words}, which {'shares its second and ' if tied else ''}follows it in the log"

        self._add(Kind.HISTORY_ORDER, back, told, "keep the log's order in histories", row=events.row)

    def _lost(self, batch: Batch, lost: Tensor) -> None:
        """Says what events are that are no usable row of their user."""
        histories, owner = batch.histories, batch.histories.items.owner
        assert histories.time is not None
        users = batch.user.index_select(0, owner[lost])
        pairs = self.tracer.pair(users, histories.item[lost])
        begin, end = self.tracer.anything.places(pairs, histories.time[lost])
        row = _row(self.tracer.anything.rows, begin)
        hidden = torch.zeros_like(begin, dtype=torch.bool)
        if self.split.usable is not None:
            place = torch.searchsorted(self.split.usable, row)
            known = _row(torch.cat([self.split.usable, self.split.usable.new_tensor([-1])]), place)
            hidden = (begin < end) & (known != row)

        def event(place: int) -> str:
            what = self._words.item(int(histories.item[lost[place]]))
            assert histories.time is not None
            when = self._words.time(int(histories.time[lost[place]]))
            return f"a history of {self._words.user(int(users[place]))} holds {what} at {when}"

        self._add(
            Kind.UNUSABLE_ROW, hidden, lambda place: f"{event(place)}, which is kept out of histories",
            "hand over only `split.usable` events", row=row,
        )  # fmt: skip
        self._add(
            Kind.STRANGE_EVENT, ~hidden,
            lambda place: f"{event(place)}, which the user did not do, or not that often",
            "hand over the user's own events, each as often as the log has it",
        )  # fmt: skip

    def _targets(self, batch: Batch, users: Tensor, learned: Tensor) -> tuple[Tensor, Tensor]:
        """The latest and the earliest training row that each target may be; -1, and told, where none is."""
        where = learned.nonzero().squeeze(1)
        users, items, at = users[where], batch.target[where].long(), batch.at[where]
        labels = None if batch.label is None else batch.label[where]
        found = self.tracer.targets(users, items, at, labels)
        rows = torch.full_like(batch.target, -1, dtype=torch.int64)
        latest, earliest = (rows.index_copy(0, where, x) for x in (found.row, found.first))

        def told(place: int) -> str:
            row = int(found.row[place])
            given = "none, as all are positives," if labels is None else f"{float(labels[place]):g}"
            own = float(self.log.positive(found.row[place : place + 1])[0])
            return f"{self._words.owned(row)} is learned with label {given} and has label {own:g}"

        self._add(
            Kind.LABEL, ~found.labelled, told, "take a target's label from its own row", row=found.row,
            column="label",
        )  # fmt: skip
        if bool((found.row < 0).any()):
            lost = (found.row < 0).nonzero().squeeze(1)
            self._lost_targets(users[lost], items[lost], at[lost])
        return latest, earliest

    def _lost_targets(self, users: Tensor, items: Tensor, at: Tensor) -> None:
        pairs = self.tracer.pair(users, items)
        begin, end = self.tracer.anything.places(pairs, at)
        row = _row(self.tracer.anything.rows, begin)
        begins, ends = self.tracer.anything.at_any_time(pairs)
        other = _row(self.tracer.anything.rows, begins)
        held, moved = begin < end, (begin == end) & (begins < ends)

        def asked(place: int) -> str:
            user, item = self._words.user(int(users[place])), self._words.item(int(items[place]))
            return f"{user} is asked for {item} at {self._words.time(int(at[place]))}"

        def part(place: int) -> str:
            return _PARTS[int(self.split.part[row[place]])]

        self._add(
            Kind.HELD_OUT_TARGET, held,
            lambda place: f"{self._words.owned(int(row[place]))} is learned from, and is a {part(place)} row",
            "take targets from `split.train.rows` alone", row=row,
        )  # fmt: skip
        self._add(
            Kind.WRONG_TIME, moved,
            lambda place: f"{asked(place)}, which happened as {self._words.event(int(other[place]))}",
            "ask at the time of the target's own row", row=other,
        )  # fmt: skip
        self._add(
            Kind.STRANGE_TARGET, ~held & ~moved, lambda place: f"{asked(place)}, which the log does not hold",
            "take targets from the rows of the split's own log",
        )  # fmt: skip

    def _order(self, users: Tensor, rows: Tensor, latest: Tensor) -> None:
        """Nothing that a target is predicted from stands at it or behind it."""
        time = self.log.time
        both = (rows >= 0) & (latest >= 0)
        tied = both & (_row(time, rows) == _row(time, latest))
        itself, behind = both & (latest == rows), both & (latest > rows)
        excluded = tied & (latest < rows) & (self.split.ties == "exclude")

        def told(place: int) -> str:
            row, other = int(rows[place]), int(latest[place])
            head = f"{self._words.user(int(users[place]))}: the history of {self._words.event(row)} holds"
            if row == other:
                return f"{head} the target itself"
            why = {True: "which shares its second", False: "which comes later"}[bool(tied[place])]
            order = ", and the split excludes ties" if other < row else ""
            order = " and follows it in the log" if other > row and bool(tied[place]) else order
            return f"{head} {self._words.event(other)}, {why}{order}"

        self._add(Kind.TARGET_IN_HISTORY, itself, told, _KEEPS, row=rows)
        self._add(Kind.LATER_ROW, behind & ~tied, told, _KEEPS, row=rows)
        self._add(Kind.TIES, (behind & tied) | excluded, told, _KEEPS, row=rows)

    def _values(self, batch: Batch, events: Tensor, rows: Tensor, owner: Tensor | None) -> None:
        """Labels and columns of events and requests are those of their own rows."""
        for name, values in batch.histories.columns.items():
            column = self.log.label if name == "label" else self.log.columns.get(name)
            kind = Kind.LATER_LABEL if name == "label" else Kind.LATER_CONTEXT
            if column is not None:
                self._column(kind, name, values, column, events, "the event of a history")
        for name, values in batch.context.items():
            if name not in self.log.columns:
                continue
            asked = rows
            if owner is not None and len(values) != len(rows):  # one a window: known at its first target
                asked = _first_of(rows, owner, len(batch))
            if len(values) == len(asked):
                column = self.log.columns[name]
                self._column(Kind.LATER_CONTEXT, name, values, column, asked, "the request for")
            else:
                self._untraced.look("the context column", name, values, batch.target, None)

    def _strangers(self, batch: Batch) -> None:
        """Takes down the columns that no row of the log has, and weights that tell something."""
        target, label, histories = batch.target, batch.label, batch.histories
        for name, values in batch.context.items():
            if name not in self.log.columns:
                self._untraced.look("the context column", name, values, target, label)
        for name, values in histories.columns.items():
            if name in self.log.columns or (name == "label" and self.log.label is not None):
                continue
            if batch.offsets is None:  # the newest event of each history, which is next to the target
                some = (histories.lengths > 0).nonzero().squeeze(1)
                newest = values.index_select(0, histories.offsets[1:].index_select(0, some) - 1)
                outcome = None if label is None else label[some]
                self._untraced.look("the history column", name, newest, target[some], outcome)
            else:
                self._untraced.look("the history column", name, values, target, label)
        for name, values in batch.extra.items():
            if name in _BESIDE:  # weights of negatives are 0 where the label is, and may be
                self._untraced.look("the extra", name, values, target, None, quiet=True)
            elif name not in _NEGATIVES:
                self._untraced.look("the extra", name, values, target, label)
        self._untraced.look("the examples'", "weight", batch.weight, target, label, quiet=True)

    def _column(self, kind: Kind, name: str, values: Tensor, column: Tensor, rows: Tensor, what: str) -> None:
        known = (rows >= 0).nonzero().squeeze(1)
        there = rows[known]
        wrong = self.tracer.told_apart(values[known], column, there)

        def told(place: int) -> str:
            row, value = int(there[place]), values[known[place]].item()
            return (
                f"{what} {self._words.owned(row)} comes with {name}={value:g}, where the log has "
                f"{column[row].item():g}: it is another row's"
            )

        fix = f"read {name!r} off the event's own row"
        self._add(kind, wrong, told, fix, row=there, column=name)

    # -- negatives -------------------------------------------------------------------------------------------

    def _negatives(
        self, drawn: Tensor, weight: Tensor | None, users: Tensor, target: Tensor, rows: Tensor
    ) -> None:
        """Negatives are items seen in training, and where that was promised nothing that the user had."""
        count = torch.ones(drawn.shape, dtype=torch.bool) if weight is None else weight > 0
        if drawn.dim() == 2:
            count = count & (rows >= 0).unsqueeze(1)
        drawn = drawn.long()
        self._seen.negatives += int(count.sum())
        trained = self.tracer.trained
        inside = (drawn >= 0) & (drawn < len(trained))
        strange = count & ~(inside & _row(trained, drawn))
        flat = drawn.reshape(-1)

        def told(place: int) -> str:
            item = int(flat[place])
            taken = (self.log.item == item).nonzero().squeeze(1)
            when = f"first taken as {self._words.owned(int(taken[0]))}" if len(taken) else "nobody took it"
            return f"{self._words.item(item)} is drawn as a negative and has no training row; {when}"

        self._add(
            Kind.NEGATIVES, strange.reshape(-1), told, "draw from items of training rows (`sampler(split)`)"
        )  # fmt: skip
        if drawn.dim() != 2:
            return
        owner = users.unsqueeze(1).expand_as(drawn)
        had, first = self.tracer.had
        place, there = pair_place(had, self.tracer.pair(owner.reshape(-1), flat))
        before = there & (_row(first, place) < rows.unsqueeze(1).expand_as(drawn).reshape(-1))
        same = (drawn == target.unsqueeze(1)).reshape(-1)
        whose = owner.reshape(-1)
        self._add(
            Kind.NEGATIVE_SEEN, count.reshape(-1) & (before | same),
            lambda at: f"{self._words.item(int(flat[at]))} is a negative of "
            f"{self._words.user(int(whose[at]))}, who had it by then",
            "draw again what the user had before the target (`draw_unseen`)",
            severity="violation" if self.promised else "note",
        )  # fmt: skip
        self.drawn.add(users, drawn, count)

    def draw_again(self, batch: Batch) -> None:
        """Counts the negatives of a further batch; nothing else in it is looked at."""
        batch = batch.to("cpu")
        users = batch.user
        if batch.offsets is not None:
            users = torch.repeat_interleave(users, batch.offsets.diff())
        for name in _NEGATIVES:
            if name in batch.extra and batch.extra[name].dim() == 2:
                drawn, weight = batch.extra[name].long(), batch.extra.get(f"{name}_weight")
                count = torch.ones(drawn.shape, dtype=torch.bool) if weight is None else weight > 0
                self.drawn.add(users, drawn, count & (batch.target > 0).unsqueeze(1), again=True)

    def _avoided(self) -> None:
        """Negatives that never once hit what their users take later were drawn by somebody who knows it."""
        drawn = self.drawn
        if drawn.hits or not (expected := drawn.expected):
            return
        told = (
            f"of {drawn.total:,.0f} negatives none is an item that its user takes in a validation or test row"
        )
        if expected < EXPECTED:
            told += f", where chance gives {expected:,.2g}: too few to tell whether the future is avoided"
            fix = "audit more examples (`sample=None`), or see that negatives reject only the past"
            self._case(Kind.FEW_NEGATIVES, told, fix, "note")
            return
        told += f", where chance gives {expected:,.0f}: the future is avoided, so it is known"
        self._case(
            Kind.NEGATIVES, told, "reject only what the user had before the target (reject='past')",
            "violation",
        )  # fmt: skip

    # -- the outcome -----------------------------------------------------------------------------------------

    def _add(
        self, kind: Kind, wrong: Tensor, told: Callable[[int], str], fix: str, *, row: Tensor | None = None,
        column: str | None = None, severity: Severity = "violation",
    ) -> None:  # fmt: skip
        """Counts the cases where `wrong` [n]; the first of all is put into words."""
        if not (count := int(wrong.sum())):
            return
        if (kind, column) not in self._seen.cases:
            place = int(wrong.nonzero()[0, 0])
            first = None if row is None or int(row[place]) < 0 else int(row[place])
            self._seen.cases[kind, column] = Case(kind, told(place), fix, first, column, severity)
        self._seen.cases[kind, column].count += count

    def _case(self, kind: Kind, message: str, fix: str, severity: Severity) -> None:
        self._seen.cases.setdefault((kind, None), Case(kind, message, fix, None, None, severity, 1))

    def findings(self) -> list[Finding]:
        """What was found in all batches."""
        self._avoided()
        return [
            Finding(
                case.kind, case.severity, self.where,
                case.message + (f" (and {case.count - 1:,} more)" if case.count > 1 else ""),
                case.fix, case.count, case.row, case.column,
            )
            for case in self._seen.cases.values()
        ] + self._untraced.findings()  # fmt: skip

    def looked_at(self, *, whole: bool) -> str:
        """How much was looked at, in words; `whole`: all of an epoch."""
        seen = self._seen
        said = f"{seen.examples:,} examples of {self.where} ({'an epoch' if whole else 'a sample'})"
        said += f" with {seen.events:,} history events"
        return said + (f" and {seen.negatives:,} negatives" if seen.negatives else "")


# -- what stands where ---------------------------------------------------------------------------------------


def _latest(rows: Tensor, batch: Batch, owner: Tensor | None) -> Tensor:
    """The latest row [n] that each target is predicted from; -1 for none."""
    if owner is None:
        found = torch.full((len(batch.histories),), -1, dtype=torch.int64)
        return found.scatter_reduce_(0, batch.histories.items.owner, rows, "amax")
    size = int(rows.max()) + 2 if len(rows) else 1  # windows one above the other: one maximum for them all
    return (rows + 1 + owner * size).cummax(0).values - owner * size - 1 if len(rows) else rows


def _first_of(rows: Tensor, owner: Tensor, count: int) -> Tensor:
    """The first row there is of each of `count` windows; -1 for none."""
    none = torch.iinfo(torch.int64).max
    found = torch.full((count,), none).scatter_reduce_(0, owner, rows.masked_fill(rows < 0, none), "amin")
    return found.masked_fill_(found == none, -1)


def _row(values: Tensor, index: Tensor) -> Tensor:
    """values[index] of any shape, an index out of range being moved into it."""
    if not len(values):
        return values.new_zeros(index.shape)
    return values.index_select(0, index.reshape(-1).clamp(0, len(values) - 1)).view(index.shape)
