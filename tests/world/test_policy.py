"""Lists of the logging policy and their propensities."""

import itertools

import torch
from torch import Generator

from penchant.world import Exposure, Interests, LoggingPolicy, World, simulate
from world.worlds import SMALL

TINY = World(
    users=4, items=7, categories=3, days=10, births=None, interests=Interests(count=1),
    exposure=Exposure(slots=3, explore=0.1, skill=1.0),
)  # fmt: skip


def test_the_policy_sums_to_1_over_the_born_items():
    crowd = SMALL.begin(torch.arange(60))
    q = LoggingPolicy(crowd).probability(torch.arange(SMALL.items).expand(60, -1))
    torch.testing.assert_close(q.sum(1), torch.ones(60, dtype=torch.float64))
    born = SMALL.catalogue.born.unsqueeze(0) <= crowd.day.unsqueeze(1)
    assert bool((q[~born] == 0).all())
    assert float(q[born].min()) >= SMALL.exposure.explore / SMALL.items


def test_the_propensities_of_every_slot_sum_to_1_over_what_is_left():
    policy = LoggingPolicy(TINY.begin(torch.arange(4)))
    for before in ((), (2,), (5, 0)):
        rest = [i for i in range(7) if i not in before]
        lists = torch.tensor([[*before, i] for i in rest])
        total = sum(policy.propensity(row.expand(4, -1))[:, -1] for row in lists)
        torch.testing.assert_close(total, torch.ones(4, dtype=torch.float64))


def test_lists_are_drawn_as_often_as_their_propensities_say():
    crowd = TINY.begin(torch.tensor([1]))
    count = 200_000
    many = crowd.take(torch.zeros(count, dtype=torch.int64))
    shown = LoggingPolicy(many).show(Generator().manual_seed(0))
    lists = torch.tensor(list(itertools.permutations(range(7), 3)))
    chance = LoggingPolicy(crowd.take(torch.zeros(len(lists), dtype=torch.int64))).propensity(lists).prod(1)
    torch.testing.assert_close(chance.sum(), torch.ones((), dtype=torch.float64))
    code = torch.tensor([49, 7, 1])
    counts = torch.bincount((shown.items * code).sum(1), minlength=343)[(lists * code).sum(1)].double()
    assert int(counts.sum()) == count
    often = count * chance > 10
    z = (counts - count * chance)[often] / (count * chance * (1 - chance))[often].sqrt()
    assert int(often.sum()) > 150
    assert float(z.abs().max()) < 4.5
    assert abs(float(z.square().mean()) - 1) < 0.5


def test_no_list_holds_an_item_twice_or_one_that_is_not_born():
    made = simulate(SMALL)
    lists = torch.from_numpy(made.log["item"].to_numpy().copy()).view(-1, 5).long()
    assert bool((lists.sort(1).values.diff(dim=1) > 0).all())
    day = torch.from_numpy((made.log["time"].to_numpy() - SMALL.start) // 86_400).view(-1, 5)
    assert bool((SMALL.catalogue.born[lists] <= day).all())
    assert made.log["position"].to_list()[:7] == [0, 1, 2, 3, 4, 0, 1]
    assert bool(((made.log["propensity"] > 0) & (made.log["propensity"] <= 1)).all())


def test_a_policy_without_skill_is_popularity():
    world = SMALL.changed({"exposure": {"skill": 0.0, "explore": 0.5}})
    crowd = world.begin(torch.arange(3))
    q = LoggingPolicy(crowd).probability(torch.arange(SMALL.items).expand(3, -1))
    for row, d in zip(q, crowd.day.tolist()):
        born = world.catalogue.born <= d
        expected = 0.5 * world.item_probability(float(d)) + 0.5 * born / int(born.sum())
        torch.testing.assert_close(row, expected)
