import numpy as np
import pytest
import torch

from penchant.evaluation import exposure_gini, item_coverage
from penchant.evaluation.catalogue import used
from penchant.evaluation.result import Setting

ITEMS, LENGTH = 60, 4
SETTING = Setting("made up", "test", "each", "order", "seen", exclude_seen=True, cutoffs=(LENGTH,))
ALLOWED = torch.arange(ITEMS + 1) > 0
METRICS = {f"item_coverage@{LENGTH}": item_coverage, f"exposure_gini@{LENGTH}": exposure_gini}


def lists(users, steepness, rng):
    """One list a user, of items whose popularity falls with their number."""
    taste = -steepness * np.log(np.arange(1, ITEMS + 1))
    return torch.from_numpy(np.argsort(-taste - rng.gumbel(size=(users, ITEMS)), 1)[:, :LENGTH] + 1)


def test_values_and_leads_are_those_of_the_plain_metrics():
    rng = np.random.default_rng(0)
    shown = {"a": lists(40, 1.5, rng), "b": lists(40, 0.3, rng)}
    means, leads = used(shown, np.arange(40) // 2, ALLOWED, SETTING)
    assert list(leads) == ["b"]
    for name, metric in METRICS.items():
        a, b = (metric(found, ALLOWED) for found in shown.values())
        assert (means["a"][name].value, means["b"][name].value) == pytest.approx((a, b))
        assert leads["b"][name].value == pytest.approx(a - b)
        assert means["a"][name].low < a < means["a"][name].high
        assert leads["b"][name].clear


def test_the_jackknife_is_the_obvious_one():
    """As many groups as users: each is left out, with all of their lists."""
    rng = np.random.default_rng(1)
    shown, users = lists(40, 1.0, rng), np.arange(40) % 25
    means, _ = used({"a": shown}, users, ALLOWED, SETTING)
    for name, metric in METRICS.items():
        without = np.array([metric(shown[users != user], ALLOWED) for user in range(25)])
        error = np.sqrt(24 / 25 * ((without - without.mean()) ** 2).sum())
        assert means["a"][name].high - means["a"][name].value == pytest.approx(1.959964 * error)


def test_intervals_hold_what_as_many_users_cover_and_resampling_them_would_not():
    rng, users, runs = np.random.default_rng(2), 30, 60
    pairs = [(lists(users, 1.2, rng), lists(users, 0.9, rng)) for _ in range(runs)]
    for name, metric in METRICS.items():
        truth = np.mean([[metric(a, ALLOWED), metric(b, ALLOWED)] for a, b in pairs], 0)
        held, apart, resampled = 0, 0, 0
        for a, b in pairs:
            means, leads = used({"a": a, "b": b}, np.arange(users), ALLOWED, SETTING)
            held += means["a"][name].low <= truth[0] <= means["a"][name].high
            apart += leads["b"][name].low <= truth[0] - truth[1] <= leads["b"][name].high
            drawn = [metric(a[rng.integers(users, size=users)], ALLOWED) for _ in range(40)]
            low, high = np.quantile(drawn, [0.025, 0.975])
            resampled += low <= truth[0] <= high
        assert held / runs > 0.9
        assert apart / runs > 0.9
        assert resampled / runs < 0.5


def test_a_system_leads_itself_by_nothing_and_one_user_tells_nothing():
    shown = lists(30, 1.0, np.random.default_rng(3))
    lead = used({"a": shown, "b": shown}, np.arange(30), ALLOWED, SETTING)[1]["b"]
    assert all((e.value, e.low, e.high) == (0, 0, 0) for e in lead.values())
    means, _ = used({"a": shown}, np.zeros(30, dtype=np.int64), ALLOWED, SETTING)
    assert all(np.isfinite(e.value) and np.isnan(e.low) for e in means["a"].values())


def test_many_users_are_left_out_in_groups():
    shown = lists(2_000, 1.0, np.random.default_rng(4))
    means, _ = used({"a": shown}, np.arange(2_000), ALLOWED, SETTING)
    gini = means["a"][f"exposure_gini@{LENGTH}"]
    single = _one_by_one(shown)
    assert (gini.high - gini.low) / 2 == pytest.approx(single, rel=0.15)  # 200 groups leave 5 % to chance


def _one_by_one(shown):
    without = np.array(
        [exposure_gini(torch.cat([shown[:u], shown[u + 1 :]]), ALLOWED) for u in range(len(shown))]
    )
    n = len(without)
    return 1.959964 * np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
