"""What a split itself lets through: the log's order, its ties, its parts, its queries, its columns."""

import numpy as np
import torch
from torch import Tensor

from penchant.data.findings import Finding, Kind, Severity, Words
from penchant.data.ordering import follows_id
from penchant.data.retrace import SPAN, Retracer, Scale
from penchant.data.split import TEST, TRAIN, VALID, Queries, Split
from penchant.data.telling import TELLING, area, by_category, one_sided
from penchant.data.vocabulary import FIRST, Vocabulary

_ROWS = 200_000  # training rows that a column is looked at on
_PARTS = {VALID: "validation", TEST: "test"}


def order_findings(split: Split) -> list[Finding]:
    """Whether every user's events ascend in time, and what breaks their ties."""
    log, words = split.log, Words(split.log)
    if not log.has_time or len(log) < 2:
        return []
    own = log.user[1:] == log.user[:-1]
    back = (own & (log.time[1:] < log.time[:-1])).nonzero().squeeze(1)
    if len(back):
        row = int(back[0]) + 1
        told = f"{words.owned(row)} stands behind {words.event(row - 1)}"
        fix = "sort every user's events by time, or read them by `read_events`"
        return [_finding(Kind.LOG_ORDER, "log", told, fix, count=len(back), row=row)]
    tied = own & (log.time[1:] == log.time[:-1])
    count = int(tied.sum())
    if not count:
        return []
    share = f"{count:,} of {len(log):,} events share their second with the user's event before"
    follows = _follows(split, tied)
    if not follows:
        order = "a seeded hash" if log.profile.tie_order == "hash" else "the file's order"
        told = f"{share}; histories leave that second out"
        if split.ties == "order":
            says = "says nothing of the item id"
            if follows is None:
                says = "they are too few to tell whether it follows the item id"
            told = f"{share}; {order} breaks these ties and {says}"
        return [_finding(Kind.TIES, "log", told, severity="note", count=count)]
    row = int(tied.nonzero()[0, 0]) + 1
    told = f"{share}, and among them the order follows the item id ({follows}), as in {words.owned(row)}"
    if split.ties == "exclude":
        told += "; histories leave that second out, so no target is told by it"
        return [_finding(Kind.FILE_ORDER, "log", told, severity="note", count=count, row=row)]
    fix = (
        "read the log by `read_events`, which breaks such ties by a seeded hash, or split with ties='exclude'"
    )
    return [_finding(Kind.FILE_ORDER, "log", told, fix, count=count, row=row)]


def _follows(split: Split, tied: Tensor) -> str | None:
    """Whether the order of tied events follows the external item id: by the log, not by its profile."""
    log = split.log
    inside = torch.zeros(len(log), dtype=torch.bool)
    inside[1:] |= tied
    inside[:-1] |= tied
    rows = inside.nonzero().squeeze(1)
    rows = rows[log.item.index_select(0, rows) >= FIRST]
    run = torch.cat([tied.new_zeros(1), tied]).logical_not().long().cumsum(0).index_select(0, rows)
    item = log.item.index_select(0, rows).numpy().astype(np.int64)
    return follows_id(run.numpy(), item, log.catalogue.vocabulary.all_ids)


def part_findings(split: Split) -> list[Finding]:
    """Whether anything is learned from that comes after what is asked about."""
    log = split.log
    held = (split.part == VALID) | (split.part == TEST)
    trained = split.part == TRAIN
    if not bool(held.any()) or not bool(trained.any()):
        return []
    if split.clock == "global" and log.has_time:
        return _later_than_cut(split, trained, held)
    # rows of a user that are learned from and stand behind one that is held out
    count = held.long().cumsum(0)
    begin = torch.cat([count.new_zeros(1), count]).index_select(0, log.offsets[:-1])
    behind = trained & (count > begin.index_select(0, log.user))
    if not bool(behind.any()):
        return []
    words, row = Words(log), int(behind.nonzero()[0, 0])
    first = int((held & (log.user == log.user[row])).nonzero()[0, 0])
    part = _PARTS[int(split.part[first])]
    told = f"{words.owned(row)} is a training row behind the {part} row {words.event(first)}"
    cases = int(behind.sum())
    if split.usable is not None and not bool(held.index_select(0, split.usable).any()):
        told = f"{cases:,} training rows stand behind a held-out row of their user, which is inherent; {told}"
        return [_finding(Kind.OWN_FUTURE, "split", told, severity="note", count=cases, row=row)]
    fix = "hold out the last events of a user, as split_leave_last does, or split by time"
    return [_finding(Kind.LATER_TRAINING, "split", told, fix, count=cases, row=row)]


def _later_than_cut(split: Split, trained: Tensor, held: Tensor) -> list[Finding]:
    log, words = split.log, Words(split.log)
    rows = held.nonzero().squeeze(1)
    earliest = int(rows[log.time.index_select(0, rows).argmin()])
    late = (trained & (log.time >= log.time[earliest])).nonzero().squeeze(1)
    found: list[Finding] = []
    if len(late):
        part, row = _PARTS[int(split.part[earliest])], int(late[0])
        told = f"{words.owned(row)} is a training row, not before the {part} row {words.owned(earliest)}"
        fix = "cut by time (`split_by_time`): all that is learned from lies before all that is asked"
        found.append(_finding(Kind.LATER_TRAINING, "split", told, fix, count=len(late), row=row))
    return found


def cross_user_future(split: Split) -> float | None:
    """How much of what other users do later a model learns from, in [0, 1].

    It is, for a test query, the share of other users' training rows that are later than it is asked; and of
    that the mean over the queries `split.test()` asks, one an event. None where the log has no times, or
    there is nobody to ask.
    """
    log = split.log
    if not log.has_time:
        return None
    rows = (split.part == TEST).nonzero().squeeze(1)
    rows = rows[log.positive(rows)]
    trained = (split.part == TRAIN).nonzero().squeeze(1)
    if not len(rows) or not len(trained):
        return None
    at, users = log.time.index_select(0, rows), log.user_of(rows)
    times = log.time.index_select(0, trained)
    ordered = times.sort().values
    later = len(ordered) - torch.searchsorted(ordered, at, right=True)
    # a user's own training rows: all, and those that are later
    ends = torch.stack([*at.aminmax(), ordered[0], ordered[-1]])
    moments = Scale(ends if int(ends.max() - ends.min()) < SPAN else torch.cat([ordered, at]), SPAN)
    place = log.user_of(trained).mul_(moments.size + 1).add_(moments.find(times)[0])
    if bool((place[1:] < place[:-1]).any()):  # the log is out of order
        place = place.sort().values
    own_begin = torch.searchsorted(place, users * (moments.size + 1))
    own_end = torch.searchsorted(place, (users + 1) * (moments.size + 1))
    now = users * (moments.size + 1) + moments.find(at)[0]
    own_later = own_end - torch.searchsorted(place, now, right=True)
    others = len(trained) - (own_end - own_begin)
    return float(((later - own_later).double() / others.clamp(min=1)).mean())


def future_findings(split: Split, share: float | None) -> list[Finding]:
    """The cross-user future as a note, or that it cannot be known."""
    if split.clock == "global" or not bool((split.part == TEST).any()):
        return []
    if share is None:
        told = "the log has no times, so how much of other users' future is learned from cannot be told"
    elif share:
        told = (
            f"{100 * share:.1f} % of other users' training events are later than what is asked, on average "
            "over the test queries: inherent in a split per user; split by time where that matters"
        )
    else:
        return []
    return [_finding(Kind.CROSS_USER, "split", told, severity="note")]


def query_findings(tracer: Retracer, queries: Queries, where: str) -> list[Finding]:
    """Whether no question hands over what happens at it or behind it, and its answers do."""
    split, log, words = tracer.split, tracer.log, Words(tracer.log)
    time, owner = log.time, queries.targets.owner
    row, usable = queries.row, tracer.usable
    starts = split.starts.index_select(0, queries.user)
    stops = split.starts.index_select(0, queries.user + 1)
    filled = queries.end > starts
    last = usable.index_select(0, (queries.end - 1).clamp(0, max(len(usable) - 1, 0))) if len(usable) else row
    when, now = time.index_select(0, last), time.index_select(0, row)
    behind = filled & (last >= row)
    tied = filled & (last < row) & (when == now) & (split.ties == "exclude")
    wrong = behind | tied | (filled & (when > queries.at))
    foreign = (log.user_of(row) != queries.user) | (queries.end > stops) | (queries.end < starts)
    found: list[Finding] = []
    fix = "ask with histories that end before the query: `split.history_end(row)`"
    if bool(foreign.any()):
        n = int(foreign.nonzero()[0, 0])
        told = f"query {n:,} of {words.user(int(queries.user[n]))} reads events that are not that user's"
        found.append(_finding(Kind.QUERY, where, told, fix, count=int(foreign.sum()), row=int(row[n])))
    wrong &= ~foreign
    if bool(wrong.any()):
        n = int(wrong.nonzero()[0, 0])
        told = (
            f"{words.user(int(queries.user[n]))} is asked at {words.time(int(queries.at[n]))}, before "
            f"{words.event(int(row[n]))}, with a history that ends in {words.event(int(last[n]))}"
        )
        found.append(_finding(Kind.QUERY, where, told, fix, count=int(wrong.sum()), row=int(row[n])))
    pairs = tracer.pair(queries.user.index_select(0, owner), queries.targets.values)
    begin, end = tracer.anything.at_any_time(pairs)
    newest = tracer.anything.rows.index_select(0, (end - 1).clamp(min=0))
    missed = (begin == end) | (newest < row.index_select(0, owner))
    if bool(missed.any()):
        n = int(missed.nonzero()[0, 0])
        query = int(owner[n])
        told = (
            f"{words.user(int(queries.user[query]))} is asked for "
            f"{words.item(int(queries.targets.values[n]))}, of which nothing stands at or behind "
            f"{words.event(int(row[query]))}"
        )
        fix = "take targets from the held-out rows that follow the history"
        found.append(_finding(Kind.QUERY, where, told, fix, count=int(missed.sum()), row=int(row[query])))
    return found


def table_findings(split: Split) -> list[Finding]:
    """Names the attribute tables, which have no times: nothing can be looked at in them."""
    tables = {"items": split.log.catalogue, "users": split.log.users}
    named = {
        what: [*table.categories, *table.numbers, *table.text, *table.vectors]
        for what, table in tables.items()
    }
    listed = "; ".join(f"of {what}: {', '.join(names)}" for what, names in named.items() if names)
    if not listed:
        return []
    told = f"attributes have no times, so it cannot be told whether they know what comes later ({listed})"
    return [_finding(Kind.NOT_LOOKED_AT, "log", told, severity="note")]


def column_findings(split: Split) -> list[Finding]:
    """Context columns that nearly are the label, or are it for a value: known only once it is, as a rule."""
    log = split.log
    if log.label is None:
        return []
    rows = (split.part == TRAIN).nonzero().squeeze(1)
    rows = rows[:: -(-len(rows) // _ROWS)] if len(rows) else rows
    label = log.label.index_select(0, rows) > 0.5
    found: list[Finding] = []
    for name, column in log.columns.items():
        told = _told(name, column.index_select(0, rows), label, log.column_labels.get(name))
        if told:
            fix = f"keep {name!r} out of what is asked with (`context` of a model), unless it comes before"
            found.append(_finding(Kind.TELLING_COLUMN, "log", told, fix, severity="note", column=name))
    return found


def _told(name: str, values: Tensor, label: Tensor, words: Vocabulary | None) -> str:
    """What the values [n] of a column tell of the labels [n]; "" for nothing."""
    found = area(values.double() if words is None else by_category(values, label), label)
    if found is not None and found >= TELLING:
        return (
            f"the column {name!r} tells the label on training rows (area under the curve {found:.4f}): it "
            "may be known only once the label is"
        )
    pure = one_sided(values, label)
    if pure is None:
        return ""
    value, outcome, count = pure
    shown = f"{value:g}" if words is None else repr(words.ids([int(value)])[0])
    shown = "no value" if value != value else shown
    return (
        f"the column {name!r} has {shown} in {count:,} training rows, all of label {int(outcome)}: that "
        "value may be known only once the label is"
    )


def _finding(
    kind: Kind, where: str, message: str, fix: str = "", *, severity: Severity = "violation", count: int = 0,
    row: int | None = None, column: str | None = None,
) -> Finding:  # fmt: skip
    return Finding(kind, severity, where, message, fix, count, row, column)
