"""The part of the page that one `Result` fills: how good, how sure, for whom, and under which conditions."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from penchant.evaluation.compare import MIN_USERS, too_few
from penchant.evaluation.lines import UNCLEAR, copies
from penchant.evaluation.result import Estimate, Result, Setting, Slice
from penchant.report import plots, tradeoffs
from penchant.report.figures import Figures
from penchant.report.markup import Markup, details, facts, framed, join, table, tag
from penchant.report.words import (
    NOTHING,
    Kind,
    Outcome,
    count,
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
    places,
)

_MARKS: dict[Outcome, tuple[str, str]] = {
    "better": ("▲", "{first} is clearly better"),
    "worse": ("▼", "{first} is clearly worse"),
    "unclear": ("≈", UNCLEAR),
    "different": ("◆", "clearly different"),
    "unknown": ("", "not to be judged"),
}
_SLICES = {
    "history": "By length of the user's history",
    "target": "By popularity of the chosen item",
    "user": "By whether the user was trained on",
}


def sections(result: Result, figures: Figures) -> list[tuple[str, Markup]]:
    """Titles and contents, in order; what the result lacks is left out."""
    found = [
        ("How good the lists are", _quality(result, "ranking", figures)),
        ("How good single scores are", _quality(result, "single", figures)),
        ("Beyond accuracy", _quality(result, "beyond", figures)),
        ("Accuracy and variety", tradeoffs.section(result, figures)),
        ("For whom it works", _slices(result, figures)),
        ("Where candidates get lost", _stages(result, figures)),
        ("Ranker: probabilities", _ranker(result, figures)),
        ("Whether its probabilities can be believed", _reliability(result, figures)),
        ("How it was asked", _setting(result)),
    ]
    return [(title, content) for title, content in found if content]


# -- metrics ---------------------------------------------------------------------------------------------


def _quality(result: Result, kind: Kind, figures: Figures) -> Markup:
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


# -- parts of the queries --------------------------------------------------------------------------------


def _slices(result: Result, figures: Figures) -> Markup:
    name = headline_metric(result)
    kinds = list(dict.fromkeys(part.by for s in result.systems for part in s.slices))
    if name is None or not kinds:
        return Markup()
    shown: list[Markup] = []
    for by in kinds:
        title = _SLICES.get(by, f"By {by}")
        says = f"{label(name)} with its interval; a wide one stands on few queries."
        if few := list(dict.fromkeys(p.name for s in result.systems for p in s.slices if few_of(p, by))):
            says += f" Not drawn, as under {MIN_USERS} queries tell nothing: {listing(few)}."
        spec = plots.slices(result.systems, by, name)
        numbers = _slice_table(result, by, title)
        if spec is None:
            numbers = tag("div", numbers, tag("p", says, class_="note"), class_="across")
        shown.append(figures.add(spec, title=title, says=says, numbers=numbers))
    return tag("div", *shown, class_="pair" if len(shown) > 1 else None)


def _slice_table(result: Result, by: str, caption: str) -> Markup:
    name = headline_metric(result) or ""
    parts = {(s.name, part.name): part for s in result.systems for part in s.slices if part.by == by}
    names = order(n for part in parts.values() for n in part.metrics if named(n).cutoff == named(name).cutoff)
    same = copies([{n: e.value for n, e in s.metrics.items()} for s in result.systems])
    names = [n for n in names if metric(n).kind != "beyond" and n not in same]
    digits = {n: places(p.metrics[n] for p in parts.values() if n in p.metrics) for n in names}
    rows = [
        [
            part.name,
            system,
            f"{part.n:,}",
            *(_estimate(part.metrics.get(n), digits[n], few=few_of(part, by)) for n in names),
        ]
        for (system, _), part in sorted(parts.items(), key=lambda found: list(parts).index(found[0]))
    ]
    return table(["Part", "System", "Queries", *map(label, names)], rows, caption=caption)


def few_of(part: Slice, by: str) -> bool:
    """Whether a part is one `by` that, but of so few queries that its figures tell nothing."""
    return part.by == by and too_few(part.n)


def _estimate(estimate: Estimate | None, decimals: int, *, few: bool) -> Markup:
    if estimate is None:
        return tag("td", NOTHING)
    words = [figure(estimate.value, decimals), tag("span", interval(estimate, decimals), class_="interval")]
    return tag("td", *words, class_="few" if few else None)


# -- stages and probabilities ----------------------------------------------------------------------------


def _stages(result: Result, figures: Figures) -> Markup:
    shown: list[Markup] = []
    for system in result.systems:
        rows = [
            ("final list" if stage == "list" else stage.replace(":", ": "), label(name), value)
            for stage, recall in system.stages.items()
            for name, value in recall.items()
        ]
        if rows:
            title = f"Stages of {system.name}"
            says = "The share of right items that a stage still holds: what one has lost, none brings back."
            if len({named(name).cutoff for _, name, _ in rows}) > 1:
                says += " The last row is of fewer items (the number behind @), which alone lowers its share."
            numbers = table(
                ["Stage", "Measured as", "Recall"], [[s, n, figure(v, 4)] for s, n, v in rows], caption=title
            )
            shown.append(figures.add(plots.stages(rows), title=title, says=says, numbers=numbers))
    return join(shown)


def _ranker(result: Result, figures: Figures) -> Markup:
    """How well the ranker tells single items apart, and the rankers held against it."""
    ranker = result.ranker
    if ranker is None:
        return Markup()
    asked = f"{count(len(ranker.users), 'query')} of {count(ranker.n_users, 'user')}"
    text = f"The rankers alone, on {asked}: each chosen item beside {ranker.setting.negatives} drawn ones."
    text += " One that was trained beside fewer promises too much throughout, beside more too little."
    if not ranker.setting.negatives:
        text = f"The rankers alone, on the log's own outcomes: {asked}."
    shown = tag("div", _quality(ranker, "single", figures), data_ranker="yes")
    return join([tag("p", text), shown])


def _reliability(result: Result, figures: Figures) -> Markup:
    result = result.ranker or result
    systems = [s for s in result.systems if s.reliability]
    if not systems:
        return Markup()
    rows = [
        [s.name, percent(bin["predicted"], 2), percent(bin["observed"], 2), f"{bin['rows']:,.0f}"]
        for s in systems
        for bin in s.reliability
    ]
    title = "Promised and actual rates"
    says = "On the dashed line, what was promised happened; below it, too much was promised."
    if result.setting.negatives:
        says += f" Rates are those among one chosen item and {result.setting.negatives} drawn beside it."
    numbers = table(["System", "Promised", "Happened", "Scores"], rows, caption=title)
    return figures.add(plots.reliability(systems), title=title, says=says, numbers=numbers, square=True)


# -- conditions ------------------------------------------------------------------------------------------

_SAID = {
    "each": "one query a held-out event, with everything before it as history",
    "cut": "one query a user at the cut; all that follows is to be found",
    "order": "events in the target's own second count as history where they stand before it",
    "exclude": "events in the target's own second are left out of the history",
    "seen": "every item of the training rows",
    "all": "every item of the log; one that a system cannot answer is a miss",
}


def _setting(result: Result) -> Markup:
    """The setting said whole, so that a figure can be compared with another one's."""
    setting = result.setting
    return join([tag("p", f"{setting}.", class_="said"), facts(_conditions(result, setting), "conditions")])


def _conditions(result: Result, setting: Setting) -> list[tuple[str, object]]:
    level = (
        f"{percent(setting.level, 0)}, {setting.bootstrap:,} resamples of users"
        if setting.bootstrap
        else "none asked for"
    )
    asked = f"{count(len(result.users), 'query')} of {count(result.n_users, 'user')}"
    rows: list[tuple[str, object]] = [
        ("Split", setting.split),
        ("Part", setting.part),
        ("Queries", f"{asked}: {_SAID.get(setting.at, setting.at)}"),
        ("Ties", f"{setting.ties}: {_SAID[setting.ties]}" if setting.ties in _SAID else setting.ties),
        ("Candidates", _SAID.get(setting.candidates, setting.candidates)),
        (
            "Seen items",
            "masked: nothing that the user already had is listed" if setting.exclude_seen else "may return",
        ),
        ("List lengths", ", ".join(map(str, setting.cutoffs))),
    ]
    if setting.negatives:
        rows.append(
            ("Negatives", f"{setting.negatives} drawn beside each positive, for scores of single items")
        )
    rows += [("Left out", words) for words in result.omitted]
    rows += [("Intervals", level), ("Seed", setting.seed)]
    took = [
        f"{s.name} {s.seconds:.2f} s ({len(result.users) / s.seconds:,.0f} queries a second)"
        for s in result.systems
        if s.seconds > 0
    ]
    return [*rows, ("Answering took", "; ".join(took))] if took else rows
