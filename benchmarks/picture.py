"""The pictures of the races: the way to a quality, and costs against sizes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import altair as alt
import vl_convert
from race import Race
from table import Record, slope, values_of

from penchant.data.atomic import atomic_file

Row = dict[str, Any]
_COLOURS = ["#1f6fb2", "#d1762b", "#5a8f3c"]  # of sides, ours first
_CONFIG: Mapping[str, Any] = {
    "background": "white", "font": "sans-serif", "axis": {"gridOpacity": 0.4, "labelFlush": False},
    "title": {"fontSize": 11, "subtitleFontSize": 10, "anchor": "start"},
}  # fmt: skip


def draw(folder: Path, races: Sequence[Race], records: Sequence[Record]) -> dict[str, str]:
    """Draws what there is to draw.

    Returns: what each picture shows, by its address from a folder beside `folder`.
    """
    found: dict[str, str] = {}
    courses = [race for race in races if race.until is not None and curves(race, records)]
    for race in courses:
        _write(folder / "quality.svg", quality(race, records))
        found[f"../{folder.name}/quality.svg"] = f"NDCG@10 on validation against CPU seconds: {race.name}"
    grown = [race for race in races if race.growth and points(race, records)]
    if grown:
        _write(folder / "cost.svg", cost(grown, records))
        found[f"../{folder.name}/cost.svg"] = "Costs against sizes, both on logarithmic axes"
    return found


def curves(race: Race, records: Sequence[Record]) -> list[Row]:
    """A row a question, of every side and round."""
    return [
        {"side": record["side"], "run": f"{record['side']} {record['round']}", "cpu": cpu, "ndcg": ndcg}
        for record in records
        if record["race"] == race.name and "value" in record
        for cpu, ndcg in record["rows"][0]["curve"]
    ]


def points(race: Race, records: Sequence[Record]) -> list[Row]:
    """A row a size and round."""
    assert race.growth
    return [
        {"size": size, "cost": value}
        for size, side in zip(race.growth.sizes, race.sides, strict=True)
        for value in values_of(records, race, side).values()
    ]


def quality(race: Race, records: Sequence[Record]) -> alt.LayerChart:
    """A line a run, and the quality asked for."""
    sides = [side.name for side in race.sides]
    colours = alt.Scale(domain=sides, range=_COLOURS[: len(sides)])
    lines = (
        alt.Chart(alt.Data(values=curves(race, records)))
        .mark_line(point=alt.OverlayMarkDef(size=12), strokeWidth=1.5)
        .encode(
            x=alt.X("cpu:Q", title="CPU seconds of training", scale=alt.Scale(type="log", nice=False)),
            y=alt.Y("ndcg:Q", title="NDCG@10 on validation"),
            color=alt.Color("side:N", title=None, scale=colours),
            detail="run:N",
        )
    )
    goal = alt.Chart(alt.Data(values=[{"goal": race.until}])).mark_rule(strokeDash=[4, 4]).encode(y="goal:Q")
    return alt.layer(goal, lines).properties(width=520, height=260)


def cost(races: Sequence[Race], records: Sequence[Record]) -> alt.ConcatChart:
    """A small picture a cost: points of all rounds, a line through their medians."""
    return alt.concat(*(_panel(race, records) for race in races), columns=3)


def _panel(race: Race, records: Sequence[Record]) -> alt.LayerChart:
    assert race.growth
    rows, sizes = points(race, records), race.growth.sizes
    medians = [median(row["cost"] for row in rows if row["size"] == size) for size in sizes]
    what = race.name.removeprefix("cost: ").removesuffix(f" against {race.growth.of}")
    low, high = min(row["cost"] for row in rows), max(row["cost"] for row in rows)
    room = max(1.2, (30 / (high / low)) ** 0.5)  # at least a factor of 30, or what stays would look steep
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "size:Q", title=race.growth.of,
            scale=alt.Scale(type="log", domain=[sizes[0] / 1.3, sizes[-1] * 1.3], nice=False),
            axis=alt.Axis(values=list(sizes), format="~s"),
        )
    )  # fmt: skip
    scale = alt.Scale(type="log", domain=[low / room, high * room], nice=False)
    y = alt.Y("cost:Q", title=race.unit, scale=scale, axis=alt.Axis(format="~g", tickCount=3))
    line = base.mark_line(color=_COLOURS[0]).encode(y=alt.Y("median(cost):Q", title=race.unit, scale=scale))
    dots = base.mark_point(color=_COLOURS[0], size=14, filled=True, opacity=0.6).encode(y=y)
    return alt.layer(line, dots).properties(
        width=210, height=150, title=alt.Title(what, subtitle=f"slope {slope(sizes, medians):.2f}")
    )


def _write(path: Path, chart: Any) -> None:
    spec = chart.configure(**_CONFIG).to_json()
    with atomic_file(path) as part:
        part.write_text(vl_convert.vegalite_to_svg(spec), encoding="utf-8")
