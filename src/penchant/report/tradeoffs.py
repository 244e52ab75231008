"""Accuracy against what lists are like beside it: who pays for variety, and who gets both."""

from penchant.evaluation.result import Result
from penchant.report import plots
from penchant.report.figures import Figures
from penchant.report.markup import Markup, table, tag
from penchant.report.words import figure, headline_metric, interval, label, metric, named, places

_VARIETY = ("intra_list_diversity", "novelty", "item_coverage", "personalisation", "category_entropy")
_SHOWN = 4


def section(result: Result, figures: Figures) -> Markup:
    """A chart for each kind of variety that was measured, where there are systems to compare."""
    found = pairs(result)
    if len(result.systems) < 2 or not found:
        return Markup()
    shown: list[Markup] = []
    for accuracy, variety in found:
        spec = plots.tradeoff(result.systems, accuracy, variety)
        if spec is not None:
            title = f"{metric(accuracy).label} and {metric(variety).label.lower()}"
            says = f"Higher is more accurate; to the right, {metric(variety).line.rstrip('.')}."
            numbers = _numbers(result, accuracy, variety, title)
            shown.append(figures.add(spec, title=title, says=says, numbers=numbers))
    if not shown:
        return Markup()
    return tag("div", *shown, class_="pair" if len(shown) > 1 else None)


def pairs(result: Result) -> list[tuple[str, str]]:
    """Metrics (accuracy, variety) of one list length: that of the headline where both are measured there."""
    head = headline_metric(result)
    if head is None or metric(head).kind != "ranking":
        return []
    base, chosen = named(head)
    known = {name for system in result.systems for name in system.metrics}
    found: list[tuple[str, str]] = []
    for variety in _VARIETY:
        lengths = [c for name in known if named(name).base == variety and (c := named(name).cutoff)]
        lengths = [c for c in sorted(lengths) if f"{base}@{c}" in known]
        if lengths:
            at = chosen if chosen in lengths else lengths[-1]
            found.append((f"{base}@{at}", f"{variety}@{at}"))
    return found[:_SHOWN]


def _numbers(result: Result, accuracy: str, variety: str, caption: str) -> Markup:
    names = (accuracy, variety)
    digits = {n: places(s.metrics[n] for s in result.systems if n in s.metrics) for n in names}
    rows: list[list[object]] = []
    for s in result.systems:
        if all(n in s.metrics for n in names):
            cells = [
                f"{figure(s.metrics[n].value, d)} {interval(s.metrics[n], d)}" for n, d in digits.items()
            ]
            rows.append([s.name, *map(str.strip, cells)])
    return table(["System", *map(label, names)], rows, caption=caption)
