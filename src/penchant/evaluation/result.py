"""What an evaluation found, and under which conditions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from penchant.errors import ArgumentError, nearest
from penchant.evaluation.significance import Comparison, compare_values

_SHOWN = ("ndcg", "recall", "mrr", "auc", "gauc", "log_loss", "ece", "pcoc")


@dataclass(frozen=True)
class Setting:
    """An evaluation said whole, so that a figure can be compared with another one's.

    Attributes:
        split: how train and test were parted, in words.
        part: which part was asked about.
        at: "each": one query a held-out event, histories rolling on; "cut": one a user.
        ties: what happens to events in the target's own second.
        candidates: which items could be answered: "seen" in training, "earlier" (in training or validation),
            or "all" (items never seen in training count as misses).
        exclude_seen: whether items of the history were masked.
        cutoffs: list lengths.
        negatives: items drawn beside each positive, for scores of single items; 0 where the log has labels.
        bootstrap: resamples of users; level: of the intervals.
        seed: of all that was drawn.
        name: of the published setting that was kept to; "" for none.
        masked_score: the score of masked items; None: they were never answered.
        history: newest events that a system could read; None for all.
    """

    split: str
    part: str
    at: str
    ties: str
    candidates: str
    exclude_seen: bool
    cutoffs: tuple[int, ...]
    negatives: int = 0
    bootstrap: int = 2000
    level: float = 0.95
    seed: int = 0
    name: str = ""
    masked_score: float | None = None
    history: int | None = None

    @property
    def middle(self) -> int | None:
        """The list length that figures are told at: 10, or else the middle one."""
        lengths = self.cutoffs
        return 10 if 10 in lengths else lengths[len(lengths) // 2] if lengths else None

    def __str__(self) -> str:
        seen = "seen items masked" if self.exclude_seen else "seen items may return"
        if self.exclude_seen and self.masked_score is not None:
            seen += f" with score {self.masked_score:g}"
        asked = "one query an event" if self.at == "each" else "one query a user at the cut"
        where = f"{self.split}; {self.part} part, {asked}"
        said = f"{where}; ties: {self.ties}; candidates: {self.candidates}; {seen}"
        said += "" if self.history is None else f"; histories of {self.history} events at most"
        return f"{self.name}: {said}" if self.name else said


@dataclass(frozen=True)
class Estimate:
    """A mean over users with its bootstrap interval (nan where none was asked for).

    Attributes:
        value: the mean.
        low, high: the interval.
        n: queries behind it.
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")
    n: int = 0

    @property
    def clear(self) -> bool:
        """Whether the interval leaves 0 out (for differences)."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Slice:
    """The metrics of some of the queries.

    Attributes:
        by: what the queries are parted by ("history", "target", "user").
        name: which ones ("5 to 19 events", "tail", "cold").
        n: how many.
        metrics: estimates by metric.
    """

    by: str
    name: str
    n: int
    metrics: Mapping[str, Estimate]


@dataclass(frozen=True, eq=False)
class SystemResult:
    """One row of the results table, and what stands behind it.

    Attributes:
        name: of the system.
        metrics: estimates by name ("ndcg@10"): means over users, or figures of the whole (AUC, calibration),
            some of which have no interval.
        per_query: the same for every query, [Q] float64 by metric.
        difference: the first system's metric minus this one's, by metric; empty for the first.
        slices: metrics of parts of the queries.
        stages: recall of every stage's candidates, by stage.
        lists: the items answered, [Q, K]; None for rankers of given candidates.
        seconds: what answering took.
        reliability: predicted and observed rates by bin, for models that give probabilities.
        caution: in words that follow the name, where it learned from what it was asked, or may have; else "".
    """

    name: str
    metrics: Mapping[str, Estimate]
    per_query: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    difference: Mapping[str, Estimate] = field(default_factory=dict[str, Estimate])
    slices: tuple[Slice, ...] = ()
    stages: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
    lists: Tensor | None = None
    seconds: float = 0.0
    reliability: tuple[Mapping[str, float], ...] = ()
    caution: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON values; per-query arrays and lists are left out."""
        return {
            "name": self.name,
            "metrics": {name: asdict(m) for name, m in self.metrics.items()},
            "difference": {name: asdict(m) for name, m in self.difference.items()},
            "slices": [
                {
                    "by": s.by,
                    "name": s.name,
                    "n": s.n,
                    "metrics": {name: asdict(m) for name, m in s.metrics.items()},
                }
                for s in self.slices
            ],
            "stages": {stage: dict(recall) for stage, recall in self.stages.items()},
            "seconds": self.seconds,
            "reliability": [dict(bin) for bin in self.reliability],
            "caution": self.caution,
        }


@dataclass(frozen=True, eq=False)
class Result:
    """The answer of `evaluate`: the system asked about first, then those it was held against.

    Attributes:
        setting: the conditions.
        systems: one a system.
        users: the user of every query, [Q] int64.
        left_out: queries that could not be asked, by reason.
        verdict: a caution in words where there are too few users to tell; else None.
        samples: some users' histories, lists and targets, for people to look at.
        ranker: how well the first system's ranker, and rankers held against it, tell single items apart, and
            how true their probabilities are; with the queries that they were asked. None without a ranker.
        masked: targets that stand in a masked history, and so cannot be hit.
    """

    setting: Setting
    systems: tuple[SystemResult, ...]
    users: np.ndarray
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])
    verdict: str | None = None
    samples: tuple[Mapping[str, Any], ...] = ()
    ranker: "Result | None" = None
    masked: int = 0

    def __getitem__(self, metric: str) -> float:
        """A metric of the first system: `result["ndcg@10"]`; KeyError names the nearest there is."""
        known = self.systems[0].metrics
        if metric not in known:
            raise KeyError(f"{metric!r} was not measured: {nearest(metric, list(known))}")
        return known[metric].value

    def compare(
        self,
        against: str | None = None,
        *,
        metrics: Sequence[str] | None = None,
        resamples: int = 2000,
        permutations: int = 10_000,
        level: float = 0.95,
        seed: int = 0,
    ) -> tuple[Comparison, ...]:
        """Whether the first system (b) differs from another one (a) by more than chance, metric by metric.

        Args:
            against: the name of the other system; None where there is one.
            metrics: which you decide by: all are corrected for each other; None: those of `shown`
                that both have for each query, or else all such.
            resamples: of users, for the interval; 0 for none.
            permutations: for the test.
            level: of the intervals; a verdict needs a corrected p of at most 1 - level.
            seed: of all draws.

        Raises: ArgumentError where no other system has that name, or as `compare_values` raises.
        """
        first, *others = self.systems
        names = [other.name for other in others]
        if against is None and len(names) == 1:
            against = names[0]
        if against not in names:
            raise ArgumentError("against", against, expected=f"one of the other systems ({_listed(names)})")
        other = others[names.index(against)]
        if metrics is None:
            both = first.per_query.keys() & other.per_query
            metrics = [name for name in self.shown if name in both] or None
        return compare_values(
            other.per_query, first.per_query, self.users, metrics=metrics, resamples=resamples,
            permutations=permutations, level=level, seed=seed,
        )  # fmt: skip

    @property
    def shown(self) -> tuple[str, ...]:
        """The metrics that are printed, and compared where none are named."""
        known = self.systems[0].metrics
        listed = tuple(name for base in _SHOWN if (name := f"{base}@{self.setting.middle}") in known)
        return listed or tuple(name for name in _SHOWN if name in known) or tuple(known)[:3]

    @property
    def n_users(self) -> int:
        """Users with at least one query."""
        return len(np.unique(self.users))

    def as_dict(self) -> dict[str, Any]:
        """JSON values: what `report` draws and what `--json` prints."""
        return {
            "setting": asdict(self.setting) | {"cutoffs": list(self.setting.cutoffs)},
            "queries": len(self.users),
            "users": self.n_users,
            "left_out": dict(self.left_out),
            "masked": self.masked,
            "verdict": self.verdict,
            "systems": [system.as_dict() for system in self.systems],
            "samples": [dict(sample) for sample in self.samples],
            "ranker": None if self.ranker is None else self.ranker.as_dict(),
        }

    def __str__(self) -> str:
        """Figures with intervals and paired differences, as the command line prints them."""
        from penchant.evaluation.lines import written  # it knows this class

        return written(self)

    @property
    def caption(self) -> str:
        """What was asked, in a line."""
        return f"{len(self.users):,} queries of {self.n_users:,} users. {self.setting}."

    @property
    def told(self) -> list[str]:
        """A line for all that was left out, and for targets that could not be hit."""
        lines = [f"left out: {words}" for words in self.omitted]
        if self.masked:
            stand = "target stands" if self.masked == 1 else "targets stand"
            lines.append(f"{self.masked:,} {stand} in a history that is masked: sure misses")
        return lines

    @property
    def cautions(self) -> list[str]:
        """A line for each system that learned from what it was asked, or may have."""
        return [f"{system.name} {system.caution}" for system in self.systems if system.caution]

    @property
    def omitted(self) -> list[str]:
        """What was left out: "1 query whose every target is unseen in training"."""
        return [
            f"{n:,} {_singular(reason) if n == 1 else reason}" for reason, n in self.left_out.items() if n
        ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "there is none: evaluate it with against=[...]"


def _singular(words: str) -> str:
    return words.replace("queries", "query").replace("targets", "target")
