"""What metrics are called and mean, how figures are printed, and what a result says in words."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from penchant.evaluation.lines import UNCLEAR
from penchant.evaluation.result import Estimate, Result, SystemResult

Kind = Literal["ranking", "single", "beyond"]
Better = Literal["higher", "lower", "neither"]

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"


@dataclass(frozen=True)
class Metric:
    """How people read a metric.

    Attributes:
        label: its name on the page.
        line: what it says, for somebody who never met it.
        kind: "ranking" looks for held-out items in lists, "single" at scores of single items, "beyond" at the
            lists alone.
        better: which way is better; "neither" where it depends on what one wants.
    """

    label: str
    line: str
    kind: Kind
    better: Better = "higher"


_METRICS = {
    "ndcg": Metric(
        "NDCG", "how high the item stands that the user chose next; 1 is always first.", "ranking"
    ),
    "recall": Metric("Recall", "the share of what a user went on to choose that the list holds.", "ranking"),
    "hit_rate": Metric("Hit rate", "the share of lists with at least one item that was chosen.", "ranking"),
    "precision": Metric("Precision", "the share of the list that was chosen.", "ranking"),
    "mrr": Metric("MRR", "one over the place of the first right item; 0 without one.", "ranking"),
    "map": Metric(
        "MAP", "precision at each right item, averaged: rewards having all of them early.", "ranking"
    ),
    "auc": Metric(
        "AUC", "how often a chosen item scores above one that was not; 0.5 is a coin toss.", "single"
    ),
    "gauc": Metric("GAUC", "AUC within each user: no credit for knowing who chooses a lot.", "single"),
    "log_loss": Metric("Log loss", "the price of being sure and wrong; 0 is perfect.", "single", "lower"),
    "normalised_entropy": Metric(
        "Normalised entropy",
        "log loss over that of always answering the average rate; below 1 is better than that.",
        "single",
        "lower",
    ),
    "brier": Metric(
        "Brier score", "squared distance of promise and outcome; 0 is perfect.", "single", "lower"
    ),
    "ece": Metric(
        "Calibration error", "how far promised and actual rates lie apart; 0 is perfect.", "single", "lower"
    ),
    "pcoc": Metric(
        "PCOC",
        "promised over actual choices; 1 is right on the whole, 1.2 a fifth too many.",
        "single",
        "neither",
    ),
    "category_entropy": Metric(
        "Category entropy",
        "how evenly a list spreads over categories, in bits; 0 is all of one.",
        "beyond",
        "neither",
    ),
    "category_coverage": Metric(
        "Category coverage", "the share of categories shown, of those it had room for.", "beyond", "neither"
    ),
    "intra_list_diversity": Metric(
        "Intra-list diversity",
        "how little two items of a list have in common; 0 is all alike.",
        "beyond",
        "neither",
    ),
    "novelty": Metric(
        "Novelty",
        "how little known the items are, in bits; one more is half as popular.",
        "beyond",
        "neither",
    ),
    "serendipity": Metric(
        "Serendipity",
        "hits that a list of the most popular would not have had as early; 0 is none of them.",
        "beyond",
    ),
    "personalisation": Metric(
        "Personalisation",
        "how little the lists of two users share; 0 is the same list for all, 1 is nothing in common.",
        "beyond",
        "neither",
    ),
    "item_coverage": Metric(
        "Catalogue coverage", "the share of all items that stands in anybody's list.", "beyond", "neither"
    ),
    "exposure_gini": Metric(
        "Exposure Gini",
        "how unevenly items share the lists; 0 evenly, near 1 few take all.",
        "beyond",
        "neither",
    ),
}


class Named(NamedTuple):
    """A metric's name in its parts: `named("ndcg@10")` is ("ndcg", 10)."""

    base: str
    cutoff: int | None


def named(name: str) -> Named:
    """The parts of a metric's name."""
    base, at, cutoff = name.rpartition("@")
    return Named(base, int(cutoff)) if at and cutoff.isdigit() else Named(name, None)


def metric(name: str) -> Metric:
    """How to read the metric `name`; a stranger keeps its own name, and nothing is claimed of it."""
    base = named(name).base
    unknown = Metric(base.replace("_", " ").capitalize(), "", "beyond", "neither")
    return _METRICS.get(base, unknown)


def label(name: str) -> str:
    """The metric as people write it: "NDCG@10" for "ndcg@10"."""
    cutoff = named(name).cutoff
    return metric(name).label + ("" if cutoff is None else f"@{cutoff}")


def order(names: Iterable[str]) -> list[str]:
    """Metrics in the order of the page: as listed above, then strangers, each by cutoff."""
    place = {base: i for i, base in enumerate(_METRICS)}
    return sorted(
        dict.fromkeys(names),
        key=lambda name: (place.get(named(name).base, len(place)), named(name).cutoff or 0),
    )


# -- figures ---------------------------------------------------------------------------------------------


def places(estimates: Iterable[Estimate]) -> int:
    """Decimals for figures that stand side by side: two digits of the widest half interval."""
    found = list(estimates)
    widths = [(e.high - e.low) / 2 for e in found if e.high > e.low]
    if widths:
        return min(5, max(2, 1 - math.floor(math.log10(max(widths)) + 1e-9)))
    return places_of(e.value for e in found)


def places_of(values: Iterable[float]) -> int:
    """Decimals for bare numbers that stand side by side: four digits of the largest."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value]
    return min(5, max(0, 3 - math.floor(math.log10(max(sizes, default=1)))))


def decimals_of(result: Result, name: str) -> int:
    """Decimals of a metric and of its differences; metrics of lists share theirs, so do those of items."""
    names, kind = {name}, metric(name).kind
    if kind != "beyond":
        names |= {n for s in result.systems for n in s.metrics if metric(n).kind == kind}
    found = [s.metrics[n] for s in result.systems for n in names if n in s.metrics]
    apart = [d for s in result.systems for n in names if (d := s.difference.get(n)) and interval(d)]
    return max(places(found), places(apart)) if apart else places(found)


def figure(value: float, decimals: int = 3, *, signed: bool = False) -> str:
    """A number in print, with a true minus sign; a dash where there is none."""
    if not math.isfinite(value):
        return NOTHING
    text = f"{value:{'+' if signed else ''},.{decimals}f}"
    if float(text.replace(",", "")) == 0:  # no "-0.000", and no sign where nothing is left to sign
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def interval(estimate: Estimate, decimals: int = 3, *, signed: bool = False) -> str:
    """The interval in brackets, "[0.131, 0.160]", or nothing where none was asked for."""
    if not math.isfinite(estimate.low):
        return ""
    return (
        f"[{figure(estimate.low, decimals, signed=signed)}, {figure(estimate.high, decimals, signed=signed)}]"
    )


def count(number: float, noun: str) -> str:
    """A number of things: "1 user", "2,000 queries"; `noun` is in the singular."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") and not noun.endswith("ay") else f"{noun}s"
    return f"{number:,.0f} {noun if number == 1 else plural}"


def percent(share: float, decimals: int = 1) -> str:
    """A share in [0, 1] as people say it."""
    return f"{100 * share:.{decimals}f} %" if math.isfinite(share) else NOTHING


def day(seconds: int | None) -> str:
    """The day (UTC) of a time in seconds: "3 Nov 1999"."""
    if seconds is None:
        return NOTHING
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:  # a test's clock may start at nothing in particular
        return f"{seconds:,} s"
    return f"{moment.day} {moment:%b} {moment.year}"


def listing(words: Sequence[str]) -> str:
    """Words in a row: "a", "a and b", "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


# -- what a result says ----------------------------------------------------------------------------------

Outcome = Literal["better", "worse", "unclear", "different", "unknown"]


def outcome(result: Result, name: str, difference: Estimate | None) -> Outcome:
    """What a difference (first minus other) says of the first system: "unclear" where its interval holds 0.

    "different" is clear, but better depends on what one wants; "unknown" has no interval, or too few users.
    """
    if result.verdict is not None:
        return "unknown"
    if difference is None or not (math.isfinite(difference.low) and math.isfinite(difference.value)):
        return "unknown"
    if not difference.clear:
        return "unclear"
    if (better := metric(name).better) == "neither":
        return "different"
    return "better" if (difference.value > 0) == (better == "higher") else "worse"


def headline_metric(result: Result) -> str | None:
    """The metric that a verdict is spoken in: NDCG in the middle of the list, or what comes nearest."""
    names = [name for name, m in result.systems[0].metrics.items() if math.isfinite(m.value)]
    middle = result.setting.middle
    wanted = [*(f"{base}@{middle}" for base in ("ndcg", "recall", "hit_rate", "mrr", "map", "precision"))]
    wanted += ["gauc", "auc", "log_loss"]
    return next((name for name in wanted if name in names), next(iter(order(names)), None))


def headline(result: Result) -> list[str]:
    """The verdict, a sentence each, a defeat first; computed from the paired differences alone."""
    name = headline_metric(result)
    first, *others = result.systems
    if name is None:
        return [result.verdict or f"{first.name} was asked, and no metric could be computed."]
    if result.verdict:
        return [_stop(result.verdict), _seen(name, result.systems, result.n_users)]
    if not others:
        return [_alone(name, first, result.n_users)]
    by: dict[str, list[str]] = {}
    for other in others:
        difference = other.difference.get(name)
        said_of = _against(other.name, difference, decimals_of(result, name))
        by.setdefault(outcome(result, name, difference), []).append(said_of)
    on = f"on {label(name)}"
    said: list[str] = []
    for kind, verb in (("worse", "is behind"), ("better", "beats"), ("different", "differs from")):
        if kind in by:
            said.append(f"{first.name} {verb} {listing(by[kind])} {on}.")
    if unclear := by.get("unclear"):
        apart = "The difference" if len(unclear) == 1 else "Differences"
        users = count(result.n_users, "user")
        said.append(f"{apart} to {listing(unclear)} {on} {UNCLEAR} with {users}.")
    if "unknown" in by:
        said.append(_seen(name, result.systems, result.n_users))
        said.append("Without intervals, chance is not ruled out.")
    return said


def _against(name: str, difference: Estimate | None, decimals: int) -> str:
    if difference is None or not math.isfinite(difference.low):
        return name
    value = figure(difference.value, decimals, signed=True)
    return f"{name} ({value} {interval(difference, decimals, signed=True)})"


def _seen(name: str, systems: Sequence[SystemResult], users: int) -> str:
    found = {s.name: s.metrics[name] for s in systems if name in s.metrics}
    decimals = places(found.values())
    each = [f"{who} {figure(e.value, decimals)} {interval(e, decimals)}".strip() for who, e in found.items()]
    return f"{label(name)} as measured on {count(users, 'user')}: {listing(each)}."


def _alone(name: str, system: SystemResult, users: int) -> str:
    estimate = system.metrics[name]
    decimals = places([estimate])
    value = f"{figure(estimate.value, decimals)} {interval(estimate, decimals)}".strip()
    asked = f"{value} on {label(name)} over {count(users, 'user')}"
    return f"{system.name} reaches {asked}; nothing was held against it."


def _stop(sentence: str) -> str:
    sentence = sentence.strip()
    sentence = sentence[:1].upper() + sentence[1:]
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def in_a_hundred(result: Result) -> str | None:
    """The middle cutoff's hit rate as a sentence; None where there is none, or too few users for rates."""
    name = headline_metric(result)
    cutoff = None if name is None or result.verdict is not None else named(name).cutoff
    hits = f"hit_rate@{cutoff}"
    if cutoff is None or hits not in result.systems[0].metrics:
        return None
    found = {s.name: 100 * s.metrics[hits].value for s in result.systems if hits in s.metrics}
    first, *others = [(who, f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}") for who, rate in found.items()]
    rest = f" ({', '.join(f'{who}: {rate}' for who, rate in others)})" if others else ""
    chosen = (
        "what the user chose next"
        if result.setting.at == "each"
        else "something that the user went on to choose"
    )
    return f"In other words: {first[1]} times in 100, a list of {cutoff} by {first[0]} holds {chosen}{rest}."
