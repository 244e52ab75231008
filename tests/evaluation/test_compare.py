import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penchant.errors import ArgumentError
from penchant.evaluation import compare as module
from penchant.evaluation.compare import MIN_USERS, Interval, bootstrap, bootstrap_slices, too_few


def spread(interval):
    return (interval.high - interval.low) / (2 * 1.959964)


def test_standard_error_of_a_mean_is_sd_over_root_n():
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = bootstrap({"s": {"m": values}}, np.arange(400), resamples=4000)
    assert found.replicates.std() == pytest.approx(values.std() / 20, rel=0.05)
    assert spread(found.interval("s", "m")) == pytest.approx(values.std() / 20, rel=0.05)
    assert found.interval("s", "m").value == pytest.approx(values.mean(), rel=1e-12)


def test_interval_covers_at_its_level():
    draws = np.random.default_rng(1).exponential(size=(400, 60))  # 400 experiments of 60 users
    found = bootstrap({"s": dict(zip(map(str, range(400)), draws))}, np.arange(60), resamples=500, level=0.9)
    intervals = [found.interval("s", name) for name in found.metrics]
    assert np.mean([one.low < 1 < one.high for one in intervals]) == pytest.approx(0.88, abs=0.04)


def test_queries_of_one_user_come_along():
    # Ten equal queries a user say no more than one: the interval of the plain bootstrap over queries would be
    # narrower by the square root of ten.
    values = np.random.default_rng(0).normal(size=100)
    once = bootstrap({"s": {"m": values}}, np.arange(100)).interval("s", "m")
    users = np.tile(np.arange(100), 10)
    ten = bootstrap({"s": {"m": np.tile(values, 10)}}, users).interval("s", "m")
    assert (ten.value, ten.low, ten.high) == pytest.approx((once.value, once.low, once.high))
    assert (ten.users, ten.queries) == (100, 1000)


def test_equals_a_slow_version_draw_by_draw():
    rng = np.random.default_rng(5)
    users, weights = rng.integers(0, 9, 40) * 3 - 5, rng.random(40)
    values = rng.random((2, 3, 40))
    values[0, 1, rng.random(40) < 0.3] = np.nan
    named = {s: dict(zip("abc", values[i])) for i, s in enumerate(["one", "two"])}
    found = bootstrap(named, users, weights=weights, resamples=50, seed=3)
    ids = np.unique(users)
    rng = np.random.default_rng(3)
    for r in range(50):
        times = np.bincount(rng.integers(len(ids), size=len(ids), dtype=np.int32), minlength=len(ids))
        for s in range(2):
            for m in range(3):
                above = below = 0.0
                for q in range(40):
                    if not np.isnan(values[:, m, q]).any():
                        share = times[list(ids).index(users[q])] * weights[q]
                        above, below = above + share * values[s, m, q], below + share
                assert found.replicates[r, s, m] == pytest.approx(above / below)
    assert found.queries.tolist() == [40, np.isfinite(values[0, 1]).sum(), 40]


def test_a_common_difficulty_cancels_in_the_difference():
    rng = np.random.default_rng(0)
    user, ours, theirs = rng.normal(0, 10, 200), rng.normal(0.3, 0.5, 200), rng.normal(0, 0.5, 200)
    found = bootstrap({"ours": {"m": user + ours}, "theirs": {"m": user + theirs}}, np.arange(200))
    apart = found.difference("ours", "theirs", "m")
    assert apart.verdict == "higher"
    assert spread(apart) == pytest.approx((ours - theirs).std() / math.sqrt(200), rel=0.1)
    assert spread(found.interval("ours", "m")) > 5 * spread(apart)


@given(st.integers(0, 2**31), st.floats(-5, 5))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_a_constant_added_to_both_leaves_differences_and_swapping_turns_signs(seed, shift):
    rng = np.random.default_rng(seed)
    a, b, users = rng.random(30), rng.random(30), rng.integers(0, 12, 30)
    plain = bootstrap({"a": {"m": a}, "b": {"m": b}}, users, resamples=200)
    moved = bootstrap({"a": {"m": a + shift}, "b": {"m": b + shift}}, users, resamples=200)
    one, same, back = (
        plain.difference("a", "b", "m"), moved.difference("a", "b", "m"), plain.difference("b", "a", "m")
    )  # fmt: skip
    assert (one.value, one.low, one.high) == pytest.approx((same.value, same.low, same.high), abs=1e-12)
    assert (one.value, one.low, one.high) == pytest.approx((-back.value, -back.high, -back.low), abs=1e-12)
    assert plain.difference("a", "a", "m").high == 0


def test_chunks_and_order_of_queries_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    values, users = rng.random(90), rng.integers(0, 30, 90)
    whole = bootstrap({"s": {"m": values}}, users, resamples=100)
    order = rng.permutation(90)
    monkeypatch.setattr(module, "_CHUNK", 70)
    parts = bootstrap({"s": {"m": values[order]}}, users[order], resamples=100)
    np.testing.assert_allclose(whole.replicates, parts.replicates)
    assert not np.allclose(
        whole.replicates, bootstrap({"s": {"m": values}}, users, resamples=100, seed=1).replicates
    )


@pytest.mark.parametrize(
    ("low", "high", "users", "verdict"),
    [
        (0.1, 0.3, MIN_USERS, "higher"),
        (-0.3, -0.1, MIN_USERS, "lower"),
        (-0.1, 0.3, 10**6, "no clear difference"),
        (0.0, 0.0, 10**6, "no clear difference"),
        (0.1, 0.3, MIN_USERS - 1, "too few users to tell"),
        (math.nan, math.nan, 0, "too few users to tell"),
    ],
)
def test_verdicts(low, high, users, verdict):
    assert Interval((low + high) / 2, low, high, users, users).verdict == verdict
    assert too_few(users) == (users < 20)


def test_users_that_cannot_be_evaluated_are_not_counted():
    values = np.array([1.0, np.nan, 3.0, np.nan])
    found = bootstrap({"s": {"m": values, "n": np.full(4, np.nan)}}, np.array([7, 7, 8, 9]))
    assert found.interval("s", "m") == Interval(2.0, 1.0, 3.0, 2, 2)
    nothing = found.interval("s", "n")
    assert (nothing.users, nothing.queries) == (0, 0)
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()


def test_users_that_cannot_be_evaluated_are_not_drawn():
    values, users = np.random.default_rng(0).random(60), np.arange(60)
    alone = bootstrap({"s": {"m": values[:30]}}, users[:30], resamples=50)
    values[30:] = np.nan
    np.testing.assert_allclose(
        bootstrap({"s": {"m": values}}, users, resamples=50).replicates, alone.replicates
    )


def test_no_query_at_all():
    found = bootstrap({"s": {"m": np.zeros(0)}}, np.zeros(0, int))
    assert np.isnan(found.replicates).all()
    none = found.interval("s", "m")
    assert (none.users, none.queries, none.verdict) == (0, 0, "too few users to tell")
    assert np.isnan([none.value, none.low, none.high]).all()


def test_one_user_has_no_interval():
    one = bootstrap({"s": {"m": np.array([1.0, 2.0])}}, np.array([4, 4])).interval("s", "m")
    assert (one.value, one.users, one.queries) == (1.5, 1, 2)
    assert np.isnan([one.low, one.high]).all()


def test_slices_are_measured_on_their_own_users():
    rng = np.random.default_rng(0)
    values, users, names = rng.random(300), rng.integers(0, 100, 300), rng.choice(["head", "tail"], 300)
    weights = rng.random(300)
    found = bootstrap_slices({"s": {"m": values}}, users, names, weights=weights)
    assert list(found) == ["head", "tail"]
    for name, part in found.items():
        rows = names == name
        alone = bootstrap({"s": {"m": values[rows]}}, users[rows], weights=weights[rows])
        assert part.interval("s", "m") == alone.interval("s", "m")
        assert part.interval("s", "m").queries == rows.sum()


def test_arguments_are_refused_by_name():
    values, users = {"s": {"m": np.zeros(3)}}, np.arange(3)
    for name, call in [
        ("users", lambda: bootstrap(values, np.arange(4))),
        ("weights", lambda: bootstrap(values, users, weights=np.array([1.0, -1, 1]))),
        ("weights", lambda: bootstrap(values, users, weights=np.ones(2))),
        ("resamples", lambda: bootstrap(values, users, resamples=-1)),
        ("level", lambda: bootstrap(values, users, level=95)),
        ("values", lambda: bootstrap({}, users)),
        ("values", lambda: bootstrap({"s": {}}, users)),
        ("values", lambda: bootstrap(values | {"t": {"n": np.zeros(3)}}, users)),
        ("values", lambda: bootstrap(values | {"t": {"m": np.zeros(4)}}, users)),
        ("metric", lambda: bootstrap(values, users).interval("s", "mm")),
        ("system", lambda: bootstrap(values, users).interval("t", "m")),
        ("other", lambda: bootstrap(values, users).difference("s", "t", "m")),
        ("slices", lambda: bootstrap_slices(values, users, np.zeros(2))),
    ]:
        with pytest.raises(ArgumentError, match=rf"^{name}="):
            call()
