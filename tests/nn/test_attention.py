import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from penchant.data import offsets_of
from penchant.nn.attention import Packing, cached_attention, causal_attention, gather_once, last_attention

LENGTHS = st.lists(st.integers(0, 20), max_size=8)


def rows(lengths, columns, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(sum(lengths), columns, generator=generator, dtype=torch.float64)


def slow(query, key_value, lengths, heads):
    """One row and one head at a time."""
    width = query.shape[1]
    size, found, begin = width // heads, query * 0, 0
    for length in lengths:
        for i in range(begin, begin + length):
            for h in range(0, width, size):
                keys, values = (
                    key_value[begin : i + 1, h : h + size],
                    key_value[begin : i + 1, width + h :][:, :size],
                )
                share = torch.softmax(keys @ query[i, h : h + size] / math.sqrt(size), 0)
                found[i, h : h + size] = share @ values
        begin += length
    return found


@given(lengths=LENGTHS)
def test_packing_goes_longest_first_and_back(lengths):
    packing = Packing.of(offsets_of(torch.tensor(lengths, dtype=torch.long)))
    given_rows = torch.arange(sum(lengths))
    assert torch.equal(packing.unpack(packing.pack(given_rows)), given_rows)
    real = [n for n in lengths if n]
    assert [lengths[b] for b in packing.order] == sorted(real, reverse=True)
    assert packing.place.tolist() == [i for n in sorted(real, reverse=True) for i in range(n)]
    assert packing.place[packing.newest].tolist() == [n - 1 for n in sorted(real, reverse=True)]
    assert sum(bucket.rows for bucket in packing.buckets) == sum(lengths)
    assert all(b.length <= 8 or b.count * b.length <= 1.5 * b.rows for b in packing.buckets)


@given(lengths=LENGTHS, heads=st.sampled_from([1, 2]))
def test_packed_attention_is_the_slow_one_in_values_and_gradients(lengths, heads):
    packing = Packing.of(offsets_of(torch.tensor(lengths, dtype=torch.long)))
    query, key_value = rows(lengths, 4).requires_grad_(), rows(lengths, 8, seed=1).requires_grad_()
    fast = packing.unpack(causal_attention(packing.pack(query), packing.pack(key_value), packing, heads))
    true = slow(query, key_value, lengths, heads)
    torch.testing.assert_close(fast, true)
    pull = rows(lengths, 4, seed=2)
    torch.testing.assert_close(
        torch.autograd.grad((fast * pull).sum(), (query, key_value), allow_unused=True),
        torch.autograd.grad((true * pull).sum(), (query, key_value), allow_unused=True),
    )


@given(lengths=LENGTHS, heads=st.sampled_from([1, 2]))
def test_attention_of_the_newest_alone_is_its_row_of_all(lengths, heads):
    packing = Packing.of(offsets_of(torch.tensor(lengths, dtype=torch.long)))
    query, key_value = packing.pack(rows(lengths, 4)), packing.pack(rows(lengths, 8, seed=1))
    whole = causal_attention(query, key_value, packing, heads)
    newest = last_attention(query[packing.newest], key_value, packing, heads)
    torch.testing.assert_close(newest, whole[packing.newest])


@given(old=st.lists(st.integers(0, 5), min_size=1, max_size=4), data=st.data())
def test_attention_over_cached_rows_is_attention_over_all(old, data):
    new = [data.draw(st.integers(0, 4)) for _ in old]
    whole = [a + b for a, b in zip(old, new)]
    query, key_value = rows(whole, 4), rows(whole, 8, seed=1)
    true = slow(query, key_value, whole, 2)
    cache = torch.full(
        (len(whole), 9, 8), 7.0, dtype=torch.float64
    )  # what stands behind the rows is not read
    owner, offset, place, at = [], [], [], []
    for b, (start, length) in enumerate(zip(torch.tensor([0, *whole]).cumsum(0).tolist(), whole)):
        cache[b, :length] = key_value[start : start + length]
        for i in range(old[b], length):
            owner.append(b), offset.append(i - old[b]), place.append(i), at.append(start + i)
    owner, offset, place, at = (torch.tensor(x, dtype=torch.long) for x in (owner, offset, place, at))
    torch.testing.assert_close(cached_attention(query[at], cache, owner, offset, place, 2), true[at])


def test_gather_once_moves_its_gradient():
    values = torch.arange(8.0).view(4, 2).requires_grad_()
    index = torch.tensor([0, 2])
    gather_once(values, index).sum().backward()
    assert values.grad.tolist() == [[1, 1], [0, 0], [1, 1], [0, 0]]
    assert gather_once(values, torch.arange(4)) is values


@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
def test_nobody_with_events_is_a_packing_of_no_rows(lengths):
    packing = Packing.of(offsets_of(torch.tensor(lengths, dtype=torch.long)))
    assert packing.buckets == ()
    assert causal_attention(torch.zeros(0, 4), torch.zeros(0, 8), packing, 2).shape == (0, 4)
    assert last_attention(torch.zeros(0, 4), torch.zeros(0, 8), packing, 2).shape == (0, 4)


def test_dropout_takes_out_attention_weights_and_keeps_their_mean():
    lengths = [6, 3, 1]
    packing = Packing.of(offsets_of(torch.tensor(lengths)))
    query, key_value = rows(lengths, 4), rows(lengths, 8, seed=1)
    whole = causal_attention(query, key_value, packing, 2)
    torch.manual_seed(0)  # noqa: TID251 - the fused operation takes no generator
    draws = torch.stack([causal_attention(query, key_value, packing, 2, dropout=0.5) for _ in range(4000)])
    # an event alone has one weight, which is kept, doubled, or taken out
    alone = draws[:, 9].view(-1, 2, 2) / whole[9].view(2, 2)
    assert set(alone.round(decimals=6).unique().tolist()) == {0.0, 2.0}
    error = draws.std(0) / math.sqrt(len(draws))
    assert ((draws.mean(0) - whole).abs() < 4.5 * error).all()
