"""The step API beside one user in plain Python, and what an environment needs of it."""

from dataclasses import replace

import pytest
import torch
from torch import Generator

from penchant.errors import ArgumentError
from penchant.world import LoggingPolicy, replay, simulate
from world.obvious import DAY, OneUser
from world.worlds import CHOICES, FLAT, SMALL

SHORT = replace(SMALL, users=3, items=40, categories=5, days=8)
ALONE = [
    SHORT,
    SHORT.without("exposure"),
    SHORT.without("interests", "sequels", "content"),
    SHORT.without("semantic", "popularity", "treatment"),
    SHORT.without("boredom", "births", "satisfaction"),
    SHORT.without("exposure", "semantic", "births"),
    SHORT.without("exposure", "boredom", "churn", "satisfaction"),
]


@pytest.mark.parametrize("world", ALONE, ids=lambda w: f"without {sorted(set(SHORT.effects) - {*w.effects})}")
def test_every_probability_is_that_of_the_obvious_version(world):
    made = simulate(world)
    slots = 1 if world.exposure is None else world.exposure.slots
    again = replay(world, made)
    assert made.log.height > 20 * slots
    row = 0
    for user, requests in made.users.select("user", "requests").iter_rows():
        one = OneUser(world, user)
        assert one.treated == made.users["variant"][user]
        for _ in range(requests):
            rows = made.log[row : row + slots]
            truth = again[row : row + slots]
            t = (rows["time"][0] - world.start) / DAY
            items = rows["item"].to_list()
            if world.exposure is None:
                expected = [one.choice(t)[items[0]]]
            else:
                expected = one.click(t, items)
                q, gone = one.logging(t), 0.0
                for item, propensity in zip(items, rows["propensity"]):
                    assert propensity == pytest.approx(q[item] / (1 - gone), rel=1e-6)
                    gone += q[item]
            assert truth["probability"].to_list() == pytest.approx(expected, abs=1e-9)
            happy = [one.satisfaction(t, item) for item in items]
            assert truth["satisfaction"].to_list() == pytest.approx(happy, abs=1e-9)
            assert made.truth["mood"][row] == pytest.approx(one.mood, abs=1e-6)
            clicks = rows["click"] if slots > 1 else [1]
            one.take(t, items, clicks, rows["satisfied"])
            hazard = one.hazard(t) if made.truth["ended"][row] else 0.0
            assert truth["hazard"][0] == pytest.approx(hazard, abs=1e-9)
            row += slots


@pytest.mark.parametrize("world", [SMALL, CHOICES])
def test_what_was_recorded_is_what_a_replay_finds(world):
    made = simulate(world)
    again = replay(world, made)
    for name in again.columns:
        torch.testing.assert_close(
            torch.tensor(made.truth[name].to_numpy()).double(),
            torch.tensor(again[name].to_numpy()),
            rtol=1e-6,
            atol=1e-7,
        )


def walked(world, steps=6, users=40):
    """Users some requests on."""
    crowd = world.begin(torch.arange(users))
    for _ in range(steps):
        if world.exposure is None:
            crowd.choose()
        else:
            crowd.respond(LoggingPolicy(crowd).show().items)
        crowd.advance(immortal=True)
    return crowd


def test_choice_probabilities_sum_to_1_over_the_born_items():
    crowd = walked(CHOICES)
    everything = torch.arange(CHOICES.items).expand(len(crowd), -1)
    p = crowd.choice_probability(everything)
    torch.testing.assert_close(p.sum(1), torch.ones(len(crowd), dtype=torch.float64))
    unborn = CHOICES.catalogue.born.unsqueeze(0) > crowd.day.unsqueeze(1)
    assert unborn.any()
    assert bool((p[unborn] == 0).all())
    assert bool((p >= 0).all())


def test_choices_come_as_often_as_their_probability_says():
    crowd = walked(CHOICES, users=1)
    many = crowd.take(torch.zeros(60_000, dtype=torch.int64))
    p = crowd.choice_probability(torch.arange(CHOICES.items).unsqueeze(0))[0]
    chosen = many.choose(Generator().manual_seed(0))
    torch.testing.assert_close(chosen.probability, p[chosen.items])
    counts = torch.bincount(chosen.items, minlength=CHOICES.items).double()
    often = p * 60_000 > 10
    z = (counts - 60_000 * p)[often] / (60_000 * p * (1 - p))[often].sqrt()
    assert int(often.sum()) > 20
    assert float(z.abs().max()) < 4.5


def test_the_terms_of_the_utility_add_up():
    crowd = walked(SMALL)
    items = LoggingPolicy(crowd).show().items
    utility = SMALL.exposure.base + sum(crowd.terms(items).values())
    p = torch.sigmoid(utility) * SMALL.exposure.examined(items.shape[1])
    torch.testing.assert_close(crowd.click_probability(items), p)
    assert list(crowd.terms(items)) == [
        "interests",
        "semantic",
        "boredom",
        "popularity",
        "sequels",
        "treatment",
    ]


def test_a_past_event_moves_the_log_odds_by_the_semantic_map():
    world = replace(SMALL, births=None).without("boredom", "sequels", "satisfaction", "content")
    crowd, twin = world.begin(torch.tensor([4])), world.begin(torch.tensor([4]))
    main = world.catalogue.main
    same = (main == main[0]).nonzero().squeeze(1)[:2]
    different = (main != main[0]).nonzero().squeeze(1)[:1]
    target = same[1].view(1, 1)
    for first, row in ((different, 0), (same[:1], 1)):
        a, b = crowd.take(torch.tensor([0])), twin.take(torch.tensor([0]))
        click, no = torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 1, dtype=torch.bool)
        a.absorb(first.view(1, 1), click, no)
        b.absorb(first.view(1, 1), no, no)
        later = a.time + 2 * DAY
        a.move(later)
        b.move(later)
        gained = (a.terms(target)["semantic"] - b.terms(target)["semantic"]).item()
        assert gained == pytest.approx(world.semantic_map(3, age=2.0)[row, 0].item(), abs=1e-12)


def test_an_environment_draws_from_the_generator_that_it_is_given():
    def episode(seed):
        g, crowd, seen = Generator().manual_seed(seed), SMALL.begin(torch.arange(30)), []
        for _ in range(4):
            items = LoggingPolicy(crowd).show(g).items
            seen.append(torch.cat([items, crowd.respond(items, g).click.long()], 1))
            crowd.advance(g)
        return torch.cat(seen), crowd.time

    for one, two in zip(episode(0), episode(0)):
        assert torch.equal(one, two)
    assert not torch.equal(episode(0)[0], episode(1)[0])


def test_common_random_numbers_do_not_depend_on_the_company():
    together, alone = walked(SMALL), SMALL.begin(torch.tensor([17]))
    for _ in range(6):
        alone.respond(LoggingPolicy(alone).show().items)
        alone.advance(immortal=True)
    for name in ("time", "recent", "count", "mood", "last"):
        assert torch.equal(getattr(together, name)[17:18], getattr(alone, name))


def test_quitting_and_the_horizon_are_two_things():
    world = SMALL.changed({"churn": {"base": 0.2}, "days": 12})
    crowd = world.begin(torch.arange(300))
    quit_at, cut = torch.zeros(300, dtype=torch.bool), torch.zeros(300, dtype=torch.bool)
    for _ in range(400):
        if not crowd.active.any():
            break
        before = crowd.active
        crowd.respond(LoggingPolicy(crowd).show().items)
        moved = crowd.advance()
        assert not bool((moved.quit & moved.truncated).any())
        assert not bool((moved.quit & ~moved.ended).any())
        quit_at |= before & moved.quit
        cut |= before & moved.truncated
    assert bool((quit_at ^ cut).all())
    assert 0 < int(quit_at.sum()) < 300


def test_bored_users_click_less_and_quit_more():
    crowd, item = SMALL.begin(torch.arange(50)), torch.full((50, 1), 3)
    fresh, safe = crowd.click_probability(item), crowd.quit_hazard()
    for _ in range(20):
        crowd.absorb(item, torch.ones_like(item, dtype=torch.bool), torch.zeros_like(item, dtype=torch.bool))
    tired = SMALL.boredom.strength * 20 / 25  # levels n / (n + 5)
    assert crowd.terms(item)["boredom"].min().item() >= -tired - 1e-9
    without = crowd.world.without("semantic", "sequels")
    calm = replace(crowd, world=without, _levels=None)
    assert bool((calm.click_probability(item) < fresh).all())
    assert bool((crowd.quit_hazard() > safe).all())


def test_a_flat_world_is_one_popularity_law_for_everybody():
    crowd = walked(FLAT)
    p = crowd.choice_probability(torch.arange(FLAT.items).expand(len(crowd), -1))
    torch.testing.assert_close(p, FLAT.item_probability(3.0).expand_as(p))
    assert bool((FLAT.semantic_map(10) == 0).all())
    weights = FLAT.interests_of(torch.arange(9), at=torch.linspace(0, 14, 9))
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / FLAT.categories))


def test_without_exposures_nobody_clicks():
    crowd = CHOICES.begin(torch.arange(3))
    with pytest.raises(ArgumentError, match="exposures"):
        crowd.click_probability(torch.zeros(3, 2, dtype=torch.int64))
    with pytest.raises(ArgumentError, match="exposures"):
        LoggingPolicy(crowd)
