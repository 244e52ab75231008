"""A result as text: the lines and tables that `print(result)` and the command line show."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from penchant.evaluation.result import Estimate, Result

UNCLEAR = "cannot be told from chance"


class Table(NamedTuple):
    """Rows under column names; the first column names the rows."""

    head: list[str]
    rows: list[list[str]]

    def __str__(self) -> str:
        """Columns side by side, figures to the right."""
        whole = [self.head, *self.rows]
        wide = [max(len(row[i]) for row in whole) for i in range(len(self.head))]
        return "\n".join(
            "  ".join([row[0].ljust(wide[0]), *map(str.rjust, row[1:], wide[1:])]).rstrip() for row in whole
        )


def written(result: Result) -> str:
    """The result as plain text."""
    return "\n".join(map(str, parts(result)))


def parts(result: Result) -> list[str | Table]:
    """Lines and tables in order.

    Who was asked what and who was left out, who learned from it, a row a system with intervals, the paired
    differences, what follows from them, where candidates get lost, and the ranker's own figures.
    """
    first, *others = result.systems
    metrics = result.shown
    found: list[str | Table] = [result.caption]
    found += result.told
    found += [] if result.verdict is None else [result.verdict]
    found += result.cautions
    found.append(
        Table(
            ["", *metrics], [[s.name, *(figure(s.metrics.get(m)) for m in metrics)] for s in result.systems]
        )
    )
    compared = [s for s in others if s.difference]
    if compared:
        judged = result.verdict is None
        rows = [
            [s.name, *(figure(s.difference.get(m), signed=True, judged=judged) for m in metrics)]
            for s in compared
        ]
        found.append(Table([f"{first.name} minus", *metrics], rows))
        if any(cell.endswith("?") for row in rows for cell in row):
            found.append(f"? {UNCLEAR}")
    if (better := better_alone(result)) is not None:
        found.append(f"{better} alone is better: drop stages or set funnel.weights")
    if first.stages:
        rows = [
            [stage, name, f"{value:.4f}"]
            for stage, recall in first.stages.items()
            for name, value in recall.items()
        ]
        found.append(Table([f"stages of {first.name}", "", "share of targets found"], rows))
    if result.ranker is not None:
        found += ["", "the ranker alone, on single items", *parts(result.ranker)]
    return found


def better_alone(result: Result) -> str | None:
    """The retriever of the first system that beats it clearly, by the first metric; the best of several."""
    first, *others = result.systems
    metric = next(iter(result.shown), None)
    if metric is None or result.verdict is not None:
        return None
    ahead = [
        s
        for s in others
        if f"retrieve:{s.name}" in first.stages
        and (d := s.difference.get(metric)) is not None
        and d.clear
        and d.value < 0
    ]
    return max(ahead, key=lambda s: s.metrics[metric].value).name if ahead else None


def copies(systems: Sequence[Mapping[str, float]]) -> dict[str, str]:
    """Metrics that say what another one says, and which: with one target a query, "map@10" is "mrr@10".

    Args:
        systems: values by metric of every system; only what is equal for all of them is a copy.

    >>> copies([{"recall@5": 0.5, "hit_rate@5": 0.5}, {"recall@5": 0.2, "hit_rate@5": 0.2}])
    {'hit_rate@5': 'recall@5'}
    """
    found: dict[str, str] = {}
    for base, other in (("hit_rate", "recall"), ("map", "mrr")):
        pairs = {
            name: f"{other}@{name.partition('@')[2]}"
            for values in systems
            for name in values
            if name.startswith(f"{base}@")
        }
        if all(
            math.isclose(values.get(name, math.nan), values.get(twin, math.nan), rel_tol=1e-12)
            for values in systems
            for name, twin in pairs.items()
        ):
            found |= pairs
    return found


def figure(found: Estimate | None, *, signed: bool = False, judged: bool = True) -> str:
    """`.0567 [.0510, .0624]`; a difference carries its sign, and "?" where it may be chance."""
    if found is None or not math.isfinite(found.value):
        return ""
    form = "+.4f" if signed else ".4f"
    text = f"{found.value:{form}}"
    if math.isfinite(found.low):
        text += f" [{found.low:{form}}, {found.high:{form}}]"
        if signed and judged:
            text += "  " if found.clear else " ?"
    return re.sub(r"(?<!\d)0\.", ".", text)
