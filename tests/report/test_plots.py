"""What is drawn is what was measured."""

import math

import altair as alt
import numpy as np
import pytest

from penchant.evaluation.result import Estimate, Slice, SystemResult
from penchant.report import plots
from penchant.report.figures import Figures
from penchant.report.markup import Markup
from report.made import estimate, result, training


def rows_of(spec, column):
    """All inline rows of a specification that have a column."""
    rows = []

    def walk(part):
        if isinstance(part, dict):
            if isinstance(values := part.get("values"), list):
                rows.extend(row for row in values if isinstance(row, dict) and column in row)
            for inner in part.values():
                walk(inner)
        elif isinstance(part, list):
            for inner in part:
                walk(inner)

    walk(spec)
    return rows


def valid(spec):
    """Altair knows the grammar of Vega-Lite; sizes and colours are the page's."""
    alt.Chart.from_dict({k: v for k, v in spec.items() if k != "usermeta"})
    return "config" not in spec and spec["height"] > 0


def test_the_forest_shows_every_difference_and_fills_the_clear_ones():
    made = result()
    spec = plots.forest(made, ["ndcg@10", "recall@10"], what="difference")
    assert valid(spec)
    rows = rows_of(spec, "other")
    shown = {(row["metric"], row["other"]): row for row in rows}
    for system in made.systems[1:]:
        for name, label in (("ndcg@10", "NDCG@10"), ("recall@10", "Recall@10")):
            d, row = system.difference[name], shown[label, system.name]
            assert (row["value"], row["low"], row["high"]) == (d.value, d.low, d.high)
            assert row["clear"] == d.clear
    assert {row["other"] for row in rows if row["clear"]} == {"Popularity"}


def test_too_few_users_fill_no_point():
    spec = plots.forest(result(verdict="too few users to tell"), ["ndcg@10"], what="difference")
    assert rows_of(spec, "clear")
    assert not any(row["clear"] for row in rows_of(spec, "clear"))


def test_there_is_no_forest_of_one_system_or_without_intervals():
    assert plots.forest(result({"EASE": 1.0}), ["ndcg@10"], what="") is None
    assert plots.forest(result(bootstrap=0), ["ndcg@10"], what="") is None


def test_slices_keep_their_order_and_their_size():
    parts = ["no event", "1 to 4 events", "5 events and more"]
    values = {"ndcg@10": Estimate(0.1, 0.05, 0.15, 70)}
    system = SystemResult("x", {}, slices=tuple(Slice("history", name, 70, values) for name in parts))
    spec = plots.slices([system], "history", "ndcg@10")
    assert valid(spec)
    assert [row["slice"] for row in rows_of(spec, "n")][:3] == [f"{name}\n70 queries" for name in parts]


def test_a_slice_without_an_interval_is_a_point_and_one_without_a_value_is_not_drawn():
    parts = (
        Slice("user", "known", 30, {"ndcg@10": Estimate(0.1)}),
        Slice("user", "cold", 40, {"ndcg@10": Estimate(math.nan)}),
    )
    spec = plots.slices([SystemResult("x", {}, slices=parts)], "user", "ndcg@10")
    assert valid(spec)
    assert {row["slice"] for row in rows_of(spec, "slice")} == {"known\n30 queries"}
    assert plots.slices([SystemResult("x", {}, slices=parts[1:])], "user", "ndcg@10") is None


def test_a_slice_of_very_few_queries_is_not_drawn():
    spec = plots.slices(result().systems, "user", "ndcg@10")
    assert spec is None  # 9 cold users
    spec = plots.slices(result().systems, "history", "ndcg@10")
    assert {row["n"] for row in rows_of(spec, "n")} == {223, 224}


def test_stages_reliability_and_curves_are_vega_lite():
    made = result()
    assert valid(plots.stages([("merge", "Recall@200", 0.5), ("rank", "Recall@20", math.nan)]))
    assert plots.stages([("rank", "Recall@20", math.nan)]) is None
    spec = plots.reliability(made.ranker.systems[:1])
    assert valid(spec)
    drawn = {(row["promised"], row["happened"]) for row in rows_of(spec, "rows")}
    assert drawn == {(b["predicted"], b["observed"]) for b in made.ranker.systems[0].reliability}
    assert plots.reliability(made.systems[1:]) is None
    log = [{"epoch": row["epoch"], "loss": row["loss"]} for row in training()["SASRec"]]
    spec = plots.curves(log, {"loss": "loss"}, best=3)
    assert valid(spec)
    assert len([row for row in rows_of(spec, "what")]) >= len(log)
    assert plots.curves(log, {"absent": "absent"}, best=None) is None


def test_a_system_has_one_colour_on_all_charts():
    made = result()
    forest, slices = (
        plots.forest(made, ["ndcg@10"], what=""),
        plots.slices(made.systems, "history", "ndcg@10"),
    )
    scale = [spec["layer"][-1]["encoding"]["color"]["scale"] for spec in (forest, slices)]
    colors = [dict(zip(s["domain"], s["range"])) for s in scale]
    assert colors[0]["EASE"] == colors[1]["EASE"]
    assert len(set(colors[1].values())) == 3


def test_a_figure_without_a_chart_is_its_table():
    figures = Figures()
    assert figures.add(None, title="t", says="s", numbers=Markup("<table>")) == "<table>"
    assert figures.specs == []


@pytest.mark.parametrize("resamples", [0, 50])
def test_made_up_estimates_hold_their_value(resamples):  # the tests stand on them
    made = estimate(np.arange(10.0), np.random.default_rng(0), resamples)
    assert made.value == 4.5
    assert math.isnan(made.low) or made.low < 4.5 < made.high
