"""The table of the races, written from their records."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from races import Race, Side

Record = dict[str, Any]
Values = dict[int, float]  # by round


def page(about: Mapping[str, Any], all_races: Sequence[Race], records: Sequence[Record]) -> str:
    """The whole page, as Markdown."""
    settings = about["settings"]
    lines = ["# Speed beside others", ""]
    if settings["quick"]:
        lines += [
            "**A quick run at small sizes, to see that everything runs: these figures mean nothing.**",
            "",
        ]
    lines += [
        f"Each value is the median of {_rounds(settings['rounds'])}, the least and the most in brackets. "
        "In a round every side has a process of its own, one after another, and the order changes from "
        "round to round; imports are not timed, and CPU seconds are those of all threads (user and system). "
        "The ratio is ours / theirs, of the medians, with the least and the most of the ratios within a "
        "round; a goal is met or missed by the ratio of the medians, and the rounds that would meet it by "
        "themselves are counted. Rows without a peer come from one process that alternates between its "
        "sides, in rounds of its own.",
        "",
        "| race | unit | ours | beside | theirs | ratio | goal | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for race in all_races:
        lines += [_line(race, side, records) for side in race.sides[1:]]
    lines += ["", "## What is timed", ""]
    for text in dict.fromkeys(race.about for race in all_races):
        alike = [race for race in all_races if race.about == text]
        lines += [f"**{'; '.join(race.name for race in alike)}.** {text}", ""]
        if notes := [f"- {race.name}: {race.note}" for race in alike if race.note]:
            lines += [*notes, ""]
    lines += ["## Where and with what", "", *_facts(about), ""]
    lines += [
        f"Written by `{about['command']}`; every process' own figures stand in `speed.json` beside this "
        "page.",
        "",
    ]
    return "\n".join(lines)


def values_of(records: Sequence[Record], race: Race, side: Side) -> Values:
    """What a side reached in each round that it ran in."""
    found = (r for r in records if r["race"] == race.name and r["side"] == side.name)
    return {r["round"]: r["value"] for r in found if "value" in r}


def _line(race: Race, side: Side, records: Sequence[Record]) -> str:
    ours, theirs = values_of(records, race, race.sides[0]), values_of(records, race, side)
    paired = sorted(ours.keys() & theirs.keys())
    ratio, verdict = "", ""
    if paired:
        ratios = [ours[i] / theirs[i] for i in paired]
        middle = statistics.median(ours.values()) / statistics.median(theirs.values())
        ratio = f"{_times(middle)} ({_times(min(ratios))} to {_times(max(ratios))})"
        if side.goal:
            met = side.goal.met(middle, statistics.median(ours.values()))
            rounds = sum(side.goal.met(r, ours[i]) for r, i in zip(ratios, paired, strict=True))
            verdict = f"{'met' if met else '**missed**'} ({rounds} of {_rounds(len(paired))})"
    cells = [
        race.name, race.unit, _spread(ours) or _why_not(race, race.sides[0], records),
        _label(race, side, records), _spread(theirs) or _why_not(race, side, records), ratio,
        side.goal.text if side.goal else "none yet", verdict,
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _label(race: Race, side: Side, records: Sequence[Record]) -> str:
    """The peer and its version."""
    for record in records:
        if (record["race"], record["side"]) == (race.name, side.name):
            for row in record.get("rows", ()):
                if "version" in row:
                    return f"{side.name} {row['version']}"
    return side.name


def _why_not(race: Race, side: Side, records: Sequence[Record]) -> str:
    reasons = [
        r["not_run"] for r in records if (r["race"], r["side"]) == (race.name, side.name) and "not_run" in r
    ]
    reason = reasons[-1] if reasons else "its turn has not come"
    return f"not run: {reason}".replace("|", "/").replace("\n", " ")


def _spread(values: Values) -> str:
    if not values:
        return ""
    middle = number(statistics.median(values.values()))
    return f"{middle} ({number(min(values.values()))} to {number(max(values.values()))})"


def number(value: float) -> str:
    """As many digits as mean something.

    >>> [number(x) for x in (2_345_678, 12_345.6, 123.4, 12.34, 0.1234)]
    ['2.35 M', '12,346', '123', '12.3', '0.123']
    """
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _rounds(count: int) -> str:
    return f"{count} round{'s' if count > 1 else ''}"


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 100 else f"{ratio:.1f}x" if ratio >= 10 else f"{ratio:.2f}x"


def _facts(about: Mapping[str, Any]) -> list[str]:
    machine, settings = about["machine"], about["settings"]
    changed = ", with changes that are not committed" if about["changes"] else ""
    lines = [
        f"- {about['date']}, penchant {about['penchant']} at commit {about['commit']}{changed}; seed 0.",
        f"- {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; "
        f"{machine['system']}; load {machine['load']} when the run began. {settings['threads']} thread(s) a "
        "process.",
    ]
    for name, versions in about["environments"].items():
        said = ", ".join(f"{package} {version}" for package, version in versions.items())
        lines.append(f"- Environment `{name}`: {said}.")
    return lines
