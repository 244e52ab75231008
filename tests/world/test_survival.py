"""How long users stay, by arm."""

import math
from dataclasses import replace

import pytest
import torch

from penchant.errors import ArgumentError
from penchant.world import Churn, Treatment, World, hazard_ratio, simulate, survival
from world.worlds import CHOICES

WORLD = World(users=2_000, items=60, categories=6, days=20, seed=1).without("exposure", "content")


def test_curves_are_those_of_a_log():
    log = simulate(WORLD).users
    days = torch.tensor([0.0, 5.0, 10.0, 15.0, 20.0])
    for treated in (False, True):
        curve = survival(WORLD, days, treated=treated, users=2_000)
        assert curve.share[0] == 1
        assert bool((curve.share.diff() < 0).all())
        arm = log.filter(log["variant"] == int(treated))
        stayed = arm["quit"].fill_null(2**40).to_numpy()
        for n, day in enumerate(days.tolist()[1:], 1):
            share = (stayed > WORLD.start + day * 86_400).mean()
            p = float(curve.share[n])
            error = math.sqrt(p * (1 - p) / len(stayed) + float(curve.error[n]) ** 2)
            assert abs(share - p) < 4 * error, (treated, day)


def test_days_in_any_order_have_the_values_that_they_have_in_order():
    days = torch.tensor([20.0, 10.0, 5.0, 10.0, 0.0])
    ordered = survival(WORLD, days.sort().values, treated=True, users=200)
    asked = survival(WORLD, days, treated=True, users=200)
    assert asked.days.tolist() == days.tolist()
    place = torch.tensor([4, 2, 1, 3, 0])
    assert torch.equal(asked.share, ordered.share[place])
    assert torch.equal(asked.error, ordered.error[place])
    assert asked.share[0] < asked.share[1] < asked.share[2] < asked.share[4] == 1


def test_without_a_path_the_curve_is_closed_form():
    # No mood, no boredom: every session's hazard is 1 - exp(-base), so E prod(1 - h) = E exp(-base sessions).
    world = WORLD.without("satisfaction", "boredom", "treatment").changed({"churn": {"base": 0.05}})
    made = simulate(replace(world, users=4_000, churn=None))
    count = torch.zeros(4_000, dtype=torch.float64)
    user, ended = (torch.from_numpy(c.to_numpy().copy()) for c in (made.log["user"], made.truth["ended"]))
    count.index_add_(0, user, ended.double())
    slow = torch.exp(-0.05 * count)
    curve = survival(world, torch.tensor([20.0]), treated=False, users=4_000)
    error = math.hypot(float(slow.std()) / 4_000**0.5, float(curve.error[0]))
    assert abs(float(slow.mean()) - float(curve.share[0])) < 4 * error


def test_hazard_ratios():
    null = replace(WORLD, treatment=Treatment(satisfaction=0.0, click=0.0, hazard=0.0))
    assert hazard_ratio(null, users=300) == pytest.approx((1.0, 1.0))
    direct = WORLD.without("satisfaction", "boredom")
    direct = replace(direct, churn=Churn(base=0.01), treatment=Treatment(satisfaction=0.0, hazard=0.7))
    found = hazard_ratio(direct, users=1_000)
    assert found.direct == pytest.approx(math.exp(0.7))
    assert found.total == pytest.approx(math.exp(0.7), rel=0.05)  # frailty bends the ratio of means a little
    through = replace(WORLD, treatment=Treatment(satisfaction=1.0, click=0.0, hazard=0.0))
    found = hazard_ratio(through, users=1_000)
    assert found.direct == 1
    assert found.total < 0.9


def test_what_cannot_be_asked():
    with pytest.raises(ArgumentError, match="churn"):
        survival(CHOICES.without("churn"), torch.tensor([1.0]), treated=True)
    with pytest.raises(ArgumentError, match="treatment"):
        hazard_ratio(CHOICES.without("treatment"))
    for days in ([21.0], [-1.0], [math.nan], 3.0, [[1.0]]):
        with pytest.raises(ArgumentError, match="days from 0 to 15"):
            survival(CHOICES, torch.tensor(days), treated=True)
    for users in (1, 0, -3, 2.5):
        with pytest.raises(ArgumentError, match=r"users=.*an integer of at least 2"):
            survival(CHOICES, torch.tensor([1.0]), treated=True, users=users)
        with pytest.raises(ArgumentError, match=r"users=.*an integer of at least 2"):
            hazard_ratio(CHOICES, users=users)
