"""Logs: the same whoever is simulated beside whom, and good food for the reader."""

from dataclasses import replace

import polars as pl
import pytest
import torch

from penchant.data import split_by_time, split_leave_last
from penchant.errors import ArgumentError
from penchant.rank import DIN
from penchant.world import EFFECTS, Simulated, simulate, stream, users_for
from world.worlds import CHOICES, FLAT, SMALL

BOTH = pytest.mark.parametrize("world", [SMALL, CHOICES], ids=["exposures", "choices"])


@pytest.fixture(scope="module", params=[SMALL, CHOICES], ids=["exposures", "choices"])
def made(request):
    return simulate(request.param)


def same(one, two):
    return all(getattr(one, name).equals(getattr(two, name)) for name in ("log", "truth", "users", "items"))


@BOTH
def test_a_log_does_not_depend_on_blocks_threads_or_other_users(world):
    world = replace(world, days=10)
    whole = simulate(world)
    assert same(whole, simulate(world, block=37))
    assert same(whole, Simulated.of(list(stream(world, block=100))))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert same(whole, simulate(world, block=1_000))
    finally:
        torch.set_num_threads(threads)
    fewer = simulate(replace(world, users=31))
    assert fewer.log.equals(whole.log.filter(pl.col("user") < 31))


def test_another_seed_is_another_log(made):
    other = simulate(replace(made.world, seed=4))
    assert not other.log["item"].head(50).equals(made.log["item"].head(50))


def test_rows_stand_in_order_and_agree_with_the_truth_about_users(made):
    log, slots = made.log, 5 if made.world.exposure else 1
    assert log["user"].is_sorted()
    requests = log.gather_every(slots)
    steps = requests.with_columns(
        (pl.col("time").diff() > 0).over("user").alias("later"),
        pl.col("session").diff().is_in([0, 1]).over("user").alias("next"),
    )
    assert steps["later"].drop_nulls().all()
    assert steps["next"].drop_nulls().all()
    counted = requests.group_by("user", maintain_order=True).agg(
        pl.len().alias("n"), (pl.col("session").max() + 1).alias("s"), pl.col("time").max().alias("end")
    )
    users = made.users.filter(pl.col("requests") > 0)
    assert counted["n"].to_list() == users["requests"].to_list()
    assert counted["s"].to_list() == users["sessions"].to_list()
    quit_at = users["quit"].drop_nulls()
    assert quit_at.to_list() == counted["end"].filter(~users["censored"]).to_list()
    assert bool((users["quit"].is_null() == users["censored"]).all())
    assert 0 < users["censored"].mean() < 1
    first, end = made.world.start, made.world.start + made.world.days * 86_400
    assert first <= log["time"].min()
    assert log["time"].max() < end
    ended = made.truth["ended"].gather_every(slots)
    begins = requests.select((pl.col("session").diff().over("user") > 0).shift(-1))["session"].fill_null(
        value=False
    )
    assert bool((ended | ~begins).all())  # a new session begins only where one has ended
    assert bool(((made.truth["hazard"] > 0) == made.truth["ended"]).all())
    assert bool((made.truth["gap"].is_nan() != made.truth["ended"]).all())


def test_requests_have_ids_of_their_own():
    log = simulate(SMALL).log
    assert log["request"].n_unique() * 5 == log.height
    assert log.group_by("request").agg(pl.col("user").n_unique())["user"].max() == 1


def test_the_reader_takes_the_log_and_splits_it(made):
    log = made.interactions()
    assert len(log) == made.log.height
    assert not log.profile.dropped
    assert log.profile.users == made.users.filter(pl.col("requests") > 0).height
    assert log.catalogue.title == "title"
    assert log.catalogue.vectors["vector"].shape[1] == 16
    assert set(log.catalogue.category("category").labels.all_ids) == set(made.world.category_names)
    if made.world.exposure:
        assert set(log.columns) == {"request", "position", "propensity", "variant"}
        assert log.profile.positives == pytest.approx(made.log["click"].mean())
    else:
        assert set(log.columns) == {"variant"}
        assert log.label is None
    for split in (split_by_time(log), split_leave_last(log)):
        assert len(split.train.targets) > 0
    assert made.world.without("content").item_table().width == 4


def test_no_column_tells_a_ranker_what_came_after_the_click():
    made = simulate(SMALL)
    satisfied = made.log.filter(pl.col("satisfied") == 1)
    assert satisfied.height > 100
    assert satisfied["click"].min() == 1  # so it would tell
    with pytest.raises(ArgumentError, match="satisfied"):
        DIN(made.interactions().features, context=["satisfied"])


def test_a_world_without_anything_makes_a_log():
    made = simulate(replace(SMALL.without(*EFFECTS), users=40))
    assert bool(made.users["censored"].all())
    assert made.users["variant"].sum() == 0
    assert made.interactions().catalogue.vectors == {}
    assert bool((made.truth["satisfaction"] == 1).all())


def test_as_many_users_as_rows_are_wanted():
    for world in (SMALL, FLAT):
        count = users_for(world, 20_000)
        rows = simulate(replace(world, users=count)).log.height
        assert abs(rows - 20_000) < 2_000
    with pytest.raises(ArgumentError, match="events=0"):
        users_for(SMALL, 0)
    with pytest.raises(ArgumentError, match="block=0"):
        simulate(SMALL, block=0)


def test_the_first_rows_are_whole_users(made):
    part = made.first(2_000)
    assert part.log.height <= 2_000
    assert part.log.height == part.truth.height
    assert part.log["user"].unique().to_list() == part.users.filter(pl.col("requests") > 0)["user"].to_list()
    assert made.first(1).users.height == 1
    assert same(made, made.first(10**9))


def test_every_effect_shows_where_it_should():
    """Directions, against the same world without the effect; sizes are the business of `check`."""

    def mean(world, column="click"):
        return simulate(world).log[column].mean()

    world = SMALL
    assert mean(world.without("interests")) < mean(world)
    assert mean(world.without("boredom")) > mean(world)
    assert mean(world.without("semantic")) < mean(world)
    busy, calm = simulate(world), simulate(world.changed({"churn": {"base": 0.001}}))
    assert busy.users["censored"].mean() < calm.users["censored"].mean() - 0.1
    by_arm = busy.log.group_by("variant").agg(pl.col("satisfied").sum() / pl.col("click").sum())
    rates = dict(by_arm.iter_rows())
    assert rates[1] > rates[0] + 0.03
