"""Proof that nothing leaks: batches, queries and statistics compared with the rows that they may know."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

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
from penchant.data.audit_statistics import statistic_findings, unsaid
from penchant.data.batch import Batch
from penchant.data.epoch_sample import sampled
from penchant.data.findings import Audit, Finding, Kind, audit_of
from penchant.data.provenance import provenance_of
from penchant.data.retrace import Retracer
from penchant.data.sources import Sequences
from penchant.data.split import Queries, Split
from penchant.errors import ArgumentError, SplitError

SAMPLE = 10_000
_AGAIN = 8  # further samples, of later epochs, where there are too few negatives to tell


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
    share = cross_user_future(split) if split.clock == "user" else None
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
    return audit_of(findings, looked_at, share) + audit_counts(split, statistics)


def audit_counts(split: Split, statistics: Sequence[object] | Mapping[str, object]) -> Audit:
    """What `audit` says of statistics, and nothing else: to be added to an audit of the same split.

    Args:
        split: what was to be learned from.
        statistics: models, or other things with a `provenance`; in a list, or by name.

    Raises: ArgumentError if a statistic is not a model and has no provenance.
    """
    if split.part.device.type != "cpu":
        split = split.to("cpu")
    findings: list[Finding] = []
    looked_at: list[str] = []
    for name, thing in _things(statistics):
        findings += statistic_findings(split, name, thing)
        count = sum(map(len, provenance_of(thing).values()))
        looked_at.append(f"{count} statistic{'s' * (count != 1)} of {name}")
    return audit_of(findings, looked_at, None)


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
    if provenance_of(examples):  # what its negatives were drawn from, and what they avoid
        found += statistic_findings(tracer.split, name, examples, kind=Kind.NEGATIVES)
    elif looker.drew:
        found.append(unsaid(name, "from which rows its negatives were counted"))
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
