import numpy as np
import pytest
import torch

from logs import random_log
from penchant.data import split_leave_last
from penchant.evaluation import evaluate, exposure_gini, item_coverage, personalisation
from penchant.evaluation.catalogue import used
from penchant.evaluation.result import Setting
from penchant.retrieve import EASE, Popularity
from penchant.train import fit

ITEMS, LENGTH = 60, 4
SETTING = Setting("made up", "test", "each", "order", "seen", exclude_seen=True, cutoffs=(LENGTH,))
ALLOWED = torch.arange(ITEMS + 1) > 0
METRICS = {
    f"item_coverage@{LENGTH}": lambda lists, users: item_coverage(lists, ALLOWED),
    f"exposure_gini@{LENGTH}": lambda lists, users: exposure_gini(lists, ALLOWED),
    f"personalisation@{LENGTH}": personalisation,
}


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
        a, b = (metric(found, np.arange(40) // 2) for found in shown.values())
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
        without = np.array([metric(shown[users != u], users[users != u]) for u in range(25)])
        error = np.sqrt(24 / 25 * ((without - without.mean()) ** 2).sum())
        assert means["a"][name].high - means["a"][name].value == pytest.approx(1.959964 * error)


def test_groups_of_unequal_size_are_no_news():
    """300 users in 200 groups, of one or of two; everybody is shown four items of their own."""
    own = torch.arange(1200).reshape(300, 4) + 1
    means, _ = used({"a": own}, np.arange(300), torch.arange(2001) > 0, SETTING)
    found = means["a"][f"item_coverage@{LENGTH}"]
    assert found.value == pytest.approx(1200 / 2000)
    # every user brings as much as any other, so nothing is left to chance
    assert found.high - found.low < 0.002


def test_intervals_hold_what_as_many_users_cover_and_resampling_them_would_not():
    rng, users, runs = np.random.default_rng(2), 30, 60
    pairs = [(lists(users, 1.2, rng), lists(users, 0.9, rng)) for _ in range(runs)]
    for name, metric in METRICS.items():
        whole = np.arange(users)
        truth = np.mean([[metric(a, whole), metric(b, whole)] for a, b in pairs], 0)
        held, apart, resampled = 0, 0, 0
        for a, b in pairs:
            means, leads = used({"a": a, "b": b}, np.arange(users), ALLOWED, SETTING)
            held += means["a"][name].low <= truth[0] <= means["a"][name].high
            apart += leads["b"][name].low <= truth[0] - truth[1] <= leads["b"][name].high
            draws = [rng.integers(users, size=users) for _ in range(40)]
            drawn = [metric(a[draw], whole) for draw in draws]  # who was drawn twice is two users
            low, high = np.quantile(drawn, [0.025, 0.975])
            resampled += low <= truth[0] <= high
        assert held / runs > 0.9
        assert apart / runs > 0.9
        if not name.startswith(
            "personalisation"
        ):  # a mean over pairs: resampling shifts it by 1 / users only
            assert resampled / runs < 0.5


def test_a_system_leads_itself_by_nothing_and_one_user_tells_nothing():
    shown = lists(30, 1.0, np.random.default_rng(3))
    lead = used({"a": shown, "b": shown}, np.arange(30), ALLOWED, SETTING)[1]["b"]
    assert all((e.value, e.low, e.high) == (0, 0, 0) for e in lead.values())
    means, _ = used({"a": shown}, np.zeros(30, dtype=np.int64), ALLOWED, SETTING)
    assert all(np.isnan(e.low) for e in means["a"].values())
    finite = [name.split("@")[0] for name, e in means["a"].items() if np.isfinite(e.value)]
    assert finite == ["item_coverage", "exposure_gini"]  # nobody to be unlike to


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


def test_evaluate_gives_personalisation_and_serendipity_with_intervals_and_leads():
    split = split_leave_last(random_log(40, 30, taste=0.9))
    popular, ease = (fit(kind(split.log.features), split) for kind in (Popularity, EASE))
    first, second = evaluate(ease, split.test, against=[popular], exclude_seen=False, bootstrap=50).systems
    assert second.metrics["personalisation@10"].value == pytest.approx(0, abs=1e-12)  # one list for all
    assert second.metrics["serendipity@10"].value < 0.2 * first.metrics["serendipity@10"].value
    for name in ("personalisation@10", "serendipity@10"):
        mine, lead = first.metrics[name], second.difference[name]
        assert mine.low < mine.value < mine.high
        assert lead.value == pytest.approx(mine.value - second.metrics[name].value)
        assert lead.clear
