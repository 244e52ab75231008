"""Learning curves: what each model's training log says, an epoch a row."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from penchant.report import plots
from penchant.report.figures import Figures
from penchant.report.markup import Markup, facts, join, table, tag
from penchant.report.words import count, figure, label, listing, metric, named, places_of

Rows = Sequence[Mapping[str, Any]]

_CLOCK = {"epoch", "step", "steps", "seconds", "examples", "examples_per_second", "learning_rate", "best"}


def sections(training: Mapping[str, Rows], figures: Figures) -> list[tuple[str, Markup]]:
    """A section a model that has a log; closed forms have none."""
    return [(model, _model(model, rows, figures)) for model, rows in training.items() if rows]


def _model(model: str, log: Rows, figures: Figures) -> Markup:
    rows = [_flat(row) | {"epoch": row.get("epoch", i)} for i, row in enumerate(log, 1)]
    columns = list(dict.fromkeys(name for row in rows for name in row if name not in _CLOCK))
    metrics = {c: label(c) for c in columns if _is_metric(c)}
    losses = {c: c.replace("_", " ") for c in columns if c not in metrics}
    losses = _without_copies(rows, losses)
    best = _best(rows, metrics)
    shown = [facts(_figures(rows, metrics, best))]
    numbers = table(
        ["Epoch", *losses.values(), *metrics.values()],
        _table(rows, [*losses, *metrics]),
        caption=f"{model}, an epoch a row",
    )
    charts = [
        figures.add(
            plots.curves(rows, chosen, best=best[0] if best else None),
            title=title,
            says=says,
            numbers=numbers,
        )
        for title, says, chosen in (
            (f"{model}, training loss", "On the rows it learns from.", losses),
            *(
                (f"{model}, {_listed(group)}", "On validation rows; the best epoch is dashed.", group)
                for group in _groups(metrics)
            ),
        )
        if chosen
    ]
    return join([*shown, tag("div", *charts, class_="pair" if len(charts) > 1 else None)])


def _groups(metrics: Mapping[str, str]) -> list[dict[str, str]]:
    """Metrics that share a scale, together."""
    found: dict[object, dict[str, str]] = {}
    for name, said in metrics.items():
        m = metric(name)
        scale = m.kind if m.kind == "ranking" or m.better == "higher" else m.label
        found.setdefault(scale, {})[name] = said
    return list(found.values())


def _listed(group: Mapping[str, str]) -> str:
    return listing(list(group.values())) if len(group) < 4 else "validation"


def _flat(row: Mapping[str, Any]) -> dict[str, float]:
    """Numbers by name; parts and metrics may stand in mappings of their own."""
    found: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= _flat(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = float(value)
    return found


def _is_metric(column: str) -> bool:
    return named(column).cutoff is not None or metric(column).line != ""


def _without_copies(rows: Rows, losses: dict[str, str]) -> dict[str, str]:
    """A loss of one part is that part: one line is enough."""
    kept: dict[str, str] = {}
    for column, said in losses.items():
        values = [row.get(column) for row in rows]
        if not any(values == [row.get(other) for row in rows] for other in kept) and any(values):
            kept[column] = said
    return kept


def _best(rows: Rows, metrics: Mapping[str, str]) -> tuple[float, str, float] | None:
    """The best epoch by the first metric: (epoch, metric, value)."""
    for name in metrics:
        known = [(row[name], row["epoch"]) for row in rows if math.isfinite(row.get(name, math.nan))]
        if known and metric(name).better != "neither":
            value, epoch = (
                min(known) if metric(name).better == "lower" else max(known, key=lambda found: found[0])
            )
            return epoch, name, value
    return None


def _figures(
    rows: Rows, metrics: Mapping[str, str], best: tuple[float, str, float] | None
) -> list[tuple[str, object]]:
    seconds = sum(row.get("seconds", 0.0) for row in rows)
    examples = sum(row.get("examples", 0.0) for row in rows)
    said: list[tuple[str, object]] = [("Epochs", f"{len(rows)}")]
    if best:
        said.append(("Best epoch", f"{best[0]:.0f} ({metrics[best[1]]} {figure(best[2], 4)})"))
    if seconds:
        said.append(("Training time", f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.1f} s"))
    if seconds and examples:
        said.append(("Speed", f"{count(examples / seconds, 'example')} a second"))
    return said


def _table(rows: Rows, columns: Sequence[str]) -> list[list[object]]:
    digits = {c: places_of(row.get(c, math.nan) for row in rows) for c in columns}
    return [
        [f"{row['epoch']:.0f}", *(figure(row.get(c, math.nan), digits[c]) for c in columns)] for row in rows
    ]
