import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from logs import log_of, random_log
from penchant.data import Popularity, Seen, Uniform, draw_unseen, split_leave_last
from penchant.data.negatives import _alias_table
from penchant.errors import ArgumentError


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=60), st.sampled_from([0.3, 0.75, 1.0]))
def test_the_alias_table_draws_every_item_with_exactly_its_probability(counts, alpha):
    weight = torch.tensor(counts).double() ** alpha
    probability = weight / weight.sum()
    keep, alias = _alias_table(probability)
    assert ((keep >= -1e-9) & (keep <= 1 + 1e-9)).all()
    drawn = keep / len(keep)
    drawn.index_add_(0, alias, (1 - keep) / len(keep))
    torch.testing.assert_close(drawn, probability, rtol=0, atol=1e-9)


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=40))
def test_the_alias_table_is_exact_for_the_wildest_weights(weights):
    probability = torch.tensor(weights, dtype=torch.float64)
    probability /= probability.sum()
    keep, alias = _alias_table(probability)
    drawn = (keep / len(keep)).index_add(0, alias, (1 - keep) / len(keep))
    torch.testing.assert_close(drawn, probability, rtol=0, atol=1e-9)
    assert drawn.min() >= -1e-15


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30), st.sampled_from([0.0, 0.5, 1.0]))
def test_log_q_is_the_share_of_counts_to_the_power_alpha(counts, alpha):
    if not any(counts):
        return
    found = Popularity(torch.tensor(counts), alpha=alpha).log_q.double().exp()
    power = torch.tensor([count**alpha if count else 0.0 for count in counts], dtype=torch.float64)
    torch.testing.assert_close(found, power / power.sum(), rtol=1e-5, atol=1e-9)


def test_frequencies_are_those_of_log_q(rng):
    counts = torch.tensor([0, 0, 5, 1, 0, 30, 14])
    sampler = Popularity(counts, alpha=1.0)
    drawn = torch.bincount(sampler.draw(100_000, rng), minlength=7).double()
    expected = sampler.log_q.double().exp() * 100_000
    assert drawn[counts == 0].sum() == 0
    used = counts > 0
    chi = ((drawn - expected)[used] ** 2 / expected[used]).sum()
    assert chi < 16.3  # .999 of chi-square with 3 degrees of freedom
    assert sampler.log_q.exp().sum() == pytest.approx(1.0)


def test_uniform_draws_its_items_alone(rng):
    sampler = Uniform(torch.tensor([3, 5, 6]), 8)
    drawn = torch.bincount(sampler.draw(30_000, rng), minlength=8)
    assert drawn.nonzero().squeeze(1).tolist() == [3, 5, 6]
    assert drawn[[3, 5, 6]].min() > 9_600
    assert sampler.log_q[[3, 5, 6]].exp().tolist() == pytest.approx([1 / 3] * 3)


def test_nothing_to_draw_from_is_told():
    with pytest.raises(ArgumentError, match="at least one item"):
        Uniform(torch.zeros(0, dtype=torch.int64), 3)
    with pytest.raises(ArgumentError, match="a count above 0"):
        Popularity(torch.zeros(4, dtype=torch.int64))


def test_seen_by_then_equals_looking_it_up():
    split = split_leave_last(random_log(users=15, items=12))
    log, rows = split.log, split.train.rows
    seen = Seen.of(split, rows)
    generator = np.random.default_rng(0)
    for _ in range(300):
        user, item, row = (
            generator.integers(2, 17),
            generator.integers(2, 14),
            generator.integers(0, len(log)),
        )
        slow = any(log.user[r] == user and log.item[r] == item and r < row for r in rows.tolist())
        fast = seen.before(torch.tensor([user]), torch.tensor([item]), torch.tensor([row]))
        assert bool(fast) == slow


def test_redraws_end_and_say_what_is_still_bad(rng):
    everything = [2, 3, 4, 5] * 3
    split = split_leave_last(log_of([everything] * 10))
    seen = Seen.of(split, split.train.rows)
    users, late = torch.arange(2, 12), torch.full((10,), len(split.log))
    sampler = Uniform(torch.arange(2, 6), 6)
    drawn, good = draw_unseen(sampler, seen, users, late, torch.full((10,), 2), 3, rng)
    assert drawn.shape == good.shape == (10, 3)
    assert not good.any()
    first = torch.zeros(10, dtype=torch.int64)  # before any row nothing was seen: only the target is refused
    drawn, good = draw_unseen(sampler, seen, users, first, torch.full((10,), 2), 3, rng)
    assert good.all()
    assert (drawn != 2).all()
