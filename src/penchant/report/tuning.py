"""The part of the page about a search for settings: what was tried, what came of it, what matters."""

import math
from collections.abc import Sequence
from typing import Any

from penchant.report import plots
from penchant.report.figures import Figures
from penchant.report.markup import Markup, facts, join, table, tag
from penchant.report.words import NOTHING, count, figure, label, listing, metric, places_of
from penchant.train.stopping import goodness
from penchant.train.study import Trial
from penchant.train.tuned import Searched, Tuned

_FLATTERS = (
    "Settings were chosen by validation queries alone; the best of several on the same queries is an "
    "optimistic figure, so what it is worth is for the test part to say."
)


def summary(studies: Tuned) -> Markup:
    """What was found, before anything else, for a page without results."""
    verdict = " ".join(_found(searched) for searched in studies.models.values())
    trials = {len(searched.trials) for searched in studies.models.values()}
    said: list[tuple[str, object]] = [
        ("Models", len(studies.models)),
        ("Trials each", listing([f"{n:,}" for n in sorted(trials)])),
    ]
    more = tag("p", _FLATTERS, class_="more")
    return tag("div", tag("p", verdict, class_="verdict"), more, facts(said), class_="headline first")


def _found(searched: Searched) -> str:
    """What a search came to, such as: SASRec comes to 0.124 on NDCG@10 with width 64, from 0.110 ..."""
    best = searched.best
    if best is None:
        return f"Of {searched.name} every trial failed."
    digits = _digits(searched)
    on = f"{figure(best.value, digits)} on {label(searched.metric)}"
    if best.trial == 1:
        return f"{searched.name} is best with its own settings: {on}."
    own = "; its own settings failed" if best.default is None else f", from {figure(best.default, digits)}"
    settings = _settings(searched.trials[best.trial - 1])
    return (
        f"{searched.name} comes to {on} with {settings}{own}{' with its own' * (best.default is not None)}."
    )


def lead(studies: Tuned) -> Markup:
    """What was asked, under the part's title."""
    trials = count(max(len(s.trials) for s in studies.models.values()), "trial")
    each = " each" if len(studies.models) > 1 else ""
    text = f"{listing(list(studies.models))}: {trials}{each}; split: {studies.split}. {_FLATTERS}"
    return tag("p", text, class_="said")


def sections(studies: Tuned, figures: Figures) -> list[tuple[str, Markup]]:
    """How far each search came, then each model's settings against its metric."""
    found = [("What was found", join([_table(studies), *_progress(studies, figures)]))]
    return found + [(f"Settings of {s.name}", _model(s, figures)) for s in studies.models.values()]


def _table(studies: Tuned) -> Markup:
    rows: list[list[object]] = []
    for s in studies.models.values():
        digits, best = _digits(s), s.best
        failed = sum(t.value is None for t in s.trials)
        own = s.trials[0].value if s.trials else None
        rows.append([
            s.name, label(s.metric), NOTHING if own is None else figure(own, digits),
            NOTHING if best is None else figure(best.value, digits),
            NOTHING if best is None else ", ".join(_said(s.trials[best.trial - 1])),
            f"{len(s.trials):,}" + (f" ({failed:,}\N{NO-BREAK SPACE}failed)" if failed else ""),
            f"{sum(t.seconds for t in s.trials):,.0f}\N{NO-BREAK SPACE}s",
        ])  # fmt: skip
    head = ["Model", "Metric", "Its own settings", "Best", "Best settings", "Trials", "Took"]
    return table(head, rows, caption="The best settings of each model")


def _progress(studies: Tuned, figures: Figures) -> list[Markup]:
    """The best so far against the trial, a chart a metric."""
    shown: list[Markup] = []
    metrics = list(dict.fromkeys(s.metric for s in studies.models.values()))
    for name in metrics:
        of = [s for s in studies.models.values() if s.metric == name]
        rows = [(s.name, *point) for s in of for point in _best_so_far(s)]
        digits = places_of(value for _, _, value, _ in rows)
        numbers = table(
            ["Model", "Trial", label(name), "Best so far"],
            [[who, n, figure(value, digits), figure(best, digits)] for who, n, value, best in rows],
            caption=f"{label(name)} by trial",
        )
        says = f"{label(name)} on validation; the line is the best so far, trial 1 the model's own settings."
        spec = plots.progress(rows, [s.name for s in studies.models.values()], name)
        title = "The best so far" + (f", {label(name)}" if len(metrics) > 1 else "")
        shown.append(figures.add(spec, title=title, says=says, numbers=numbers))
    return shown


def _best_so_far(searched: Searched) -> list[tuple[int, float, float]]:
    """Trials that have a value: number, value, and the best up to it."""
    found: list[tuple[int, float, float]] = []
    for trial in searched.trials:
        if trial.value is not None:
            known = [trial.value, *(best for _, _, best in found[-1:])]
            good = max(known, key=lambda value: goodness(searched.metric, value))
            found.append((trial.number, trial.value, good))
    return found


def _model(searched: Searched, figures: Figures) -> Markup:
    best = searched.best
    numbers = _trials(searched)
    tried = [t for t in searched.trials if t.value is not None]
    charts: list[Markup] = []
    for name, dimension in searched.space.items():
        rows = [(t.settings.get(name), t.value, t.number) for t in tried]
        log = bool(dimension.as_dict().get("log"))
        spec = plots.setting(
            rows, name, label(searched.metric), log=log, best=None if best is None else best.trial
        )
        if spec is not None:
            better = "lower" if metric(searched.metric).better == "lower" else "higher"
            says = f"Each point is a trial; {better} is better." + " The scale is logarithmic." * log
            says += " None beat its own settings." if best is not None and best.trial == 1 else ""
            charts.append(figures.add(spec, title=f"{searched.name}, {name}", says=says, numbers=numbers))
    shown = tag("div", *charts, class_="pair" if len(charts) > 1 else None) if charts else numbers
    failures = [f"Trial {t.number} failed: {t.error}" for t in searched.trials if t.value is None]
    return join(
        [shown, tag("ul", *(tag("li", text) for text in failures), class_="notes") if failures else ""]
    )


def _trials(searched: Searched) -> Markup:
    digits = _digits(searched)
    rows: list[list[object]] = [
        [
            t.number, *(_value(t.settings.get(n)) for n in searched.space),
            NOTHING if t.value is None else figure(t.value, digits), f"{t.seconds:,.1f} s", t.state,
        ]
        for t in searched.trials
    ]  # fmt: skip
    head = ["Trial", *searched.space, label(searched.metric), "Took", "State"]
    return table(head, rows, caption=f"Trials of {searched.name}")


def _digits(searched: Searched) -> int:
    return max(3, places_of(t.value if t.value is not None else math.nan for t in searched.trials))


def _settings(trial: Trial) -> str:
    return listing(_said(trial)) or "nothing set"


def _said(trial: Trial) -> list[str]:
    """Each setting with its value."""
    return [f"{name} {_value(value)}" for name, value in trial.settings.items()]


def _value(value: Any) -> str:
    """A setting as people write it."""
    if isinstance(value, bool) or value is None:
        return "none" if value is None else str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_value, value)) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
