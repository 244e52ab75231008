"""What is drawn is what was measured."""

import math

import altair as alt
import numpy as np
import pytest

from penchant.evaluation.result import Estimate, Slice, SystemResult
from penchant.report import plots, tradeoffs, tuning
from penchant.report.figures import Figures
from penchant.report.markup import Markup
from penchant.train.study import Trial
from penchant.train.tuned import Searched
from report.made import estimate, result, studies, training


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


def test_the_line_of_a_search_is_its_best_so_far():
    searched = studies().models["SASRec"]
    rows = tuning._best_so_far(searched)
    assert [n for n, _, _ in rows] == [t.number for t in searched.trials if t.value is not None]  # 4 failed
    assert [best for _, _, best in rows] == list(np.maximum.accumulate([value for _, value, _ in rows]))
    spec = plots.progress([("SASRec", *row) for row in rows], ["SASRec", "EASE"], "ndcg@10")
    assert valid(spec)
    drawn = rows_of(spec, "best")
    assert [(row["trial"], row["value"], row["best"]) for row in drawn[: len(rows)]] == rows
    assert plots.progress([], ["SASRec"], "ndcg@10") is None


def test_the_best_of_an_error_falls():
    trials = tuple(Trial(n, {}, v, 1.0, "complete") for n, v in enumerate([0.4, 0.5, 0.3], 1))
    searched = Searched("DIN", "log_loss", {}, trials)
    assert [best for _, _, best in tuning._best_so_far(searched)] == [0.4, 0.4, 0.3]
    assert searched.best.trial == 3


def test_a_setting_is_drawn_against_its_metric_with_its_own_and_the_best_marked():
    rows = [(64, 0.1, 1), (32, 0.2, 2), (16, None, 3), (128, 0.15, 4)]
    spec = plots.setting(rows, "width", "NDCG@10", log=True, best=2)
    assert valid(spec)
    drawn = {row["trial"]: (row["setting"], row["value"], row["what"]) for row in rows_of(spec, "what")}
    assert drawn == {
        1: (64, 0.1, "its own settings"), 2: (32, 0.2, "the best"), 4: (128, 0.15, "a trial"),
    }  # fmt: skip
    assert spec["layer"][0]["encoding"]["x"]["scale"]["type"] == "log"


def test_settings_that_are_no_numbers_stand_in_columns():
    rows = [("pre", 0.1, 1), ([80, 40], 0.2, 2), (None, 0.3, 3)]
    spec = plots.setting(rows, "norm", "NDCG@10", log=False, best=3)
    assert valid(spec)
    assert spec["layer"][0]["encoding"]["x"]["type"] == "nominal"
    assert {row["setting"] for row in rows_of(spec, "what")} == {"pre", "[80, 40]", "None"}
    numbers = [(None, 0.1, 1), (3.0, 0.2, 2), (0.0, 0.2, 3)]  # no place for none, nor for 0 on a logarithm
    spec = plots.setting(numbers, "half_life_days", "NDCG@10", log=True, best=2)
    assert {row["setting"] for row in rows_of(spec, "what")} == {3.0}
    assert plots.setting([(None, 0.1, 1)], "half_life_days", "NDCG@10", log=True, best=1) is None


@pytest.mark.parametrize(
    ("values", "marks"),
    [
        ([1e-4, 1e-2], [1e-4, 1e-3, 1e-2]),
        ([10, 200], [10, 20, 50, 100, 200]),
        ([1, 1e5], [1, 10, 100, 1e3, 1e4, 1e5]),
        ([7], [5, 10]),
    ],
)
def test_marks_of_a_logarithm_are_few_and_round(values, marks):
    assert plots._log_marks(values) == pytest.approx(marks)


def test_accuracy_is_drawn_against_variety_with_both_intervals():
    made = result()
    spec = plots.tradeoff(made.systems, "ndcg@10", "novelty@10")
    assert valid(spec)
    points = {row["system"]: row for row in rows_of(spec, "y_value")}
    for system in made.systems:
        row = points[system.name]
        for side, name in (("y", "ndcg@10"), ("x", "novelty@10")):
            e = system.metrics[name]
            assert (row[f"{side}_value"], row[f"{side}_low"], row[f"{side}_high"]) == (e.value, e.low, e.high)
    ends = [(m["encoding"]["x"]["field"], m["encoding"]["y"]["field"]) for m in spec["layer"]]
    assert ends == [("x_low", "y_value"), ("x_value", "y_low"), ("x_value", "y_value")]


def test_without_intervals_there_is_a_point_and_where_all_are_alike_no_chart():
    made = result(bootstrap=0)
    spec = plots.tradeoff(made.systems, "ndcg@10", "exposure_gini@10")
    assert len(spec["layer"]) == 1
    assert plots.tradeoff(made.systems, "ndcg@10", "intra_list_diversity@10") is None
    assert plots.tradeoff(made.systems, "ndcg@10", "nothing@10") is None


def test_variety_is_paired_at_the_length_of_the_headline_where_it_was_measured():
    made = result()
    assert ("ndcg@10", "novelty@10") in tradeoffs.pairs(made)
    for system in made.systems:
        for name in [name for name in system.metrics if name.startswith("novelty") and name != "novelty@20"]:
            del system.metrics[name]
    assert ("ndcg@20", "novelty@20") in tradeoffs.pairs(made)
    assert tradeoffs.section(result({"Alone": 1.0}), Figures()) == ""
    assert tradeoffs.section(result(everything=False), Figures()) == ""
