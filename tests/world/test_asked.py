"""What the step API refuses: it would be the truth about something else."""

import math
from dataclasses import replace

import pytest
import torch

from penchant.errors import ArgumentError
from penchant.world import LoggingPolicy
from world.worlds import CHOICES, SMALL

SIZE = 4


@pytest.fixture
def crowd():
    return SMALL.begin(torch.arange(SIZE))


@pytest.fixture
def shown(crowd):
    return LoggingPolicy(crowd).show().items


def questions(crowd):
    """Everything that takes items."""
    policy = LoggingPolicy(crowd)
    return [
        crowd.choice_probability, crowd.click_probability, crowd.satisfaction_probability, crowd.terms,
        crowd.respond, lambda items: crowd.absorb(items, items > 0, items > 0),
        policy.probability, policy.propensity,
    ]  # fmt: skip


@pytest.mark.parametrize("question", range(8))
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda items: items.index_fill(1, torch.tensor([2]), -1), r"items\[0, 2\]=-1: .* from 0 to 199"),
        (lambda items: items.index_fill(0, torch.tensor([1]), 10**6), r"items\[1, 0\]=1000000"),
        (lambda items: items.index_fill(1, torch.tensor([4]), SMALL.items), r"items\[0, 4\]=200"),
        (lambda items: items[:3], r"items=\[3, 5\]: expected the shape \[4, any\]"),
        (lambda items: torch.cat([items, items]), r"items=\[8, 5\]"),
        (lambda items: items[:1], r"items=\[1, 5\]"),
        (lambda items: items[:, 0], r"items=\[4\]"),
        (lambda items: items.double(), r"torch.float64.*a tensor of integers"),
        (lambda items: items > 5, r"torch.bool.*a tensor of integers"),
        (lambda items: items.tolist(), r"items='list': expected a tensor of integers"),
    ],
    ids=["-1", "10**6", "one too far", "3 of 4", "8 of 4", "1 of 4", "flat", "float", "bool", "list"],
)
def test_items_are_items_a_row_a_user(crowd, shown, question, wrong, message):
    ask = questions(crowd)[question]
    given = wrong(shown)
    before = crowd.take(torch.arange(SIZE))
    with pytest.raises(ArgumentError, match=message):
        ask(given) if isinstance(given, torch.Tensor) or question != 5 else crowd.absorb(given, shown, shown)
    for name in ("recent", "count", "mood", "last"):
        assert torch.equal(getattr(crowd, name), getattr(before, name))


def test_a_list_holds_born_items_once_each(crowd, shown):
    policy = LoggingPolicy(crowd)
    unborn = int((SMALL.catalogue.born > crowd.day.max()).nonzero()[0])
    early, twice = shown.clone(), shown.clone()
    early[2, 1] = unborn
    twice[3, [0, 2, 4]] = shown[3, 2]
    for ask in (crowd.respond, policy.propensity):
        with pytest.raises(ArgumentError, match=rf"items\[2, 1\]={unborn}: expected items that are born"):
            ask(early)
        with pytest.raises(ArgumentError, match=r"items\[3, 2\]=.*every item once a list"):
            ask(twice)
    # Asked about, but not shown, it may be.
    assert (crowd.click_probability(early) > 0).all()
    assert crowd.choice_probability(early)[2, 1] == 0
    assert policy.probability(early)[2, 1] == 0
    late = replace(crowd, time=torch.full_like(crowd.time, SMALL.days * 86_400 - 1), _levels=None)
    late.respond(early)


def test_what_was_clicked_is_said_of_every_item(crowd, shown):
    yes = torch.ones_like(shown, dtype=torch.bool)
    for click, satisfied, message in (
        (yes[:, :2], yes, r"click=\[4, 2\]: expected the shape \[4, 5\]"),
        (yes, yes[:1], r"satisfied=\[1, 5\]"),
        (shown, yes, r"click='torch.int64': expected a tensor of booleans"),
        (yes, None, r"satisfied='NoneType'"),
    ):
        with pytest.raises(ArgumentError, match=message):
            crowd.absorb(shown, click, satisfied)


def test_users_have_numbers():
    for users, message in (
        (torch.tensor([0, -1]), r"users\[1\]=-1: expected an integer of at least 0"),
        (torch.tensor([0.5]), "a tensor of integers"),
        (torch.tensor([[1]]), r"users=\[1, 1\]: expected the shape \[any\]"),
        ([1, 2], "users='list'"),
    ):
        with pytest.raises(ArgumentError, match=message):
            SMALL.begin(users)
        with pytest.raises(ArgumentError, match=message):
            SMALL.interests_of(users, 1.0)
    assert len(SMALL.begin(torch.arange(0))) == 0


def test_truth_is_asked_at_moments_that_there_are():
    users = torch.arange(3)
    for at in (math.nan, math.inf, torch.tensor([0.0, math.nan, 1.0]), torch.zeros(2), torch.zeros(1, 3)):
        with pytest.raises(ArgumentError, match=r"at=.*a finite number of days, or 3 of them"):
            SMALL.interests_of(users, at)
    for at in (-1, SMALL.days + 1, math.nan):
        with pytest.raises(ArgumentError, match=r"at=.*of at least 0 and at most 15"):
            CHOICES.item_probability(at)
    assert CHOICES.item_probability(0).sum() == pytest.approx(1)
    for ranks in (-3, 0, 2.5, True):
        with pytest.raises(ArgumentError, match=r"ranks=.*an integer of at least 1"):
            SMALL.semantic_map(ranks)
    for age in (-1.0, math.nan):
        with pytest.raises(ArgumentError, match=r"age=.*a finite number of at least 0"):
            SMALL.semantic_map(3, age=age)
