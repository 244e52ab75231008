"""Proof that nothing leaks: batches, queries and statistics compared with the rows that they may know."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from penchant.data.audit_batches import BatchAudit
from penchant.data.audit_negatives import EXPECTED
from penchant.data.audit_split import (
    column_findings,
    cross_user_future,
    future_findings,
    order_findings,
    part_findings,
    query_findings,
    table_findings,
)
from penchant.data.batch import Batch
from penchant.data.epoch_sample import sampled
from penchant.data.findings import Audit, Finding, Kind, Words, audit_of
from penchant.data.provenance import WEIGHTS, Provenance, digest_of, provenance_of
from penchant.data.retrace import Retracer
from penchant.data.sources import Sequences
from penchant.data.split import TEST, TRAIN, UNUSED, VALID, Queries, Split
from penchant.errors import ArgumentError, SplitError

SAMPLE = 10_000
_AGAIN = 8  # further samples, of later epochs, where there are too few negatives to tell
_PARTS = {UNUSED: "unused", VALID: "validation", TEST: "test"}


def audit(
    split: Split,
    source: Iterable[Batch] | Mapping[str, Iterable[Batch]] | None = None,
    statistics: Sequence[object] | Mapping[str, object] = (),
    *,
    queries: Sequence[Queries] | None = None,
    sample: int | None = SAMPLE,
    seed: int = 0,
) -> Audit:
    """Looks for what learns from, or is asked with, what it must not know.

    Nobody's word is taken. The log's order and ties are looked up in its events. Each example of a batch is
    traced back to rows of the log by user, item, time, event type and label (of rows that are alike, those
    that speak for the source): the target is a training row with its own label, all that it is predicted from
    stands before it in the log's order (in an earlier second where the split excludes ties), events carry
    their own labels and columns, negatives are items of training rows. A column of a batch that the log does
    not have is named: as a violation where it is the label or the target, else in a note. Statistics, and
    weights that `fit` learned, are held against the rows behind them, which `Provenance` took down.

    What cannot be known: when a column of the log came to be. One that nearly is the label, or has a value
    that only one label has, is named in a note; so are attributes, in which nothing is looked at. A label in
    a history counts as known from its event's own place in the log on.

    Args:
        split: what was to be learned from, and asked.
        source: batches as a model learns from them: a `Source`, one of your own, or several by name.
        statistics: models, or other things with a `provenance`; in a list, or by name.
        queries: what an evaluation asks; None: all that `split.valid` and `split.test` ask.
        sample: how many examples of a source's first epoch to look at, spread over it; None for all.
        seed: of that sample.

    Returns: what was found; `check()` raises where that is a violation.
    Raises: ArgumentError if a source yields no batches of events, or a statistic is not a model and has no
        provenance.

    >>> from penchant.data import at_least, read_events, split_leave_last
    >>> import polars as pl
    >>> log = read_events(pl.DataFrame({"u": [1, 1, 1, 2, 2, 2], "i": [1, 2, 3, 2, 3, 1], "t": range(6)}),
    ...                   user="u", item="i", time="t")
    >>> audit(split_leave_last(log)).line
    'audit: 6 checks, clean; cross-user future 50.0 %, inherent'
    """
    if not isinstance(split, Split):
        raise ArgumentError("split", split, expected="a Split, as split_by_time(log) makes it")
    if sample is not None and sample < 1:
        raise ArgumentError("sample", sample, expected="an integer of at least 1, or None")
    if split.part.device.type != "cpu":
        split = split.to("cpu")
    tracer = Retracer(split)
    share = cross_user_future(split)
    findings = [
        *order_findings(split),
        *part_findings(split),
        *column_findings(split),
        *future_findings(split, share),
        *table_findings(split),
    ]
    looked_at = [f"the order of {len(split.log):,} events", f"the parts of {split!r}"]
    for name, asked in _queries(split, queries):
        findings += query_findings(tracer, asked, name)
        looked_at.append(f"{len(asked):,} {name}")
    for name, batches in _named(source):
        found, told = _source_findings(tracer, name, batches, sample, seed)
        findings += found
        looked_at.append(told)
    for name, thing in _things(statistics):
        counted = provenance_of(thing)
        findings += _statistic_findings(split, name, thing, counted)
        count = sum(map(len, counted.values()))
        looked_at.append(f"{count} statistic{'s' * (count != 1)} of {name}")
    return audit_of(findings, looked_at, share if split.clock == "user" else None)


def _queries(split: Split, queries: Sequence[Queries] | None) -> Iterator[tuple[str, Queries]]:
    if queries is not None:
        for number, asked in enumerate(queries):
            yield f"queries ({number})" if len(queries) > 1 else "queries", asked
        return
    for part, name in ((split.valid, "validation"), (split.test, "test")):
        try:
            both = {"each": part("each"), "cut": part("cut")}
        except SplitError:  # a part without positives asks nothing
            continue
        for at, asked in both.items():
            yield f"{name} queries, one {'an event' if at == 'each' else 'a user'}", asked


def _named(source: Any) -> Iterator[tuple[str, Iterable[Batch]]]:
    if source is None:
        return
    if isinstance(source, Mapping):
        yield from source.items()
    else:
        yield type(getattr(source, "examples", source)).__name__, source


def _things(statistics: Sequence[object] | Mapping[str, object]) -> Iterator[tuple[str, object]]:
    if not isinstance(statistics, Mapping | Sequence):
        raise ArgumentError("statistics", statistics, expected="a list of models, or models by name")
    named = (
        statistics.items()
        if isinstance(statistics, Mapping)
        else [(type(thing).__name__, thing) for thing in statistics]
    )
    for name, thing in named:
        if not isinstance(thing, nn.Module) and not hasattr(thing, "provenance"):
            raise ArgumentError(
                "statistics", thing, expected="models, or things with a provenance",
                fix="pass the models that a funnel is made of, one by one",
            )  # fmt: skip
        yield name, thing


# -- sources -------------------------------------------------------------------------------------------------


def _source_findings(
    tracer: Retracer, name: str, source: Iterable[Batch], sample: int | None, seed: int
) -> tuple[list[Finding], str]:
    examples: object = getattr(source, "examples", source)
    # reject="positive" lets label-0 events through
    promised = isinstance(examples, Sequences) or getattr(examples, "reject", None) in ("past", "all")
    looker = BatchAudit(tracer, name, promised=promised)
    batches, whole = sampled(source, sample, seed)
    number = 0
    for number, batch in enumerate(batches, 1):  # noqa: B007 - read below
        if not isinstance(batch, Batch):
            raise ArgumentError("source", type(batch).__name__, expected="something that yields batches")
        looker.look(batch)
    if not number:
        raise ArgumentError(
            "source", name, expected="a source that yields at least one batch",
            fix="hand over a fresh one: one that was read to its end gives nothing",
        )  # fmt: skip
    _draw_again(looker, source, sample, seed)
    found = looker.findings()
    said = provenance_of(examples)
    if said:  # what its negatives were drawn from, and what they avoid
        found += _statistic_findings(tracer.split, name, examples, said, kind=Kind.NEGATIVES)
    return found, looker.looked_at(whole=whole)


def _draw_again(looker: BatchAudit, source: Iterable[Batch], sample: int | None, seed: int) -> None:
    """Draws further negatives of a source that draws anew every epoch, where those seen are too few to tell.

    Not where all that may be drawn would be too few.
    """
    drawn = looker.drawn
    if not hasattr(source, "set_epoch") or not drawn.open or drawn.expected * (_AGAIN + 1) < EXPECTED:
        return
    for epoch in range(1, _AGAIN + 1):
        if not drawn.open:
            return
        batches, _ = sampled(source, sample or SAMPLE, seed, epoch=epoch)
        for batch in batches:
            looker.draw_again(batch)


# -- statistics ----------------------------------------------------------------------------------------------


def _statistic_findings(
    split: Split,
    name: str,
    thing: object,
    counted: Mapping[str, Sequence[Provenance]],
    *,
    kind: Kind = Kind.STATISTIC,
) -> list[Finding]:
    """What was counted on other rows than those of training, and whether anybody says."""
    found: list[Finding] = []
    trained = hasattr(thing, "source") and hasattr(thing, "loss") and not hasattr(thing, "solve")
    counts = hasattr(thing, "solve") or hasattr(thing, "prepare") or not isinstance(thing, nn.Module)
    silent = not any(one.what == WEIGHTS for said in counted.values() for one in said)
    if trained and silent and getattr(thing, "fitted", True) is not False:
        found.append(_unsaid(name, "from which rows its weights were learned"))
    elif counts and not counted:
        found.append(_unsaid(name, "on which rows it was counted"))
    for part, said in counted.items():
        where = f"{name}.{part}" if part else name
        found += [finding for one in said if (finding := _counted(split, where, one, kind)) is not None]
    return found


def _counted(split: Split, where: str, said: Provenance, kind: Kind) -> Finding | None:
    """What is wrong with one count; None for nothing."""
    if not said.log:
        return _unsaid(where, f"from which rows of {said.split} its {said.what} were learned")
    another = said.log != split.log_digest
    rows = said.rows_in(split)
    if rows is None:
        if another:
            return _elsewhere(split, where, said)
        rows = _recognised(split, said)
    if rows is None:
        return _untold(split, where, said, kind)
    part = split.part.index_select(0, rows)  # known exactly, whatever the split it was counted on
    counts = torch.bincount(part, minlength=TEST + 1)
    if int(counts[TRAIN]) < len(rows):
        return _held_out(split, where, said, counts, int(rows[part != TRAIN][0]), kind)
    if not another:
        return None
    told = (
        f"{said.what!r} was counted on {said.rows:,} rows of another log ({said.split}), with other labels "
    )
    told += "or types of the same events; they are training rows here too"
    return Finding(Kind.OTHER_SPLIT, "note", where, told, "", said.rows)


def _elsewhere(split: Split, where: str, said: Provenance) -> Finding:
    """Of a count on a log of other events: whether it was over before anything is asked here."""
    told = f"{said.what!r} was counted on {said.rows:,} rows of another log ({said.split})"
    fix = "audit it against the split that it was counted on, or fit it on this one"
    if _before(split, said):
        told += ", all of them before the first row held out here"
        return Finding(Kind.OTHER_SPLIT, "note", where, told, fix, said.rows)
    told += ", which may be held out here"
    return Finding(Kind.OTHER_SPLIT, "violation", where, told, fix, said.rows)


def _untold(split: Split, where: str, said: Provenance, kind: Kind) -> Finding | None:
    """Of a count on this log that does not tell its rows: what can be known of it."""
    if said.within == split.digest:
        if said.train == said.rows:
            return None
        counts = torch.tensor([said.unused, said.train, said.valid, said.test])
        return _held_out(split, where, said, counts, said.stray, kind)
    ends = [row for row in (said.first, said.last) if row >= 0]
    stray = next((row for row in ends if int(split.part[row]) != TRAIN), None)
    more = said.rows - int((split.part == TRAIN).sum())
    if stray is None and more <= 0:
        told = f"{said.what!r} was counted on {said.rows:,} rows of another split of this log ({said.split})"
        told += ", and does not say which: some may be held out here"
        fix = "audit it against that split, or fit it on this one"
        return Finding(Kind.OTHER_SPLIT, "violation", where, told, fix, said.rows)
    told = f"{said.what!r} was counted on {said.rows:,} rows of {said.split!r}"
    told += f", {more:,} more than this split trains on" if more > 0 else ""
    told += f", {Words(split.log).owned(stray)} among them" if stray is not None else ""
    return Finding(kind, "violation", where, told, _FIX, max(more, 1), stray)


def _unsaid(name: str, what: str) -> Finding:
    told = f"it does not say {what}, so that is unknown"
    fix = "fit and save it anew; a class of your own keeps `Provenance.of(...)` in `self.provenance`"
    return Finding(Kind.NO_PROVENANCE, "note", name, told, fix)


def _before(split: Split, said: Provenance) -> bool:
    """Whether all rows counted are earlier than the first one that is held out."""
    held = (split.part == VALID) | (split.part == TEST)
    if said.latest is None or not split.log.has_time or not bool(held.any()):
        return False
    return said.latest < int(split.log.time[held].min())


_FIX = (
    "count on `split.train.rows` (or `.targets`) alone; for a last fit on validation rows too, audit "
    "`split.joined()`"
)


def _held_out(
    split: Split, where: str, said: Provenance, counts: Tensor, stray: int | None, kind: Kind
) -> Finding:
    strays = {name: int(counts[part]) for part, name in _PARTS.items() if int(counts[part])}
    listed = " and ".join(f"{count:,} {name}" for name, count in strays.items())
    told = f"{said.what!r} was counted on {said.rows:,} rows, {listed} rows among them"
    if stray is not None:
        told += f"; the first is {Words(split.log).owned(stray)}"
    return Finding(kind, "violation", where, told, _FIX, sum(strays.values()), stray)


def _recognised(split: Split, said: Provenance) -> Tensor | None:
    """The rows counted, where they are a set that has a name: whole parts, or all of the log."""
    positive = split.log.positive(torch.arange(len(split.log)))
    for parts in ((TRAIN,), (TRAIN, VALID), (TRAIN, VALID, TEST), (UNUSED, TRAIN, VALID, TEST)):
        chosen = torch.isin(split.part, torch.tensor(parts, dtype=split.part.dtype))
        for rows in (chosen, chosen & positive):
            if int(rows.sum()) == said.rows:
                found = rows.nonzero().squeeze(1)
                if digest_of(found) == said.digest:
                    return found
    return None
