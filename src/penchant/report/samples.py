"""Sample users: what they did, on a line of time, beside what they were offered and what they chose."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from penchant.report.markup import Markup, details, join, tag
from penchant.report.words import NOTHING, count, day, listing

_SHOWN = 10  # latest events before "earlier"
_CARDS = 3  # users before "more"


def cards(samples: Sequence[Mapping[str, Any]], system: str) -> Markup:
    """One card a user of `Result.samples`; the lists are those of `system`."""
    if not samples:
        return Markup()
    found = sum(any(item.get("hit") for item in sample.get("list", ())) for sample in samples)
    text = (
        f"{count(len(samples), 'query')} taken evenly from all, with the lists of {system}: a chosen item "
        f"stands in {found}. Too few to judge by; enough to see what is being judged."
    )
    drawn = [_card(sample, system) for sample in samples]
    more = (
        details(f"{len(drawn) - _CARDS} more", tag("div", *drawn[_CARDS:], class_="cards"))
        if drawn[_CARDS:]
        else ""
    )
    return join([tag("p", text), tag("div", *drawn[:_CARDS], class_="cards"), more])


def _card(sample: Mapping[str, Any], system: str) -> Markup:
    history, targets = sample.get("history", ()), [str(target) for target in sample.get("targets", ())]
    asked = [
        tag("h4", "User ", sample.get("user", NOTHING)),
        tag("p", "went on to choose ", tag("strong", listing(targets) or NOTHING), class_="targets"),
        _strip([event.get("time") for event in history]),
    ]
    return tag(
        "article",
        tag("header", *asked),
        tag("div", tag("h5", "History, latest first"), _timeline(history), class_="history"),
        tag("div", tag("h5", f"List of {system}"), _list(sample.get("list", ()))),
        class_="card",
    )


def _timeline(history: Sequence[Mapping[str, Any]]) -> Markup:
    if not history:
        return tag("p", "No history: nothing was known of this user.", class_="note")
    latest = list(reversed(history))
    shown = _days(latest[:_SHOWN])
    if len(latest) <= _SHOWN:
        return shown
    return join([shown, details(f"{count(len(latest) - _SHOWN, 'earlier event')}", _days(latest[_SHOWN:]))])


def _days(events: Sequence[Mapping[str, Any]]) -> Markup:
    """Events under the day that they fell on; a log without times has their order alone."""
    grouped = [
        (when, list(group)) for when, group in groupby(events, key=lambda event: _day_of(event.get("time")))
    ]
    return tag(
        "ol",
        *(
            tag(
                "li",
                tag("span", when, class_="day") if when else "",
                tag("ul", *(tag("li", e["item"]) for e in group)),
            )
            for when, group in grouped
        ),
        class_="timeline",
    )


def _day_of(time: int | None) -> str:
    return "" if time is None else day(time)


def _list(items: Sequence[Mapping[str, Any]]) -> Markup:
    if not items:
        return tag("p", "An empty list.", class_="note")
    return tag("ol", *(_place(item) for item in items), class_="list")


def _place(item: Mapping[str, Any]) -> Markup:
    hit = [tag("span", "✓ chosen", class_="mark")] if item.get("hit") else []
    score = item.get("score")
    aside = (
        [tag("span", f"{score:.3g}", class_="score", title="score")] if isinstance(score, int | float) else []
    )
    return tag("li", tag("span", item["item"]), *hit, *aside, class_="hit" if hit else None)


def _strip(times: Sequence[int | None]) -> Markup:
    """All events as strokes on one line of time; nothing where there are no times, or all fall on one day."""
    known = [time for time in times if time is not None]
    if len(known) != len(times) or not known or day(max(known)) == day(min(known)):
        return Markup()
    begin, span = min(known), max(known) - min(known)
    strokes = [tag("i", style=f"left:{100 * (time - begin) / span:.2f}%") for time in known]
    ends = tag("div", tag("span", day(begin)), tag("span", day(max(known))), class_="ends")
    line = tag("div", *strokes, class_="line", aria_hidden="true")
    return tag("div", line, ends, class_="strip")
