import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from penchant.data import Popularity
from penchant.errors import ArgumentError
from penchant.nn.softmax import binary_loss, binary_loss_by_logits, sampled_softmax_loss, softmax_loss

SCORES = torch.tensor([2.0, 1.0, 0.0, -1.0, 0.5], dtype=torch.float64)  # of five items; item 0 is the target
PROPOSAL = torch.tensor([0.5, 0.2, 0.15, 0.1, 0.05], dtype=torch.float64)
EXACT = 0.574438


def problem(rng, rows=7, items=11, width=3, dtype=torch.float64):
    states = torch.randn(rows, width, generator=rng, dtype=dtype).requires_grad_()
    table = torch.randn(items, width, generator=rng, dtype=dtype).requires_grad_()
    bias = torch.randn(items, generator=rng, dtype=dtype).requires_grad_()
    target = torch.randint(items, (rows,), generator=rng)
    weight = torch.rand(rows, generator=rng, dtype=dtype)
    return states, table, bias, target, weight


def slow(states, table, bias, target, weight):
    logits = states @ table.T + bias
    return (F.cross_entropy(logits, target, reduction="none") * weight).sum()


LOG_Q = PROPOSAL.log()


def sampled(drawn, log_q=LOG_Q):
    """The loss of one row whose scores are SCORES, of draws [M]."""
    state, vectors = SCORES.new_ones(1, 1), SCORES.unsqueeze(1)
    return sampled_softmax_loss(
        state, vectors[:1], vectors[drawn], torch.tensor([0]), drawn, log_q[drawn], torch.ones(1)
    )


def test_generative_backbones_10_softmax_gradient_passes_a_float64_check(rng):
    states, table, bias, target, weight = problem(rng)

    def loss(*inputs):
        return softmax_loss(*inputs[:2], target, weight, bias=inputs[2], chunk=3)

    assert torch.autograd.gradcheck(loss, (states, table, bias))


@given(chunk=st.integers(1, 9), seed=st.integers(0, 99), masked=st.booleans())
def test_generative_backbones_10_softmax_is_the_plain_one_whatever_the_chunk(chunk, seed, masked):
    states, table, bias, target, weight = problem(torch.Generator().manual_seed(seed))
    if masked:  # an item that can be no answer
        allowed = torch.arange(len(bias)) != (target[0] + 1) % len(bias)
        target = torch.where(allowed[target], target, target[0])
        bias = bias.detach().masked_fill(~allowed, -torch.inf)
    inputs = [x for x in (states, table, bias) if x.requires_grad]
    fast = softmax_loss(states, table, target, weight, bias=bias, chunk=chunk)
    true = slow(states, table, bias, target, weight)
    torch.testing.assert_close(fast, true)
    torch.testing.assert_close(torch.autograd.grad(fast, inputs), torch.autograd.grad(true, inputs))


def test_softmax_stays_finite_where_a_share_underflows():
    states, table = torch.tensor([[1.0]]), torch.tensor([[0.0], [500.0]])
    loss = softmax_loss(states, table, torch.tensor([0]), torch.ones(1))
    assert loss.item() == pytest.approx(500.0)


def test_softmax_is_at_least_float32_under_autocast(rng):
    states, table, _, target, weight = problem(rng, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = softmax_loss(states.bfloat16(), table, target, weight)
    true = softmax_loss(states.bfloat16().float(), table, target, weight)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, true)


def test_softmax_of_nothing_is_zero_and_gives_zero_gradients(rng):
    states, table, _, target, weight = problem(rng)
    loss = softmax_loss(states[:0], table, target[:0], weight[:0])
    loss.backward()
    assert loss.item() == 0
    assert not table.grad.any()


def test_a_chunk_below_one_is_refused(rng):
    states, table, _, target, weight = problem(rng)
    with pytest.raises(ArgumentError, match="chunk=0"):
        softmax_loss(states, table, target, weight, chunk=0)


def test_generative_backbones_8_all_other_items_without_replacement_are_the_full_softmax():
    others = torch.arange(1, 5)
    uniform = torch.full((5,), -math.log(4), dtype=torch.float64)  # so that M q = 1
    assert sampled(others, uniform).item() == pytest.approx(EXACT, abs=1e-6)
    full = softmax_loss(SCORES.new_ones(1, 1), SCORES.unsqueeze(1), torch.tensor([0]), torch.ones(1))
    assert full.item() == pytest.approx(EXACT, abs=1e-6)


@pytest.mark.parametrize(
    ("count", "repeats", "expected", "error"),
    [(10, 1500, 0.555, 0.02), (100, 500, 0.573, 0.004), (10_000, 20, 0.5744, 0.001)],
)
def test_generative_backbones_8_logq_under_a_skewed_proposal_converges_to_the_exact_loss(
    rng, count, repeats, expected, error
):
    sampler = Popularity(torch.tensor([50, 20, 15, 10, 5]), alpha=1.0)  # draws from PROPOSAL
    losses = [sampled(sampler.draw(count, rng), sampler.log_q.double()) for _ in range(repeats)]
    assert torch.stack(losses).mean().item() == pytest.approx(expected, abs=error)


def test_generative_backbones_8_without_logq_it_converges_to_something_else(rng):
    sampler = Popularity(torch.tensor([50, 20, 15, 10, 5]), alpha=1.0)
    count = 10_000
    losses = [sampled(sampler.draw(count, rng), torch.full((5,), -math.log(count))) for _ in range(20)]
    assert torch.stack(losses).mean().item() == pytest.approx(7.00, abs=0.01)


def test_generative_backbones_8_a_hit_on_the_target_never_counts():
    with_hits = sampled(torch.tensor([0, 1, 0, 3, 0]), torch.full((5,), -math.log(5)))
    without = sampled(torch.tensor([1, 3]), torch.full((5,), -math.log(2)))
    torch.testing.assert_close(with_hits, without)
    assert sampled(torch.tensor([0, 0])).item() == 0  # nothing but hits: the target is all there is


def test_generative_backbones_8_two_items_give_softplus():
    loss = sampled(torch.tensor([3]), torch.zeros(5))
    torch.testing.assert_close(loss, F.softplus(SCORES[3] - SCORES[0]))


@given(chunk=st.integers(1, 9), seed=st.integers(0, 99))
def test_sampled_softmax_is_the_slow_one_whatever_the_chunk(chunk, seed):
    rng = torch.Generator().manual_seed(seed)
    states, table, _, target, weight = problem(rng)
    drawn = torch.randint(len(table), (6,), generator=rng)
    log_q = torch.rand(6, generator=rng, dtype=torch.float64).log()

    fast = sampled_softmax_loss(
        states, table[target], table[drawn], target, drawn, log_q, weight, chunk=chunk
    )
    slow = states.new_zeros(())
    for x, t, w in zip(states, target, weight):
        own, others = (
            x @ table[t],
            [x @ table[n] - log_q[k] - math.log(6) for k, n in enumerate(drawn) if n != t],
        )
        slow = slow + w * (torch.logsumexp(torch.stack([own, *others]), 0) - own)
    torch.testing.assert_close(fast, slow)
    inputs = (states, table)
    torch.testing.assert_close(torch.autograd.grad(fast, inputs), torch.autograd.grad(slow, inputs))


def test_binary_loss_is_binary_cross_entropy_of_the_rows_that_count(rng):
    states, table, _, target, weight = problem(rng)
    drawn = torch.randint(len(table), (len(states), 2), generator=rng)
    counts = torch.tensor([[1.0, 0.0]]).expand(len(states), 2)
    loss = binary_loss(states, table[target], table[drawn], weight, counts)
    good, bad = (states * table[target]).sum(1), (states * table[drawn[:, 0]]).sum(1)
    logits, labels = torch.stack([good, bad], 1), torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    each = F.binary_cross_entropy_with_logits(logits, labels.expand(len(states), 2), reduction="none").sum(1)
    torch.testing.assert_close(loss, (each * weight).sum())


def test_binary_loss_by_logits_is_the_binary_loss(rng):
    states = torch.randn(6, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    table = torch.randn(9, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    target, drawn = (torch.randint(9, shape, generator=rng) for shape in ((6,), (6, 5)))
    weight, counts = torch.rand(6, generator=rng), torch.randint(2, (6, 5), generator=rng)
    by_vectors = binary_loss(states, table[target], table[drawn], weight, counts)
    by_logits = binary_loss_by_logits(states, table, target, drawn, weight, counts)
    torch.testing.assert_close(by_logits, by_vectors)
    of_vectors, of_logits = (torch.autograd.grad(loss, (states, table)) for loss in (by_vectors, by_logits))
    torch.testing.assert_close(of_logits, of_vectors)


def test_binary_loss_is_finite_at_large_scores():
    high = torch.tensor([[50.0]])
    loss = binary_loss(high, -high, high.unsqueeze(1), torch.ones(1), torch.ones(1, 1))
    assert loss.item() == pytest.approx(5000.0)
