"""The part of the page that one `Result` fills: how good, how sure, for whom, and under which conditions."""

from penchant.evaluation.compare import MIN_USERS, too_few
from penchant.evaluation.lines import copies
from penchant.evaluation.result import Estimate, Result, Setting, Slice
from penchant.report import plots, tradeoffs
from penchant.report.figures import Figures
from penchant.report.markup import Markup, facts, join, table, tag
from penchant.report.quality import quality
from penchant.report.words import (
    NOTHING,
    count,
    figure,
    headline_metric,
    interval,
    label,
    listing,
    metric,
    named,
    order,
    percent,
    places,
)

_SLICES = {
    "history": "By length of the user's history",
    "target": "By popularity of the chosen item",
    "user": "By whether the user was trained on",
}


def sections(result: Result, figures: Figures) -> list[tuple[str, Markup]]:
    """Titles and contents, in order; what the result lacks is left out."""
    found = [
        ("How good the lists are", quality(result, "ranking", figures)),
        ("How good single scores are", quality(result, "single", figures)),
        ("Beyond accuracy", quality(result, "beyond", figures)),
        ("Accuracy and variety", tradeoffs.section(result, figures)),
        ("For whom it works", _slices(result, figures)),
        ("Where candidates get lost", _stages(result, figures)),
        ("Ranker: probabilities", _ranker(result, figures)),
        ("Whether its probabilities can be believed", _reliability(result, figures)),
        ("How it was asked", _setting(result)),
    ]
    return [(title, content) for title, content in found if content]


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
        if few := list(dict.fromkeys(p.name for s in result.systems for p in s.slices if _few_of(p, by))):
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
            *(_estimate(part.metrics.get(n), digits[n], few=_few_of(part, by)) for n in names),
        ]
        for (system, _), part in sorted(parts.items(), key=lambda found: list(parts).index(found[0]))
    ]
    return table(["Part", "System", "Queries", *map(label, names)], rows, caption=caption)


def _few_of(part: Slice, by: str) -> bool:
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
    shown = tag("div", quality(ranker, "single", figures), data_ranker="yes")
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
