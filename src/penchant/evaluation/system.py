"""Asking systems the same questions and holding their answers against each other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from penchant.data.batch import moved
from penchant.data.interactions import Interactions, check_numbering
from penchant.data.split import Part, Queries
from penchant.errors import ArgumentError
from penchant.evaluation.catalogue import used
from penchant.evaluation.estimates import measured, sliced
from penchant.evaluation.impressions import judge, too_few_to_tell
from penchant.evaluation.learned import learned
from penchant.evaluation.published import CandidateSet, PublishedSetting, eligible_items
from penchant.evaluation.questions import Questions, ask, askable, masked_targets
from penchant.evaluation.result import Result, Setting, SystemResult
from penchant.evaluation.runs import Run, require_one_query_each
from penchant.protocols import Ranker, Retriever, Staged, numbered, require_fitted

_CUTOFFS = (5, 10, 20)
_SAID_BY_SETTING = ("cutoffs", "candidates", "exclude_seen")
_JUDGED = 20_000  # queries that rankers behind or beside retrievers are asked, evenly spread


def evaluate(
    system: Retriever | Ranker,
    queries: Part | Queries,
    *,
    against: Sequence[Retriever | Ranker] = (),
    setting: PublishedSetting | None = None,
    cutoffs: Sequence[int] | None = None,
    candidates: CandidateSet | None = None,
    exclude_seen: bool | None = None,
    negatives: int | None = None,
    slices: bool = True,
    bootstrap: int = 2000,
    level: float = 0.95,
    samples: int = 6,
    batch_size: int = 256,
    seed: int = 0,
) -> Result:
    """Ranks the whole catalogue for every query and says how good the lists are, and how sure one can be.

    Where a model took down that it learned from rows that it is asked about (see `Provenance`), the result
    carries a caution.

    Args:
        system: a fitted retriever, funnel or ranker. A retriever or funnel answers lists; a ranker alone
            scores each held-out event beside sampled negatives (or the log's own labels). A funnel's ranker
            is asked both ways: the second is `Result.ranker`, on 20,000 queries at most, evenly spread.
        queries: `split.test`, or `split.test(at="cut")`.
        against: what to compare with: retrievers and funnels with lists, rankers with the ranker of the first
            system; intervals of differences are paired over users.
        setting: a published one, such as `setting("s3rec")`, which then says what the next three arguments
            and the history say, and what is asked; those are left alone.
        cutoffs: list lengths; None: 5, 10 and 20.
        candidates: "seen" (None): items of the training rows; targets outside are left out and counted.
            "earlier": those of the rows before the part that is asked about, so with validation rows at the
            test. "all": every item of the log may be a target; one that a system cannot answer is a miss.
        exclude_seen: whether items of the history are masked; None: unless the log shows that people repeat.
        negatives: for rankers: items drawn beside each positive; None: 20, or 0 where the log has labels.
        slices: whether to give metrics by history length, popularity of the target and cold users.
        bootstrap: resamples of users for the intervals; 0 for none.
        level: of the intervals.
        samples: users whose lists are kept for people to look at.
        batch_size: queries asked at once; no result depends on it.
        seed: of bootstrap and negatives.

    Raises: ArgumentError, SplitError for questions that cannot be asked.
    """
    check_arguments(
        setting=setting, cutoffs=cutoffs, candidates=candidates, exclude_seen=exclude_seen,
        negatives=negatives, bootstrap=bootstrap,
        level=level, samples=samples, batch_size=batch_size,
    )  # fmt: skip
    asked, part, left_out = _asked(queries, setting)
    if not len(asked):
        raise ArgumentError("queries", asked, expected="at least one query")
    split = asked.split
    systems = _systems(system, against, asked.split.log)
    given = {"cutoffs": cutoffs, "candidates": candidates, "exclude_seen": exclude_seen}
    for model in systems.values():
        if isinstance(model, Run):
            require_one_query_each(asked)
    conditions = _conditions(asked, part, setting, given)
    conditions = replace(conditions, bootstrap=bootstrap, level=level, seed=seed)
    cutoffs = conditions.cutoffs
    cautions = {name: learned(model, split, part) for name, model in systems.items()}
    if not isinstance(system, Retriever):
        judged = judge(systems, asked, replace(conditions, negatives=negatives or 0), negatives=negatives)
        return replace(judged, systems=tuple(replace(s, caution=cautions[s.name]) for s in judged.systems))
    rankers, whole = _rankers(systems), asked
    eligible = eligible_items(split, conditions)
    asked, unanswerable = askable(asked, eligible)
    kept = Questions(asked, conditions, eligible, batch_size)
    rows = [ask(name, model, kept) for name, model in systems.items() if isinstance(model, Retriever)]
    values = {row.name: row.per_query for row in rows}
    means, leads = measured(values, kept.users, conditions)
    if bootstrap:  # validation inside `fit` asks for none of this
        depth = kept.depth
        lists = {row.name: row.lists[:, :depth] for row in rows if row.lists is not None}
        more, further = used(lists, kept.users, split.seen_items, conditions)
        means = {name: means[name] | more[name] for name in means}
        leads = {name: leads[name] | further[name] for name in leads}
    parts = sliced(values, asked, conditions) if slices and bootstrap else {}
    rows = [
        replace(
            row,
            metrics=means[row.name],
            difference=leads.get(row.name, {}),
            slices=parts.get(row.name, ()),
            caution=cautions[row.name],
        )
        for row in rows
    ]
    shown = _samples(rows[0], asked, samples, cutoffs)
    return Result(
        conditions,
        tuple(rows),
        kept.users,
        {**left_out, **unanswerable},
        too_few_to_tell(kept.users),
        shown,
        _judged(rankers, whole, conditions, negatives),
        masked=masked_targets(kept) if bootstrap else 0,
    )


def _whole(at_least: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Integral) and int(value) >= at_least


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "setting": (
        lambda value: value is None or isinstance(value, PublishedSetting),
        "a published setting, such as setting('s3rec'), or None",
    ),
    "cutoffs": (
        lambda value: (
            value is None
            or (isinstance(value, Sequence | set) and bool(value) and all(map(_whole(1), value)))
        ),
        "integers of at least 1",
    ),
    "candidates": (lambda value: value in (None, "seen", "earlier", "all"), "'seen', 'earlier' or 'all'"),
    "negatives": (lambda value: value is None or _whole(0)(value), "None or an integer of at least 0"),
    "bootstrap": (_whole(0), "an integer of at least 0"),
    "level": (lambda value: isinstance(value, Real) and 0 < float(value) < 1, "a number inside (0, 1)"),
    "samples": (_whole(0), "an integer of at least 0"),
    "batch_size": (_whole(1), "an integer of at least 1"),
}


def check_arguments(**given: Any) -> None:
    """ArgumentError for the first argument of `evaluate` that is out of range."""
    for name, (good, expected) in _RULES.items():
        if name in given and not good(given[name]):
            raise ArgumentError(name, given[name], expected=expected)
    if (setting := given.get("setting")) is not None:
        for name in _SAID_BY_SETTING:
            if given.get(name) is not None:
                expected = f"nothing beside setting={setting.name!r}, which says it"
                raise ArgumentError(name, given[name], expected=expected)


def _asked(
    queries: Part | Queries, setting: PublishedSetting | None
) -> tuple[Queries, str, Mapping[str, int]]:
    """The queries, the name of the part that they ask about, and those that the setting leaves out."""
    if isinstance(queries, Part):
        asked, left_out = (queries(at="each"), {}) if setting is None else setting.queries(queries)
        return asked, queries.name, left_out
    if setting is not None:
        raise ArgumentError(
            "queries", queries, expected=f"a part of a split, as {setting.name} makes queries"
        )
    if not isinstance(queries, Queries):
        raise ArgumentError(
            "queries", queries, expected="a part of a split, or queries", fix="pass split.test or split.valid"
        )
    return queries, _part_of(queries), {}


def _conditions(
    asked: Queries, part: str, setting: PublishedSetting | None, given: Mapping[str, Any]
) -> Setting:
    """Under which conditions lists are asked for: those of the published setting, or what is `given`."""
    split = asked.split
    said: dict[str, Any] = {"cutoffs": _CUTOFFS, "candidates": "seen", "exclude_seen": not split.repeats}
    said |= {name: value for name, value in given.items() if value is not None}
    if setting is not None:
        names = (*_SAID_BY_SETTING, "name", "masked_score", "history")
        said = {name: getattr(setting, name) for name in names}
    said["cutoffs"] = tuple(sorted(set(said["cutoffs"])))
    at = "each" if len(asked.user) == len(asked.targets.values) else "cut"
    return Setting(split=split.name, part=part, at=at, ties=split.ties, **said)


def _systems(system: object, against: object, log: Interactions) -> dict[str, Any]:
    """All systems by name, the first one first; each was fitted and numbers its items as the log does."""
    if not isinstance(against, Sequence):
        raise ArgumentError("against", against, expected="a list of systems")
    systems = _named([system, *against])
    for model in systems.values():
        argument = "system" if model is system else "against"
        if not isinstance(model, Retriever | Ranker):
            fix = "pass the first, and the others as against=[...]" if isinstance(model, Sequence) else None
            raise ArgumentError(argument, model, expected="a retriever, a funnel or a ranker", fix=fix)
        require_fitted(model, argument)
        check_numbering(model, log, argument="queries")
    return systems


def _rankers(systems: dict[str, Any]) -> dict[str, Ranker]:
    """The rankers in systems, and those held against the first system's, by name."""
    ends = [m.ranker for m in systems.values() if isinstance(m, Staged) and m.ranker is not None]
    beside = [m for m in systems.values() if not isinstance(m, Retriever)]
    first = next(iter(systems.values()))
    if beside and (not isinstance(first, Staged) or first.ranker is None):
        raise ArgumentError(
            "against", type(beside[0]).__name__,
            expected="retrievers or funnels: the first system has no ranker to hold it against",
        )  # fmt: skip
    return _named(list({id(ranker): ranker for ranker in [*ends, *beside]}.values()))


def _judged(
    rankers: dict[str, Ranker], asked: Queries, setting: Setting, negatives: int | None
) -> Result | None:
    """What rankers say of single items; at the cut, of each event of the part nevertheless."""
    if rankers and setting.at == "cut":
        if setting.part not in ("valid", "test"):
            return None
        asked, setting = Part(asked.split, setting.part)(at="each"), replace(setting, at="each")
    return judge(rankers, asked, setting, negatives=negatives, most=_JUDGED) if rankers else None


def _named(systems: Sequence[object]) -> dict[str, Any]:
    names = [system.name if isinstance(system, Run) else type(system).__name__ for system in systems]
    return dict(zip(numbered(names), systems, strict=True))


def _part_of(asked: Queries) -> str:
    return (
        {1: "train", 2: "valid", 3: "test"}.get(int(asked.split.part[asked.row[0]]), "made up")
        if len(asked)
        else "empty"
    )


def _samples(
    row: SystemResult, asked: Queries, count: int, cutoffs: Sequence[int]
) -> tuple[dict[str, Any], ...]:
    """Some users for people to look at: evenly spread over the queries."""
    if not count or row.lists is None:
        return ()
    log = asked.split.log
    chosen = np.unique(np.linspace(0, len(asked) - 1, count).astype(int))
    depth = min(10, cutoffs[-1])
    found: list[dict[str, Any]] = []
    for q in chosen:  # a handful, whatever the size
        history = moved(asked.split.histories(asked.user[q : q + 1], asked.end[q : q + 1], 30), "cpu")
        targets = asked.targets.values[asked.targets.offsets[q] : asked.targets.offsets[q + 1]]
        items = row.lists[q, :depth]
        items = items[items != 0]
        times = (
            history.time.tolist() if log.has_time and history.time is not None else [None] * len(history.item)
        )
        found.append(
            {
                "user": str(log.users.vocabulary.ids(asked.user[q : q + 1].numpy())[0]),
                "history": [
                    {"item": title, "time": t}
                    for title, t in zip(log.catalogue.titles(history.item.long().numpy()), times, strict=True)
                ],
                "list": [
                    {"item": title, "hit": bool(hit)}
                    for title, hit in zip(
                        log.catalogue.titles(items.numpy()), torch.isin(items, targets).tolist(), strict=True
                    )
                ],
                "targets": log.catalogue.titles(targets.numpy()),
            }
        )
    return tuple(found)
