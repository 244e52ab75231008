"""z-tests: right worlds pass, wrong ones fail, and at the effect that is wrong."""

import math
from dataclasses import replace

import polars as pl
import pytest
import torch

from penchant.errors import ArgumentError
from penchant.world import EFFECTS, LIMIT, World, check, replay, simulate
from world.worlds import FLAT

WORLD = World(users=700, items=300, categories=8, days=8)
FREE = WORLD.without("exposure")


@pytest.fixture(scope="module")
def shown():
    return simulate(WORLD)


@pytest.fixture(scope="module")
def chosen():
    return simulate(FREE)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("world", [replace(WORLD, users=300), FREE, replace(FLAT, days=8)])
def test_a_right_world_passes(world, seed):
    world = replace(world, seed=seed)
    table = check(world, simulate(world))
    assert table.columns == ["effect", "statistic", "expected", "observed", "z"]
    assert table["z"].abs().max() < LIMIT, table.sort(pl.col("z").abs())
    assert set(table["effect"]) >= {*world.effects, "sessions"}
    assert 0.3 < table.filter(pl.col("z") != 0)["z"].pow(2).mean() < 2.5  # they vary as z does


WRONG = [
    ("boredom", {"strength": 0.5}),
    ("semantic", {"strength": 1.0}),
    ("interests", {"liking": 2.0}),
    ("interests", None),
    ("popularity", {"tail": 0.6}),
    ("sequels", {"share": 0.15, "click": 0.0}),
    ("births", {"share": 0.5}),
    ("satisfaction", {"level": 0.3}),
    ("satisfaction", {"rate": 0.3}),
    ("churn", {"base": 0.03}),
    ("treatment", {"satisfaction": -0.3}),
]


@pytest.mark.parametrize(("effect", "values"), WRONG, ids=str)
def test_a_wrong_parameter_fails_at_its_effect(chosen, effect, values):
    assert worst(check(FREE.changed({effect: values}), chosen), effect) > LIMIT


@pytest.mark.parametrize(
    ("effect", "values"),
    [
        ("boredom", None),
        ("semantic", {"strength": 1.0}),
        ("popularity", {"click": 0.0}),
        ("sequels", {"click": -1.0}),
        ("treatment", {"click": -0.2}),
        ("exposure", {"base": -2.2}),
        ("exposure", {"examine": 0.7}),
        ("exposure", {"explore": 0.4}),
        ("exposure", {"skill": 1.0}),
    ],
    ids=str,
)
def test_a_wrong_parameter_of_exposures_fails_at_its_effect(shown, effect, values):
    assert worst(check(WORLD.changed({effect: values}), shown), effect) > LIMIT


def test_wrong_times_arms_and_content_are_found(chosen):
    wrong = FREE.changed({"sessions": {"gap": 3.0, "length": 5.0, "rhythm": 0.9, "activity": 0.6}})
    wrong = wrong.changed({"treatment": {"share": 0.25}, "content": {"noise": 0.7}})
    table = check(wrong, chosen)
    assert worst(table, "content") > LIMIT
    assert worst(table.filter(pl.col("statistic") == "share of users treated"), "treatment") > LIMIT
    table = table.filter(pl.col("effect") == "sessions")
    assert bool((table["z"].abs() > LIMIT).all()), table
    assert len(table) == 6


def worst(table, effect):
    return table.filter(pl.col("effect") == effect)["z"].abs().max()


def test_propensities_that_are_wrong_are_found_by_their_sum_too(shown):
    table = check(WORLD.changed({"exposure": {"explore": 0.9}}), shown)
    row = table.filter(pl.col("statistic") == "sum of 1 / propensity, per slot")
    assert abs(row["z"][0]) > LIMIT
    false = replace(shown, log=shown.log.with_columns(pl.col("propensity") * 0.9))
    assert worst(check(WORLD, false), "exposure") == math.inf


def test_an_outcome_that_is_turned_is_found(shown):
    always = replace(shown, log=shown.log.with_columns(pl.lit(1, pl.Int8).alias("click")))
    assert worst(check(WORLD, always), "exposure") > 20
    stay = replace(shown, users=shown.users.with_columns(pl.lit(value=True).alias("censored")))
    assert worst(check(WORLD, stay), "churn") > LIMIT


def test_a_table_without_an_effect_that_it_should_have_is_found(chosen):
    bare = replace(chosen, items=chosen.items.drop("vector"))
    assert worst(check(FREE, bare), "content") == math.inf
    assert worst(check(FREE.without("content"), chosen), "content") == math.inf


def test_a_replay_of_an_unordered_log_is_refused(shown):
    turned = replace(shown, log=shown.log.reverse(), truth=shown.truth.reverse())
    with pytest.raises(ArgumentError, match="order"):
        replay(WORLD, turned)
    short = replace(shown, log=shown.log.head(50), truth=shown.truth.head(50))
    with pytest.raises(ArgumentError, match="rows"):
        replay(WORLD, short)


def test_every_effect_has_a_row(shown, chosen):
    tables = pl.concat([check(WORLD, shown), check(FREE, chosen)])
    assert {*tables["effect"]} == {*EFFECTS, "sessions"}
    assert torch.isfinite(torch.tensor(tables["expected"].to_numpy())).all()
