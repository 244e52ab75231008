"""The charts as Vega-Lite specifications: what is drawn, not how large or in which colours.

Colours are the style sheet's own variables and width is the page's matter (`templates/page.js`), so a
specification holds data and encodings only. Each function gives None where there is nothing to draw.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt  # noqa: TID253 - an extra; `page.py` imports this file when a page is drawn, not before

from penchant.evaluation.compare import too_few
from penchant.evaluation.result import Estimate, Result, Slice, SystemResult
from penchant.report.words import label, outcome

Spec = dict[str, Any]
Row = dict[str, Any]

_STEP = 20  # pixels a system in a row
_GAP = 22  # pixels between the rows


def forest(result: Result, metrics: Sequence[str], *, what: str) -> Spec | None:
    """Paired differences, first system minus each other one, with their intervals, a row a metric.

    Filled points have intervals that leave 0 out (and users enough behind them).
    """
    systems = result.systems
    first, others = systems[0], systems[1:]
    rows: list[Row] = [
        {
            "metric": label(name),
            "other": s.name,
            "clear": outcome(result, name, d) not in ("unclear", "unknown"),
            **_numbers(d),
        }
        for name in metrics
        for s in others
        if (d := s.difference.get(name)) is not None and _whole(d)
    ]
    if not rows:
        return None
    y = alt.Y("metric:N", sort=[label(name) for name in metrics], title=None, axis=_names(), scale=_rows())
    offset = alt.YOffset("other:N", sort=[s.name for s in others])
    color, shape = _series("other:N", systems, f"{first.name} against", among=others)
    told = ["metric:N", alt.Tooltip("other:N", title="against"), *_tooltips("difference")]
    base = alt.Chart(alt.Data(values=rows)).encode(y=y, yOffset=offset, color=color, tooltip=told)
    whole = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=what, axis=_signed()), x2="high:Q")
    hollow = base.mark_point(size=70, strokeWidth=2, fill=_PAPER, opacity=1).encode(x="value:Q", shape=shape)
    clear = [row for row in rows if row["clear"]]
    full = base.properties(data=alt.Data(values=clear)).mark_point(size=70, filled=True, opacity=1)
    zero = (
        alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color=_INK, strokeDash=[3, 3]).encode(x="zero:Q")
    )
    height = len({row["metric"] for row in rows}) * (_STEP * len(others) + _GAP)
    layers = [zero, whole, hollow, *([full.encode(x="value:Q", shape=shape)] if clear else [])]
    return _spec(alt.layer(*layers), height, [s.name for s in others], rows=[row["metric"] for row in rows])


def slices(systems: Sequence[SystemResult], by: str, metric: str) -> Spec | None:
    """A metric in parts of the queries, a row a part, a point a system; parts of very few are left out."""
    rows: list[Row] = [
        {"slice": _slice(part), "system": s.name, "n": part.n, **_numbers(e)}
        for s in systems
        for part in s.slices
        if part.by == by
        and not too_few(part.n)
        and (e := part.metrics.get(metric)) is not None
        and math.isfinite(e.value)
    ]
    if not rows:
        return None
    names = [s.name for s in systems]
    parts = list(dict.fromkeys(row["slice"] for row in rows))
    y = alt.Y("slice:N", sort=parts, title=None, axis=_names(), scale=_rows())
    offset = alt.YOffset("system:N", sort=names)
    color, shape = _series("system:N", systems, None)
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=y, yOffset=offset, color=color, tooltip=["slice:N", "system:N", *_tooltips(label(metric)), "n:Q"]
    )
    scale = alt.Scale(zero=True, nice=True)
    point = base.mark_point(size=60, filled=True, opacity=1).encode(
        x=alt.X("value:Q", title=label(metric), scale=scale), shape=shape
    )
    sure = [row for row in rows if row["low"] is not None]
    rule = base.properties(data=alt.Data(values=sure)).mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q")
    height = len(parts) * (_STEP * len({row["system"] for row in rows}) + _GAP)
    return _spec(alt.layer(*([rule] if sure else []), point), height, names, rows=parts)


def _slice(part: Slice) -> str:
    """A part of the queries with its size, on lines of their own."""
    return f"{part.name}\n{part.n:,} quer{'y' if part.n == 1 else 'ies'}"


def stages(rows: Sequence[tuple[str, str, float]]) -> Spec | None:
    """How many of the targets each stage's candidates still hold; rows are (stage, recall's name, recall)."""
    values: list[Row] = [
        {"stage": f"{stage}\n{name}", "recall": value, "text": f"{100 * value:.1f} %"}
        for stage, name, value in rows
        if math.isfinite(value)
    ]
    if not values:
        return None
    y = alt.Y("stage:N", sort=[row["stage"] for row in values], title=None, axis=_names())
    base = alt.Chart(alt.Data(values=values)).encode(y=y, tooltip=["stage:N", "recall:Q"])
    x = alt.X(
        "recall:Q", title="right items still there", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")
    )
    bars = base.mark_bar(color=_COLORS[0], height=14).encode(x=x)
    ends = base.mark_text(align="left", dx=6, color="var(--ink)").encode(x=x, text="text:N")
    return _spec(alt.layer(bars, ends), 40 * len(values), [])


def reliability(systems: Sequence[SystemResult]) -> Spec | None:
    """What was promised against what happened, a point a bin; on the diagonal promises are kept."""
    rows: list[Row] = [
        {"system": s.name, "promised": bin["predicted"], "happened": bin["observed"], "rows": bin["rows"]}
        for s in systems
        for bin in s.reliability
    ]
    if not rows:
        return None
    top = max(max(row["promised"], row["happened"]) for row in rows)
    scale = alt.Scale(domain=[0, min(1.0, top * 1.05) or 1.0], nice=False)
    percent = alt.Axis(format="~%", tickCount=5)
    x = alt.X("promised:Q", title="promised", scale=scale, axis=percent)
    y = alt.Y("happened:Q", title="happened", scale=scale, axis=percent)
    color, shape = _series("system:N", systems, None)
    told = ["system:N", *(alt.Tooltip(f"{n}:Q", format=".1%") for n in ("promised", "happened")), "rows:Q"]
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, y=y, color=color, tooltip=told)
    ends: list[Row] = [{"promised": end, "happened": end} for end in scale.to_dict()["domain"]]
    diagonal = alt.Chart(alt.Data(values=ends)).mark_line(color=_INK, strokeDash=[3, 3], strokeWidth=1)
    points = base.mark_point(size=60, filled=True, opacity=1).encode(shape=shape)
    return _spec(
        alt.layer(diagonal.encode(x=x, y=y), base.mark_line(strokeWidth=1.5), points),
        340,
        [s.name for s in systems],
    )


def curves(
    rows: Sequence[Mapping[str, float]], columns: Mapping[str, str], *, best: float | None
) -> Spec | None:
    """Figures by epoch, a line a column (`columns` are their names on the page); `best` marks an epoch."""
    values: list[Row] = [
        {"epoch": row["epoch"], "what": said, "value": row[column]}
        for column, said in columns.items()
        for row in rows
        if math.isfinite(row.get(column, math.nan))
    ]
    if not values:
        return None
    names = list(columns.values())
    color, shape = _series("what:N", names, None)
    scale = alt.Scale(zero=False, nice=False, padding=8)
    x = alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, format="d"), scale=scale)
    y = alt.Y("value:Q", title=names[0] if len(names) == 1 else None, scale=alt.Scale(zero=False, nice=True))
    told = ["what:N", "epoch:Q", alt.Tooltip("value:Q", format=".4f")]
    base = alt.Chart(alt.Data(values=values)).encode(x=x, y=y, color=color, tooltip=told)
    layers = [
        base.mark_line(strokeWidth=2),
        base.mark_point(size=24, filled=True, opacity=1).encode(shape=shape),
    ]
    if best is not None:
        mark = alt.Chart(alt.Data(values=[{"epoch": best}])).encode(x=alt.X("epoch:Q"))
        layers.insert(0, mark.mark_rule(color=_INK, strokeDash=[3, 3]))
    return _spec(alt.layer(*layers), 200, names)


def progress(
    rows: Sequence[tuple[str, int, float, float]], models: Sequence[str], metric: str
) -> Spec | None:
    """The best so far against the trial, a line a model; rows are (model, trial, value, best so far)."""
    values: list[Row] = [
        {"model": model, "trial": trial, "value": value, "best": best} for model, trial, value, best in rows
    ]
    if not values:
        return None
    color, shape = _series("model:N", models, None)
    axis = alt.Axis(tickMinStep=1, format="d")
    x = alt.X("trial:Q", title="trial", axis=axis, scale=alt.Scale(zero=False, nice=False, padding=8))
    scale = alt.Scale(zero=False, nice=True)
    told = ["model:N", "trial:Q", *(alt.Tooltip(f"{n}:Q", format=".4f") for n in ("value", "best"))]
    base = alt.Chart(alt.Data(values=values)).encode(x=x, color=color, tooltip=told)
    line = base.mark_line(strokeWidth=2, interpolate="step-after")
    points = base.mark_point(size=36, filled=True, opacity=0.75)
    return _spec(
        alt.layer(
            line.encode(y=alt.Y("best:Q", title=label(metric), scale=scale)),
            points.encode(y=alt.Y("value:Q", title=label(metric), scale=scale), shape=shape),
        ),
        240,
        models,
    )


_TRIALS = ("a trial", "its own settings", "the best")


def setting(
    rows: Sequence[tuple[Any, float | None, int]], name: str, metric: str, *, log: bool, best: int | None
) -> Spec | None:
    """A metric against one setting, a point a trial; rows are (setting, metric, trial).

    Numbers lie on an axis of numbers, all else in columns. Trials without a number lie on no such axis.
    """
    numeric = all(
        value is None or (isinstance(value, int | float) and not isinstance(value, bool))
        for value, _, _ in rows
    )
    values: list[Row] = [
        {
            "setting": value if numeric else str(value),
            "value": found,
            "trial": trial,
            "what": _TRIALS[2] if trial == best else _TRIALS[1] if trial == 1 else _TRIALS[0],
        }
        for value, found, trial in rows
        if found is not None and not (numeric and (value is None or (log and value <= 0)))
    ]
    if not values:
        return None
    color, shape = _series("what:N", _TRIALS, None)
    if numeric:
        zero: Any = {} if log else {"zero": False}  # a logarithm has none, and Vega complains if told
        scale = alt.Scale(type="log" if log else "linear", nice=False, padding=12, **zero)
        marks = _log_marks([row["setting"] for row in values]) if log else alt.Undefined
        axis = alt.Axis(format=",.4~r", tickCount=5, values=marks)
        x = alt.X("setting:Q", title=name, scale=scale, axis=axis)
    else:
        x = alt.X("setting:N", title=name, axis=alt.Axis(labelAngle=0), sort=None)
    y = alt.Y("value:Q", title=metric, scale=alt.Scale(zero=False, nice=True))
    shown = alt.Tooltip("setting:Q" if numeric else "setting:N", title=name)
    told = ["trial:Q", shown, alt.Tooltip("value:Q", title=metric, format=".4f")]
    base = alt.Chart(alt.Data(values=values)).encode(x=x, y=y, color=color, shape=shape, tooltip=told)
    plain = base.mark_point(size=60, filled=True, opacity=0.75)
    marked = [row for row in values if row["what"] != _TRIALS[0]]  # once more, above the others
    layers: list[Any] = [plain]
    if marked:
        above = base.properties(data=alt.Data(values=marked))
        layers.append(above.mark_point(size=130, filled=True, opacity=1))
    return _spec(alt.layer(*layers), 220, _TRIALS)


def _log_marks(values: Sequence[float]) -> list[float]:
    """Powers of ten around some numbers; between them 2 and 5 times as much where these alone are few."""
    low, high = (math.log10(bound(values)) for bound in (min, max))
    steps = (1,) if high - low > 1.5 else (1, 2, 5)
    every = [step * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for step in steps]
    return [mark for mark in every if low - 0.35 <= math.log10(mark) <= high + 0.35]


def tradeoff(systems: Sequence[SystemResult], accuracy: str, variety: str) -> Spec | None:
    """A metric of accuracy against one of variety, a point a system, with both intervals as a cross."""
    rows: list[Row] = [
        {"system": s.name}
        | {f"{side}_{key}": number for side, e in pair.items() for key, number in _numbers(e).items()}
        for s in systems
        if accuracy in s.metrics and variety in s.metrics
        and (pair := {"y": s.metrics[accuracy], "x": s.metrics[variety]})
        and all(math.isfinite(e.value) for e in pair.values())
    ]  # fmt: skip
    if len({row["x_value"] for row in rows}) < 2:  # nothing to see where all are alike
        return None
    color, shape = _series("system:N", systems, None)
    scale = alt.Scale(zero=False, nice=True, padding=10)
    x = alt.X("x_value:Q", title=label(variety), scale=scale, axis=alt.Axis(tickCount=5))
    y = alt.Y("y_value:Q", title=label(accuracy), scale=scale)
    told: list[Any] = ["system:N"]
    told += [
        alt.Tooltip(f"{side}_{key}:Q", title=f"{label(name)}{said}", format=".4f")
        for side, name in (("y", accuracy), ("x", variety))
        for key, said in (("value", ""), ("low", ", from"), ("high", ", to"))
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(color=color, tooltip=told)
    layers: list[Any] = []
    for side, start, end in (("x", {"x": _from(x, "x_low:Q"), "y": y}, "x_high:Q"),
                             ("y", {"x": x, "y": _from(y, "y_low:Q")}, "y_high:Q")):  # fmt: skip
        sure = [row for row in rows if row[f"{side}_low"] is not None]
        if sure:
            rule: Any = base.properties(data=alt.Data(values=sure)).mark_rule(strokeWidth=2, opacity=0.7)
            layers.append(rule.encode(**start, **{f"{side}2": end}))
    layers.append(base.mark_point(size=90, filled=True, opacity=1).encode(x=x, y=y, shape=shape))
    return _spec(alt.layer(*layers), 260, [s.name for s in systems])


def _from(axis: Any, shorthand: str) -> Any:
    """The same axis for another column."""
    other = axis.copy()
    other.shorthand = shorthand
    return other


# -- what they share -------------------------------------------------------------------------------------

_COLORS = [f"var(--series-{i})" for i in range(1, 7)]
_SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
_INK, _PAPER = "var(--faint)", "var(--paper)"


def _spec(chart: Any, height: int, legend: Sequence[str], *, rows: Sequence[str] = ("100 %",)) -> Spec:
    """The specification, without Altair's theme (the page has its own).

    It comes with the letters of the longest name in its legend and on its vertical axis: a legend begins
    right of that axis, and the page breaks it into as many columns as there is room for.
    """
    spec: Spec = chart.properties(height=height).to_dict()
    spec.pop("config", None)
    lines = [line for row in rows for line in row.split("\n")]
    letters = {"letters": max(map(len, legend), default=0), "names": max(map(len, lines), default=0)}
    return spec | {"usermeta": letters}


def _series(
    field: str,
    series: Sequence[SystemResult | str],
    title: str | None,
    *,
    among: Sequence[SystemResult] | None = None,
) -> tuple[Any, Any]:
    """Colour and shape of each series: the same on all charts of a page, told apart without colours, too.

    `among`: those that are drawn, where not all are.
    """
    names = [one if isinstance(one, str) else one.name for one in series]
    drawn = names if among is None else [one.name for one in among]
    place = [names.index(name) for name in drawn]
    colors = alt.Scale(domain=drawn, range=[_COLORS[i % len(_COLORS)] for i in place])
    shapes = alt.Scale(domain=drawn, range=[_SHAPES[i % len(_SHAPES)] for i in place])
    shown = alt.Legend(orient="top", symbolOpacity=1) if len(names) > 1 else None
    return alt.Color(field, scale=colors, title=title, legend=shown), alt.Shape(
        field, scale=shapes, title=title, legend=shown
    )


def _names() -> Any:
    """An axis of names, which may have several lines."""
    return alt.Axis(domain=False, ticks=False, labelPadding=8, labelExpr="split(datum.label, '\\n')")


def _rows() -> Any:
    """Rows that stand apart, so that one sees which points belong together."""
    return alt.Scale(paddingInner=0.35, paddingOuter=0.15)


def _signed() -> Any:
    return alt.Axis(labelExpr="datum.value === 0 ? '0' : format(datum.value, '+~g')", tickCount=5)


def _tooltips(title: str) -> list[Any]:
    return [
        alt.Tooltip(f"{n}:Q", title=t, format=".4f")
        for n, t in {"value": title, "low": "from", "high": "to"}.items()
    ]


def _whole(estimate: Estimate) -> bool:
    return all(map(math.isfinite, (estimate.value, estimate.low, estimate.high)))


def _numbers(estimate: Estimate) -> Row:
    """JSON has no NaN: what is missing is null."""
    found = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: number if math.isfinite(number) else None for name, number in found.items()}
