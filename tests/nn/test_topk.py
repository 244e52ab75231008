import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from penchant.errors import ArgumentError
from penchant.nn import topk as module
from penchant.nn.topk import tie_order, topk


def slow(scores, k, order):
    lists = []
    for row in scores.tolist():
        real = [item for item, score in enumerate(row) if score > -torch.inf]
        best = sorted(real, key=lambda item: (-row[item], order[item]))[:k]
        lists.append([(row[item], item) for item in best] + [(-torch.inf, 0)] * (k - len(best)))
    return lists


def check(scores, k, order=None):
    values, items = topk(scores, k, order=order)
    assert values.dtype == scores.dtype
    assert values.shape == items.shape == (len(scores), k)
    expected = slow(scores, k, (tie_order(scores.shape[1]) if order is None else order).tolist())
    assert [list(zip(*row)) for row in zip(values.tolist(), items.tolist())] == expected


@given(
    rows=st.integers(1, 4),
    size=st.one_of(st.integers(1, 40), st.integers(1000, 2600)),
    k=st.one_of(st.integers(1, 12), st.integers(1, 60)),
    levels=st.sampled_from([1, 2, 5, 300, 10**6]),
    masked=st.sampled_from([0.0, 0.3, 0.98]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=200)
def test_equals_python_sorted(rows, size, k, levels, masked, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = (torch.randint(-levels, levels, (rows, size), generator=generator) / 7).to(dtype)
    scores[torch.rand(rows, size, generator=generator) < masked] = -torch.inf
    check(scores, k)


@pytest.mark.parametrize(("size", "k"), [(1023, 20), (1024, 20), (20_000, 11), (20_003, 101), (9_001, 1000)])
def test_equals_python_sorted_at_every_depth_of_blocks(size, k):
    generator = torch.Generator().manual_seed(size)
    scores = torch.randn(3, size, generator=generator)
    check(scores, k)
    check((scores * 40).round(), k)  # ties within the list and across its end
    check(scores[:, torch.randperm(size, generator=generator)].sort(1).values, k)


def test_best_items_in_the_columns_past_the_last_whole_block():
    scores = torch.randn(2, 2055, generator=torch.Generator().manual_seed(0))
    scores[:, -3:] = torch.tensor([9.0, 11.0, 10.0])
    assert topk(scores, 3)[1].tolist() == [[2053, 2054, 2052]] * 2


def test_rows_may_be_a_strided_view():
    scores = torch.randn(5, 4000, generator=torch.Generator().manual_seed(0))[::2, 1::2]
    torch.testing.assert_close(topk(scores, 9), topk(scores.contiguous(), 9))


@pytest.mark.parametrize("size", [500, 5000])
def test_constant_scores_rank_at_pseudo_random(size):
    items = topk(torch.full((1, size), 0.25), size)[1][0].double()
    assert items.tolist() == tie_order(size).argsort().tolist()
    place = torch.arange(size, dtype=torch.float64)
    assert abs(torch.corrcoef(torch.stack([items, place]))[0, 1]) < 3 / size**0.5
    assert topk(torch.zeros(1, size), 20)[1].double().mean() == pytest.approx(
        size / 2, abs=3 * size / 240**0.5
    )


def test_a_tie_ends_the_same_in_every_catalogue():
    small, large = tie_order(50).argsort(), tie_order(10_000).argsort()
    assert large[large < 50].tolist() == small.tolist()


def test_minus_zero_ties_with_zero():
    zeros = torch.where(torch.arange(2000) % 2 == 0, 0.0, -0.0).unsqueeze(0)
    check(zeros, 30)
    check(zeros[:, :40], 30)


def test_neighbouring_floats_are_told_apart(rng):
    steps = torch.randperm(3001, generator=rng) - 1500
    for around in (0, 0x3F800000):  # bit patterns: what lies around 0 is denormal, the other is 1.0
        scores = torch.where(steps < 0, -1.0, 1.0) * (steps.abs() + around).to(torch.int32).view(
            torch.float32
        )
        check(scores.unsqueeze(0), 3001)
        check(scores.unsqueeze(0), 40)
        check(-scores.abs().unsqueeze(0), 40)


def test_infinities():
    check(torch.tensor([[torch.inf, 1.0, -torch.inf, torch.inf, -3e38]]), 5)
    values, items = topk(torch.full((2, 3000), -torch.inf), 4)
    assert values.tolist() == [[-torch.inf] * 4] * 2
    assert items.tolist() == [[0] * 4] * 2


def test_own_order():
    order = torch.arange(3000).flip(0)
    assert topk(torch.zeros(1, 3000), 3, order=order)[1].tolist() == [[2999, 2998, 2997]]
    check(torch.randint(0, 3, (4, 3000), generator=torch.Generator().manual_seed(0)).float(), 50, order)


def test_nothing_to_rank():
    assert topk(torch.zeros(0, 7), 3)[1].shape == (0, 3)
    assert topk(torch.zeros(2, 0), 3)[1].tolist() == [[0] * 3] * 2


def test_reads_scores_and_leaves_them_alone():
    scores = (
        torch.randint(0, 9, (4, 3000), generator=torch.Generator().manual_seed(0)).float().requires_grad_()
    )
    before = scores.detach().clone()
    assert not topk(scores, 5)[0].requires_grad
    assert torch.equal(scores.detach(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("column", [0, 4, 1555, 2050, 2052])
@pytest.mark.parametrize("sign", [1, -1])
def test_not_a_number_anywhere_is_refused(column, sign, dtype):
    scores = torch.zeros(3, 2053, dtype=dtype)
    scores[1, column] = torch.tensor(torch.nan, dtype=dtype) * sign
    with pytest.raises(ArgumentError, match="NaN"):
        topk(scores, 2)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("scores", lambda: topk(torch.zeros(3), 1)),
        ("scores", lambda: topk(torch.zeros(3, 3, dtype=torch.long), 1)),
        ("k", lambda: topk(torch.zeros(3, 3), 0)),
        ("order", lambda: topk(torch.zeros(3, 3), 1, order=torch.arange(4))),
    ],
)
def test_arguments_are_refused_by_name(name, call):
    with pytest.raises(ArgumentError, match=f"^{name}="):
        call()


def test_blocks_are_taken_where_they_pay(monkeypatch):
    seen = []
    largest = module._largest
    monkeypatch.setattr(module, "_largest", lambda s, c, k: seen.append(s.shape[1]) or largest(s, c, k))
    topk(torch.rand(1, 20_000), 10)
    assert seen == [2500 // 8, 11 * 8 + 2500 % 8, 11 * 8]  # maxima of maxima, then maxima, then scores


@pytest.mark.parametrize("rows", [127, 128, 131, 200])
def test_threads_change_nothing(rows):
    scores = torch.randn(rows, 3001, generator=torch.Generator().manual_seed(rows))
    assert torch.get_num_threads() > 1
    values, items = topk(scores, 7)
    one_by_one = [topk(row.unsqueeze(0), 7) for row in scores]
    assert torch.equal(items, torch.cat([items for _, items in one_by_one]))
    assert torch.equal(values, torch.cat([values for values, _ in one_by_one]))
    scores[rows - 1, 5] = torch.nan
    with pytest.raises(ArgumentError, match="NaN"):
        topk(scores, 7)
