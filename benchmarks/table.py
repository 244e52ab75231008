"""The table of the races, written from their records."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from race import Race, Side

Record = dict[str, Any]
Values = dict[int, float]  # by round


def page(
    about: Mapping[str, Any],
    all_races: Sequence[Race],
    records: Sequence[Record],
    pictures: Mapping[str, str],
) -> str:
    """The whole page, as Markdown; `pictures` are what they show, by address."""
    settings = about["settings"]
    lines = ["# Speed beside others", ""]
    if settings["quick"]:
        lines += [
            "**A quick run at small sizes, to see that everything runs: these figures mean nothing.**",
            "",
        ]
    lines += [
        f"Each value is the median of {_rounds(settings['rounds'])}, or of as many as stand behind it, the "
        "least and the most in brackets. "
        "In a round every side has a process of its own, one after another, and the order changes from "
        "round to round; imports are not timed, and CPU seconds are those of all threads (user and system). "
        "The ratio is ours / theirs, of the medians, with the least and the most of the ratios within a "
        "round; a goal is met or missed by the ratio of the medians, and the rounds that would meet it by "
        "themselves are counted. Rows without a peer come from one process that alternates between its "
        "sides, in rounds of its own.",
    ]
    raced, grown = ([race for race in all_races if bool(race.growth) is one] for one in (False, True))
    if raced:
        lines += ["", "| race | unit | ours | beside | theirs | ratio | goal | |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        lines += [_line(race, side, records) for race in raced for side in race.sides[1:]]
    if grown:
        lines += ["", "## Cost against size", "", "| cost | unit | by size | slope | goal | |"]
        lines += ["|---|---|---|---|---|---|", *(_growth(race, records) for race in grown)]
    for address, shown in pictures.items():
        lines += ["", f"![{shown}]({address})"]
    lines += ["", "## What is timed", ""]
    for text in dict.fromkeys(race.about for race in all_races):
        alike = [race for race in all_races if race.about == text]
        head = "Cost against size" if alike[0].growth else "; ".join(race.name for race in alike)
        lines += [f"**{head}.** {text}", ""]
        if notes := [f"- {race.name.removeprefix('cost: ')}: {race.note}" for race in alike if race.note]:
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


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """How many times a cost doubles when the size doubles, by least squares.

    >>> round(slope([10, 100, 1000], [3, 300, 30_000]), 6)
    2.0
    """
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def _line(race: Race, side: Side, records: Sequence[Record]) -> str:
    first = race.sides[0]
    ours, theirs = values_of(records, race, first), values_of(records, race, side)
    ratio, verdict = _ratio(race, side, records)
    cells = [
        race.name, race.unit, _value(race, first, records, ours),
        _label(race, side, records), _value(race, side, records, theirs), ratio,
        side.goal.text if side.goal else "none yet", verdict,
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _ratio(race: Race, side: Side, records: Sequence[Record]) -> tuple[str, str]:
    """Ours / theirs, and whether that is good enough; a bound where one of them did not arrive."""
    ours, theirs = values_of(records, race, race.sides[0]), values_of(records, race, side)
    paired = sorted(ours.keys() & theirs.keys())
    late = [_short(records, race, one) is not None for one in (race.sides[0], side)]
    if not paired or all(late):
        return "", ""
    ratios = [ours[i] / theirs[i] for i in paired]
    median = statistics.median(ours.values())
    middle = median / statistics.median(theirs.values())
    text = f"{_times(middle)} ({_times(min(ratios))} to {_times(max(ratios))})"
    if any(late):
        text = f"{'over' if late[0] else 'under'} {_times(middle)}"
    if side.goal is None:
        return text, ""
    met = not late[0] and side.goal.met(middle, median)
    rounds = 0 if late[0] else sum(side.goal.met(r, ours[i]) for r, i in zip(ratios, paired, strict=True))
    return text, f"{'met' if met else '**missed**'} ({rounds} of {_rounds(len(paired))})"


def _growth(race: Race, records: Sequence[Record]) -> str:
    """The line of a cost."""
    assert race.growth
    found = {
        size: values_of(records, race, side) for size, side in zip(race.growth.sizes, race.sides, strict=True)
    }
    if not all(found.values()):
        return f"| {race.name} | {race.unit} | {_why_not(race, race.sides[0], records)} | | | |"
    medians = {size: statistics.median(values.values()) for size, values in found.items()}
    middle = slope(list(medians), list(medians.values()))
    rounds = sorted(set.intersection(*(set(values) for values in found.values())))
    each = [slope(list(found), [values[i] for values in found.values()]) for i in rounds]
    met = "met" if middle <= race.growth.most else "**missed**"
    cells = [
        race.name.removeprefix("cost: "), race.unit,
        "; ".join(f"{size:,}: {number(cost)}" for size, cost in medians.items()),
        f"{middle:.2f} ({min(each):.2f} to {max(each):.2f})", f"at most {race.growth.most:g}", met,
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


def _short(records: Sequence[Record], race: Race, side: Side) -> float | None:
    """The best quality of a side that did not reach what was asked for; None for any other."""
    of = (r for r in records if (r["race"], r["side"]) == (race.name, side.name))
    return max((r["short"] for r in of if "short" in r), default=None)


def _value(race: Race, side: Side, records: Sequence[Record], values: Values) -> str:
    """What a side reached, or why it did not."""
    said = _spread(values) or _why_not(race, side, records)
    if race.until is None or not values:
        return said
    mine = [r for r in records if (r["race"], r["side"]) == (race.name, side.name) and "value" in r]
    epochs = f"{statistics.median(r['rows'][0]['epochs'] for r in mine):.1f} epochs"
    short = _short(records, race, side)
    if short is not None:
        return f"not reached in {number(max(values.values()))}, {epochs}: best {short:.4f}"
    return f"{said}, {epochs}"


def _spread(values: Values) -> str:
    if not values:
        return ""
    middle = number(statistics.median(values.values()))
    if len(values) == 1:
        return f"{middle} (1 round)"
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


def _when(run: Mapping[str, Any]) -> str:
    changed = ", with changes that are not committed" if run["changes"] else ""
    return f"{run['date']}, at commit {run['commit']}{changed}"


def _facts(about: Mapping[str, Any]) -> list[str]:
    machine, settings = about["machine"], about["settings"]
    lines = [
        f"- penchant {about['penchant']}, {_when(about)}; seed 0.",
        *(
            f"- Raced again later (`--only`): {name}, {_when(run)}; load {run['load']}."
            for name, run in about.get("again", {}).items()
        ),
        f"- {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; "
        f"{machine['system']}; load {machine['load']} when the run began. {settings['threads']} thread(s) a "
        "process.",
    ]
    for name, versions in about["environments"].items():
        said = ", ".join(f"{package} {version}" for package, version in versions.items())
        lines.append(f"- Environment `{name}`: {said}.")
    return lines
