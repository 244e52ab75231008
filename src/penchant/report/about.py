"""What the data holds: the profile that was counted when the events were read."""

from penchant.data.profile import DataProfile
from penchant.report.markup import Markup, facts, join, table, tag
from penchant.report.words import count, day, percent

_QUANTILES = {
    "min": "fewest",
    "p25": "a quarter have at most",
    "median": "half have at most",
    "p75": "three quarters have at most",
    "max": "most",
    "mean": "mean",
}


def profile_of(profile: DataProfile) -> Markup:
    """Counts, what was left out and why, times, ties, and how unevenly events fall on users and items."""
    return join(
        [
            tag("p", f"Read from {profile.source}.", class_="said"),
            facts(_counts(profile)),
            tag(
                "div",
                _dropped(profile),
                _history(profile),
                _popularity(profile),
                _events(profile),
                class_="tables",
            ),
            tag("h3", "What to know about it"),
            tag("ul", *(tag("li", note) for note in _notes(profile)), class_="notes"),
        ]
    )


def _counts(profile: DataProfile) -> list[tuple[str, object]]:
    cells = profile.users * profile.items
    said: list[tuple[str, object]] = [
        ("Events", f"{profile.kept:,}"),
        ("Users", f"{profile.users:,}"),
        ("Items", f"{profile.items:,}"),
    ]
    if cells:
        said.append(("Filled", percent(profile.kept / cells, 2)))
    if profile.first is not None and profile.last is not None:
        said.append(("Time", f"{day(profile.first)} to {day(profile.last)}"))
    if profile.positives is not None:
        said.append(("Positive", percent(profile.positives)))
    return said


def _dropped(profile: DataProfile) -> Markup:
    left_out = [[f"left out: {reason}", f"{n:,}"] for reason, n in profile.dropped.items()] or [
        ["left out", "0"]
    ]
    rows = [["read", f"{profile.read:,}"], *left_out, ["kept", f"{profile.kept:,}"]]
    return table(["Rows", "Count"], rows, caption="From rows to events")


def _history(profile: DataProfile) -> Markup:
    rows = [[_QUANTILES.get(name, name), f"{value:,.0f}"] for name, value in profile.history.items()]
    return table(["Users", "Events"], rows, caption="Events a user") if rows else Markup()


def _popularity(profile: DataProfile) -> Markup:
    """How much of everything falls on few items, as bars."""
    rows: list[list[object]] = [
        [
            name,
            tag(
                "td",
                percent(share),
                tag("span", tag("i", style=f"width:{100 * share:.1f}%"), class_="bar", aria_hidden="true"),
            ),
        ]
        for name, share in profile.popularity.items()
    ]
    return (
        table(["Most popular items", "Share of events"], rows, caption="How popularity is shared")
        if rows
        else Markup()
    )


def _events(profile: DataProfile) -> Markup:
    rows: list[list[object]] = [[name, f"{n:,}"] for name, n in profile.events.items()]
    return table(["Event", "Count"], rows, caption="Kinds of events") if rows else Markup()


def _notes(profile: DataProfile) -> list[str]:
    notes = list(profile.notes)
    said = " ".join(notes)
    if profile.first is None:
        notes.append("The log has no times: events are known by their order alone.")
    elif profile.tied and "tie" not in said:
        share = percent(profile.tied / max(profile.kept, 1))
        broken = (
            "a seeded hash, because file order within them follows the item id"
            if profile.ties_follow_id
            else "file order"
        )
        notes.append(
            f"{count(profile.tied, 'event')} ({share}) share their second with the user's event before; "
            f"such ties are broken by {broken}."
        )
    if profile.repeats:
        notes.append(f"{count(profile.repeats, 'event')} return to an item that the user had before.")
    else:
        notes.append("Nobody has an item twice.")
    if profile.items_without_event or profile.users_without_event:
        notes.append(
            f"The attribute tables hold {count(profile.items_without_event, 'item')} and "
            f"{count(profile.users_without_event, 'user')} without any event."
        )
    if profile.items_without_attributes or profile.users_without_attributes:
        notes.append(
            f"Of {count(profile.items_without_attributes, 'item')} and "
            f"{count(profile.users_without_attributes, 'user')} with events no attribute is known."
        )
    return notes
