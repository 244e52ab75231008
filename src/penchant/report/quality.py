"""Metrics of systems on the page: tables and differences by list length, and what their marks mean."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from penchant.evaluation.lines import UNCLEAR, copies
from penchant.evaluation.result import Estimate, Result
from penchant.report import plots
from penchant.report.figures import Figures
from penchant.report.markup import Markup, details, facts, framed, join, table, tag
from penchant.report.words import (
    NOTHING,
    Kind,
    Outcome,
    decimals_of,
    figure,
    headline_metric,
    in_a_hundred,
    interval,
    label,
    listing,
    metric,
    named,
    order,
    outcome,
    percent,
)

_MARKS: dict[Outcome, tuple[str, str]] = {
    "better": ("▲", "{first} is clearly better"),
    "worse": ("▼", "{first} is clearly worse"),
    "unclear": ("≈", UNCLEAR),
    "different": ("◆", "clearly different"),
    "unknown": ("", "not to be judged"),
}


def quality(result: Result, kind: Kind, figures: Figures) -> Markup:
    """The metrics of one kind, with a switch between list lengths; nothing where there are none."""
    same = copies([{n: e.value for n, e in s.metrics.items()} for s in result.systems])
    names = order(n for s in result.systems for n in s.metrics if metric(n).kind == kind and n not in same)
    if not names:
        return Markup()
    cutoffs = sorted({c for n in names if (c := named(n).cutoff) is not None})
    chosen = _chosen(result, cutoffs)
    panels = [
        _panel(result, [n for n in names if named(n).cutoff is None], kind, figures, at=None, shown=True)
    ]
    panels += [
        _panel(result, [n for n in names if named(n).cutoff == c], kind, figures, at=c, shown=c == chosen)
        for c in cutoffs
    ]
    plain = in_a_hundred(result) if kind == "ranking" else None
    return join(
        [
            tag("p", plain) if plain else "",
            _switch(cutoffs, chosen),
            *panels,
            _same(same) if kind == "ranking" else "",
            _legend(result, names, kind),
        ]
    )


def _same(copies: Mapping[str, str]) -> Markup:
    """Which metrics are not shown, as others say the same here."""
    pairs = dict.fromkeys((metric(name).label, metric(twin).label) for name, twin in copies.items())
    words = [f"{name} (same as {twin})" for name, twin in pairs]
    return (
        tag("p", f"Not shown, for they say the same here: {listing(words)}.", class_="note")
        if words
        else Markup()
    )


def _chosen(result: Result, cutoffs: Sequence[int]) -> int | None:
    """The cutoff that is shown first: that of the headline."""
    name = headline_metric(result)
    cutoff = named(name).cutoff if name else None
    return cutoff if cutoff in cutoffs else cutoffs[0] if cutoffs else None


def _switch(cutoffs: Sequence[int], chosen: int | None) -> Markup:
    """Radio buttons for the list length; without scripts every length is shown and the switch is not."""
    if len(cutoffs) < 2:
        return Markup()
    options = [
        tag("label", tag("input", type="radio", value=c, checked=c == chosen), tag("span", c))
        for c in cutoffs
    ]
    return tag("fieldset", tag("legend", "List length"), *options, class_="switch")


def _panel(
    result: Result, names: list[str], kind: Kind, figures: Figures, *, at: int | None, shown: bool
) -> Markup:
    """The table of one list length and, where systems are compared, the forest of its differences."""
    if not names:
        return Markup()
    first = result.systems[0].name
    title = {"ranking": "Ranking", "single": "Single items", "beyond": "Beyond accuracy"}[kind]
    caption = title if at is None else f"{title}, lists of {at}"
    parts = [_metric_table(result, names, caption)]
    if kind != "beyond":
        drawn = [n for n in names if metric(n).better != "neither"]
        spec = plots.forest(result, drawn, what=f"difference: {first} minus the other")
        if spec is not None:
            right = "is better" if kind == "ranking" else "has the higher figure"
            says = f"{first} minus the other. Right of 0 {first} {right}"
            says += "." if result.verdict is not None else f"; a hollow point {UNCLEAR}."
            title = "Differences with their intervals" + ("" if at is None else f", lists of {at}")
            parts.append(
                figures.add(spec, title=title, says=says, numbers=_difference_table(result, drawn, title))
            )
    return tag("div", *parts, class_="panel", data_at=at, data_shown="yes" if shown else "no")


def _metric_table(result: Result, names: Sequence[str], caption: str) -> Markup:
    systems = result.systems
    head = tag("tr", tag("th", "Metric", scope="col"), *(tag("th", s.name, scope="col") for s in systems))
    rows: list[Markup] = []
    for name in names:
        cells = [_cell(result, i, name, decimals_of(result, name)) for i in range(len(systems))]
        rows.append(tag("tr", tag("th", metric(name).label, scope="row"), *cells))
    whole = tag(
        "table",
        tag("caption", caption),
        tag("thead", head),
        tag("tbody", *rows),
        class_="metrics",
    )
    return framed(whole, caption)


def _cell(result: Result, i: int, name: str, decimals: int) -> Markup:
    system = result.systems[i]
    estimate = system.metrics.get(name)
    if estimate is None:
        return tag("td", NOTHING, data_of=system.name)
    parts = [
        _number(estimate, "value", "metrics", i, name, decimals),
        tag("wbr"),  # where there is no room for both, the interval goes below
        _interval(estimate, "metrics", i, name, decimals),
    ]
    if (difference := system.difference.get(name)) is not None:
        kind = outcome(result, name, difference)
        mark, meaning = _mark(kind, result.systems[0].name)
        value = _number(difference, "value", "difference", i, name, decimals)
        told = [
            tag("span", tag("span", mark, aria_hidden="true"), " ", value, class_="whole"),
            _interval(difference, "difference", i, name, decimals),
            tag("span", f", {meaning}", class_="unseen"),
        ]
        parts.append(tag("span", *told, class_=f"difference {kind}"))
    return tag("td", tag("div", *parts), data_of=system.name)


def _mark(kind: Outcome, first: str) -> tuple[str, str]:
    mark, meaning = _MARKS[kind]
    return mark, meaning.replace("{first}", first)


_Group = Literal["metrics", "difference"]


def _number(
    e: Estimate, key: Literal["value", "low", "high"], group: _Group, i: int, name: str, decimals: int
) -> Markup:
    """A figure that knows which one of the JSON it is: a test in a browser compares all of them."""
    value: float = getattr(e, key)
    return tag(
        "data",
        figure(value, decimals, signed=group == "difference"),
        value=repr(value) if math.isfinite(value) else "",
        data_system=i,
        data_group=group,
        data_metric=name,
        data_key=key,
    )


def _interval(e: Estimate, group: _Group, i: int, name: str, decimals: int) -> Markup:
    if not interval(e):
        return Markup()
    low, high = (_number(e, key, group, i, name, decimals) for key in ("low", "high"))
    return tag("span", "[", low, ", ", high, "]", class_="interval")


def _difference_table(result: Result, names: Sequence[str], caption: str) -> Markup:
    rows: list[list[object]] = []
    for name in names:
        decimals = decimals_of(result, name)
        for s in result.systems[1:]:
            if (d := s.difference.get(name)) is not None:
                value = figure(d.value, decimals, signed=True)
                meaning = _mark(outcome(result, name, d), result.systems[0].name)[1]
                rows.append([label(name), s.name, value, interval(d, decimals, signed=True), meaning])
    return table(["Metric", "Against", "Difference", "Interval", "Reading"], rows, caption=caption)


def _legend(result: Result, names: Sequence[str], kind: Kind) -> Markup:
    """What the marks and intervals mean, and what they do not cover."""
    setting = result.setting
    said: list[object] = []
    kinds = {
        outcome(result, n, s.difference[n]) for s in result.systems for n in names if n in s.difference
    } - {"unknown"}
    if kinds:
        first = result.systems[0].name
        marks = [" ".join(_mark(known, first)) for known in _MARKS if known in kinds]
        said.append(tag("p", f"Second line: {first} minus that system. {'; '.join(marks)}.", class_="note"))
    if kind != "beyond" and any(interval(m) for s in result.systems for m in s.metrics.values()):
        drawn = sum(n in s.difference for s in result.systems for n in names)
        chance = (1 - setting.level) * drawn
        text = (
            f"Brackets are {percent(setting.level, 0)} intervals, {setting.bootstrap:,} resamples of users"
            f"{'; differences are paired, user by user' if drawn else ''}. They do not cover what another "
            "training seed would change."
        )
        if drawn > 1 and result.verdict is None:
            text += (
                f" {drawn} differences stand here, list lengths counted: if nothing differed, about "
                f"{max(1, round(chance))} of them would look clear by chance alone, so let one metric decide."
            )
        said.append(tag("p", text, class_="note"))
    known = {named(n).base: metric(n) for n in names if metric(n).line}
    said.append(
        details("What these metrics mean", facts(((m.label, m.line) for m in known.values()), "glossary"))
    )
    return join(said)
