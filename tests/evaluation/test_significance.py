from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from penchant.errors import ArgumentError
from penchant.evaluation import significance as module
from penchant.evaluation.compare import MIN_USERS
from penchant.evaluation.result import Estimate, Result, Setting, SystemResult
from penchant.evaluation.significance import compare_values, holm, permutation_test


def slow(a, b, users, weights):
    """Every exchange, one by one: the share whose mean difference is as far from 0 as that observed."""
    people = sorted(set(users.tolist()))

    def apart(turned):
        sums = [0.0, 0.0]
        for q, user in enumerate(users):
            x, y = (b[q], a[q]) if turned[people.index(user)] else (a[q], b[q])
            sums[0] += weights[q] * x
            sums[1] += weights[q] * y
        return (sums[1] - sums[0]) / weights.sum()

    observed = abs(apart([0] * len(people)))
    found = [abs(apart(turned)) for turned in product([0, 1], repeat=len(people))]
    return np.mean([value >= observed - 1e-12 for value in found])


@given(st.integers(0, 2**31), st.booleans())
@settings(max_examples=25, derandomize=True)
def test_few_users_are_counted_exactly(seed, several):
    rng = np.random.default_rng(seed)
    users = rng.integers(0, 7, 20) if several else np.arange(7)
    a, b = (rng.integers(0, 4, len(users)) / 3 for _ in range(2))  # coarse: many sums are equal
    weights = rng.integers(1, 4, len(users)).astype(float)
    found = permutation_test({"m": a}, {"m": b}, users, weights=weights)
    assert found["m"] == slow(a, b, users, weights)


@pytest.mark.parametrize("users", [8, 60])
def test_equals_scipy_on_one_query_a_user(users):
    rng = np.random.default_rng(users)
    a = rng.normal(size=users)
    b = a + rng.normal(0.1, 0.8, users)
    theirs = stats.permutation_test(
        (b, a), lambda x, y, axis: (x - y).mean(axis), permutation_type="samples", vectorized=True,
        n_resamples=2**users if users < 10 else 50_000, rng=np.random.default_rng(0),
    ).pvalue  # fmt: skip
    ours = permutation_test({"m": a}, {"m": b}, np.arange(users), permutations=50_000)["m"]
    assert 0.01 < theirs < 0.6  # else any p is right
    # Two standard errors of each; exact where all exchanges are counted.
    assert ours == pytest.approx(theirs, abs=1e-12 if users < 10 else 4 * np.sqrt(theirs / 50_000))


def test_p_is_uniform_where_nothing_is_different():
    rng = np.random.default_rng(3)
    a, b = ({str(m): rng.exponential(size=40) for m in range(400)} for _ in range(2))  # 400 experiments
    found = permutation_test(a, b, np.arange(40), permutations=2000)
    p = np.array(list(found.values()))
    assert stats.kstest(p, "uniform").pvalue > 0.05
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.03)


def test_queries_of_one_user_are_exchanged_together():
    # Five users asked 40 times each are five draws. Query by query it would look like certainty.
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(5), 40)
    b = 1 + rng.normal(0, 0.1, 200)
    together = permutation_test({"m": np.zeros(200)}, {"m": b}, users)["m"]
    apart = permutation_test({"m": np.zeros(200)}, {"m": b}, np.arange(200))["m"]
    assert together == 2 / 2**5
    assert apart == 1 / 10_001


def test_a_real_lead_is_found_and_the_smallest_p_is_one_over_the_exchanges_and_one():
    rng = np.random.default_rng(1)
    a = rng.random(200)
    found = permutation_test({"m": a}, {"m": a + rng.normal(0.1, 0.2, 200)}, np.arange(200), permutations=999)
    assert found["m"] == 1 / 1000


def test_metrics_share_their_exchanges_and_blocks_do_not_show(monkeypatch):
    rng = np.random.default_rng(5)
    a, b = ({name: rng.normal(size=30) for name in "xy"} for _ in range(2))
    users = np.arange(30)
    whole = permutation_test(a, b, users, seed=7)
    alone = permutation_test({"x": a["x"]}, {"x": b["x"]}, users, seed=7)
    assert whole["x"] == alone["x"]
    assert permutation_test(b, a, users, seed=7) == whole  # two-sided
    assert permutation_test(a, b, users, seed=8) != whole
    monkeypatch.setattr(module, "_CELLS", 30 * 17)
    small = permutation_test(a, b, users, seed=7)
    assert small["x"] == pytest.approx(whole["x"], abs=0.02)  # blocks draw in another order


def test_users_who_do_not_differ_change_nothing_and_equals_give_1():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=9), rng.normal(size=9)
    few = permutation_test({"m": a}, {"m": b}, np.arange(9))
    same = rng.normal(size=500)
    many = permutation_test(
        {"m": np.append(a, same)}, {"m": np.append(b, same)}, np.arange(509), permutations=1
    )
    assert many == few  # still exact
    assert permutation_test({"m": same}, {"m": same}, np.arange(500)) == {"m": 1.0}


def test_what_one_of_them_cannot_measure_is_left_out():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=8), rng.normal(size=8)
    holes = a.copy(), b.copy()
    holes[0][0] = holes[1][1] = np.nan
    left = permutation_test({"m": a[2:]}, {"m": b[2:]}, np.arange(6))
    assert permutation_test({"m": holes[0]}, {"m": holes[1]}, np.arange(8)) == left
    weights = np.array([0.0, 0, 1, 1, 1, 1, 1, 1])
    assert permutation_test({"m": a}, {"m": b}, np.arange(8), weights=weights) == left
    nothing = permutation_test({"m": a * np.nan}, {"m": b}, np.arange(8))
    assert np.isnan(nothing["m"])
    nobody = permutation_test({"m": a[:0]}, {"m": b[:0]}, np.arange(0))
    assert np.isnan(nobody["m"])


# -- Holm --------------------------------------------------------------------------------------------------


def step_down(p, alpha):
    """Holm's procedure as he wrote it: from the smallest p on, until one is not small enough."""
    rejected = [False] * len(p)
    for i, place in enumerate(np.argsort(p, kind="stable")):
        if p[place] > alpha / (len(p) - i):
            break
        rejected[place] = True
    return rejected


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.001, 0.999))
def test_adjusted_values_reject_what_the_step_down_rejects(p, alpha):
    adjusted = holm(p)
    near = np.abs(adjusted - alpha) < 1e-9  # products and quotients round apart
    assert ((adjusted <= alpha) == step_down(p, alpha))[~near].all()
    assert (adjusted >= np.array(p) - 1e-15).all()
    assert (adjusted <= 1).all()


def test_holm_by_hand():
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.02, np.nan, 0.01]), [0.02, np.nan, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


# -- both --------------------------------------------------------------------------------------------------


def test_a_comparison_says_both_means_their_difference_and_what_follows():
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(60), 2)
    a = {"good": rng.random(120), "same": rng.random(120), "bad": rng.random(120)}
    b = {
        "good": a["good"] + rng.normal(0.2, 0.2, 120),
        "same": a["same"] + rng.normal(0, 0.2, 120),
        "bad": a["bad"] - rng.normal(0.2, 0.2, 120),
    }
    found = {one.metric: one for one in compare_values(a, b, users)}
    assert {name: one.verdict for name, one in found.items()} == {
        "good": "higher",
        "same": "no clear difference",
        "bad": "lower",
    }
    for name, one in found.items():
        assert one.a == pytest.approx(a[name].mean())
        assert one.b == pytest.approx(b[name].mean())
        assert one.difference.value == pytest.approx(one.b - one.a)
        assert one.difference.low < one.difference.value < one.difference.high
        assert (one.difference.users, one.difference.queries) == (60, 120)
    p = permutation_test(a, b, users)
    assert {name: one.p for name, one in found.items()} == p
    np.testing.assert_allclose([one.p_holm for one in found.values()], holm(list(p.values())))
    only = compare_values(a, b, users, metrics=["good"])
    assert [(one.metric, one.p_holm) for one in only] == [("good", p["good"])]


def test_the_correction_takes_back_a_verdict_that_one_of_many_metrics_earned_by_luck():
    rng = np.random.default_rng(2)
    a, b = ({f"m{n}": rng.normal(size=50) for n in range(40)} for _ in range(2))
    found = compare_values(a, b, np.arange(50), resamples=50)
    assert min(one.p for one in found) < 0.05
    assert {one.verdict for one in found} == {"no clear difference"}


def test_too_few_users_can_tell_nothing():
    few = MIN_USERS - 1
    (one,) = compare_values({"m": np.zeros(few)}, {"m": np.ones(few)}, np.arange(few))
    assert one.p < 0.01
    assert one.verdict == "too few users to tell"
    assert one.as_dict()["verdict"] == one.verdict


def test_a_result_compares_its_first_system_with_one_of_the_others():
    rng = np.random.default_rng(4)
    users, low = np.arange(60), rng.random(60)
    high = low + rng.normal(0.2, 0.2, 60)
    asked = Setting("", "test", "cut", "", "seen", exclude_seen=True, cutoffs=(10,))

    def values(one):
        return {"ndcg@10": one, "recall@10": one**2, "n": -one}

    rows = [
        SystemResult(name, dict.fromkeys(("recall@10", "ndcg@10", "n"), Estimate(0.5, 0.4, 0.6)), values(one))
        for name, one in {"new": high, "old": low, "older": high}.items()
    ]
    pair, three = Result(asked, tuple(rows[:2]), users), Result(asked, tuple(rows), users)
    for found in (pair.compare(seed=3), three.compare("old", seed=3)):
        # corrected for what is printed alone, which does not grow with what was measured
        printed = ["ndcg@10", "recall@10"]
        assert found == compare_values(values(low), values(high), users, metrics=printed, seed=3)
    named = pair.compare(metrics=["n", "ndcg@10"])
    assert [(one.metric, one.verdict) for one in named] == [("n", "lower"), ("ndcg@10", "higher")]
    (one,) = three.compare("older", metrics=["n"], permutations=100)
    assert (one.metric, one.p) == ("n", 1.0)
    with pytest.raises(ArgumentError, match="old, older"):
        three.compare()
    with pytest.raises(ArgumentError, match="old, older"):
        three.compare("new")
    with pytest.raises(ArgumentError, match="there is none: evaluate it with against"):
        Result(asked, tuple(rows[:1]), users).compare()


def test_what_cannot_be_compared_is_refused():
    ones, users = np.ones(3), np.arange(3)
    with pytest.raises(ArgumentError, match="did you mean 'ndcg@10'"):
        compare_values({"ndcg@10": ones}, {"ndcg@10": ones}, users, metrics=["ncdg@10"])
    with pytest.raises(ArgumentError, match="every metric once"):
        compare_values({"m": ones}, {"m": ones}, users, metrics=["m", "m"])
    with pytest.raises(ArgumentError, match="at least one metric"):
        compare_values({"m": ones}, {"n": ones}, users)
    with pytest.raises(ArgumentError, match="the same metrics"):
        permutation_test({"m": ones}, {"n": ones}, users)
    with pytest.raises(ArgumentError, match="one value a query"):
        permutation_test({"m": ones}, {"m": np.ones(4)}, users)
    with pytest.raises(ArgumentError, match="at least 1"):
        permutation_test({"m": ones}, {"m": ones}, users, permutations=0)
    for wrong in (10.5, True, "10", float("nan")):
        with pytest.raises(ArgumentError, match=r"permutations=.*an integer of at least 1"):
            permutation_test({"m": ones}, {"m": ones}, users, permutations=wrong)
    for wrong in (-1, 0.5, None):
        with pytest.raises(ArgumentError, match=r"seed=.*an integer of at least 0"):
            permutation_test({"m": ones}, {"m": ones}, users, seed=wrong)
    with pytest.raises(ArgumentError, match="at least 0"):
        permutation_test({"m": ones}, {"m": ones}, users, weights=-ones)
    with pytest.raises(ArgumentError, match=r"\[0, 1\]"):
        holm([0.5, 1.5])


@pytest.mark.parametrize("test", [permutation_test, compare_values])
@pytest.mark.parametrize("wrong", [np.inf, -np.inf])
def test_infinite_values_are_refused_wherever_they_stand(test, wrong):
    ones, users = np.ones(3), np.arange(3)
    holed = np.array([np.nan, 1.0, wrong])
    for a, b, name in ((holed, ones, "a"), (ones, holed, "b"), (holed, holed, "a")):
        with pytest.raises(ArgumentError, match=rf"{name}\['m'\]\[2\]=-?inf: expected a finite number"):
            test({"m": a}, {"m": b}, users)
    with pytest.raises(ArgumentError, match=r"weights\[2\]=inf: expected a finite number"):
        test({"m": ones}, {"m": ones}, users, weights=np.abs([1, 1, wrong]))
