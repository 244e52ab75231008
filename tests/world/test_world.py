"""A world said whole: its settings, its items, and the truths that need no path."""

import math
from dataclasses import replace

import pytest
import torch

from penchant.errors import ArgumentError
from penchant.world import EFFECTS, Births, Boredom, Interests, SemanticTemporal, World
from world.obvious import OneUser
from world.worlds import CHOICES, SMALL


@pytest.mark.parametrize(
    "world",
    [
        World(),
        CHOICES,
        SMALL.without(*EFFECTS),
        SMALL.changed({"sessions": {"gap": 0.5}, "semantic": {"rank": 0.5}, "seed": -4}),
    ],
    ids=["default", "choices", "bare", "changed"],
)
def test_json_brings_back_the_same_world(world):
    assert World.from_json(world.to_json()) == world


def test_changes_keep_what_they_do_not_name():
    world = SMALL.changed({"boredom": {"strength": 0.5}, "exposure": None, "days": 7})
    assert world == replace(SMALL, boredom=replace(SMALL.boredom, strength=0.5), exposure=None, days=7)
    assert SMALL.without("boredom").changed({"boredom": {"events": 2}}).boredom == Boredom(events=2)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"users": 0}, "users=0: expected an integer of at least 1"),
        ({"days": 1.5}, "days=1.5"),
        ({"items": 5, "categories": 9}, "categories=9: expected an integer of at least 1 and at most 5"),
        ({"categories": 3}, "interests.count=4: expected at most 3 categories"),
        (
            {"items": 30, "categories": 4, "exposure": {"slots": 31}},
            "exposure.slots=31: expected at most the",
        ),
        ({"boredom": {"strength": -1}}, "boredom.strength=-1: expected a finite number of at least 0"),
        ({"boredom": {"half_life": 0}}, "boredom.half_life=0: expected a finite number above 0"),
        ({"semantic": {"rank": 1}}, "semantic.rank=1: expected a finite number of at least 0 and below 1"),
        ({"churn": {"base": float("nan")}}, "churn.base=nan"),
        ({"treatment": {"share": True}}, "treatment.share=True"),
        ({"exposure": {"explore": 0}}, "exposure.explore=0: expected a finite number above 0 and at most 1"),
        ({"boredom": {"strenth": 1}}, "did you mean 'strength'"),
        ({"bordom": None}, "did you mean 'boredom'"),
        ({"boredom": 3}, "boredom=3: expected Boredom(...) or None"),
        ({"sessions": None}, "sessions=None: expected Sessions(...)"),
    ],
)
def test_what_cannot_be_is_refused_by_name(settings, told):
    with pytest.raises(ArgumentError) as raised:
        World().changed(settings)
    assert told in str(raised.value)


def test_an_unknown_effect_and_a_broken_file_are_told():
    with pytest.raises(ArgumentError, match="did you mean 'sequels'"):
        SMALL.without("sequel")
    for text in ("{", "[]", '{"format": 99}', '{"users": 3}'):
        with pytest.raises(ArgumentError):
            World.from_json(text)


def test_interests_are_a_closed_form_of_time():
    world = replace(SMALL, interests=Interests(change=0.5, period=5.0))
    users, at = torch.arange(20), torch.linspace(0, 14.5, 20, dtype=torch.float64)
    found = world.interests_of(users, at)
    torch.testing.assert_close(found.sum(1), torch.ones(20, dtype=torch.float64))
    for u, t, row in zip(users.tolist(), at.tolist(), found.tolist()):
        logs = [math.exp(x) for x in OneUser(world, u).interest(t)]
        assert row == pytest.approx([x / sum(logs) for x in logs], abs=1e-12)


def test_interests_drift_and_some_change_for_good():
    still = replace(SMALL, interests=Interests(drift=0.0, change=0.0))
    moving = replace(SMALL, interests=Interests(drift=0.0, change=0.5))
    users = torch.arange(2_000)
    begin, end = (still.interests_of(users, t) for t in (0.0, 14.0))
    torch.testing.assert_close(begin, end)
    torch.testing.assert_close(moving.interests_of(users, 0.0), begin)  # one draw does not move another
    changed = (moving.interests_of(users, 15.0) != moving.interests_of(users, 0.0)).any(1).double().mean()
    assert abs(float(changed) - 0.5) < 4 * (0.25 / 2_000) ** 0.5
    base = SMALL.begin(users).who.base
    liked = base > SMALL.interests.liking / 2  # four standard deviations of `spread` from either side
    assert abs(float(liked.sum(1).double().mean()) - SMALL.interests.count) < 0.01
    share = liked.double().mean(0)  # every category is a favourite as often
    p = SMALL.interests.count / SMALL.categories
    assert float((share - p).abs().max()) < 4 * (p * (1 - p) / 2_000) ** 0.5


def test_the_semantic_map_is_the_kernel():
    effect = SemanticTemporal(strength=2.0, rank=0.5, age=4.0)
    world = replace(SMALL, semantic=effect)
    found = world.semantic_map(6, age=2.0)
    expected = [2.0 * 0.5 * 0.5 ** (r - 1) * math.exp(-0.5) for r in range(1, 7)]
    assert found[1].tolist() == pytest.approx(expected)
    assert not found[0].any()
    assert effect.kernel(torch.arange(1, 200), torch.zeros(199)).sum().item() == pytest.approx(2.0)


def test_every_item_has_its_place():
    world = World(users=1, items=600, categories=12, days=40, births=Births(share=0.3))
    c = world.catalogue
    assert torch.equal(c.sequel.sort().values, torch.arange(600))
    assert torch.equal(c.main[c.sequel], c.main)
    item, steps = 0, 0
    while steps == 0 or item != 0:  # one cycle through the whole category
        item, steps = int(c.sequel[item]), steps + 1
    assert steps == int((c.main == c.main[0]).sum())
    assert bool(((c.share == 1) == (c.main == c.other)).all())
    two = float((c.share < 1).double().mean())
    assert abs(two - world.content.second) < 0.06
    late = float((c.born > 0).double().mean())
    assert abs(late - 0.3) < 0.08
    for day in (0, 20, 39):
        there = (c.born <= day).double()
        assert int(c.alive[day]) == int(there.sum())
        mass = torch.zeros(12, dtype=torch.float64)
        mass.index_add_(0, c.main, there * c.share * c.weight)
        mass.index_add_(0, c.other, there * (1 - c.share) * c.weight)
        torch.testing.assert_close(c.mass[day], mass)
        assert bool((mass > 0).all())


def test_popularity_falls_like_a_power():
    world = World(users=1, items=500, popularity=World().popularity)
    logs = world.catalogue.weight.log().sort(descending=True).values
    ranks = torch.arange(1, 501).double().log()
    torch.testing.assert_close(logs, -0.8 * ranks)


def test_the_item_table_reads():
    table = SMALL.item_table()
    assert table.columns == ["item", "title", "category", "born", "stars", "vector"]
    title, category = table.row(17)[1:3]
    assert title == f"{category.split('|')[0]} 17"
    assert table["category"].str.contains("|", literal=True).sum() > 10
    assert "vector" not in SMALL.without("content").item_table().columns
    names = World(users=1, items=100, categories=70).category_names
    assert len(set(names)) == 70
    assert names[32] == "drama 2"


def test_an_effect_that_is_off_moves_no_other_ones_draws():
    with_all, without = SMALL.catalogue, SMALL.without("births", "content", "popularity").catalogue
    assert torch.equal(with_all.main, without.main)
    assert torch.equal(with_all.sequel, without.sequel)
    one, two = (w.begin(torch.arange(50)).who for w in (SMALL, SMALL.without("treatment", "boredom")))
    for name in ("base", "phase", "gap", "change"):
        assert torch.equal(getattr(one, name), getattr(two, name))
