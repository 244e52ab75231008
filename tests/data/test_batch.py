from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from asked import asked, histories_of
from penchant.data import Ragged, batch, offsets_of, ranges
from penchant.errors import ArgumentError

rows = st.lists(st.lists(st.integers(1, 50), max_size=7), min_size=1, max_size=6)


def items(histories):
    bounds = histories.offsets.tolist()
    return [histories.item[a:b].tolist() for a, b in pairwise(bounds)]


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 6)), max_size=8))
def test_ranges_equal_a_loop(pairs):
    starts, lengths = (torch.tensor([p[i] for p in pairs], dtype=torch.int64) for i in (0, 1))
    for kind in (torch.int64, torch.int32):
        found = ranges(starts.to(kind), lengths)
        assert found.dtype == kind
        assert found.tolist() == [s + i for s, n in pairs for i in range(n)]


@pytest.mark.parametrize("windows", [False, True])
@given(
    pairs=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=8),
    size=st.sampled_from([40, 99]),
)
@example(pairs=[(0, 4), (37, 3), (40, 0), (36, 4)], size=40)
def test_slices_are_read_alike_whatever_their_lengths(windows, pairs, size):
    """Of one length, of lengths near each other, far from each other, and at a column's end."""
    pairs = [(start, min(length, size - start)) for start, length in pairs]
    starts, lengths = (torch.tensor([p[i] for p in pairs], dtype=torch.int64) for i in (0, 1))
    with pytest.MonkeyPatch.context() as patch:
        if windows:  # as where slices are many and the column is long
            for name, least in (("_MANY", 1), ("_NEARLY", 0), ("_LONG", 0)):
                patch.setattr(batch, name, least)
        read = batch.reader(starts, lengths)
        for column in (torch.arange(size), torch.arange(size).bfloat16(), torch.arange(size) % 3 == 0):
            found = read(column)
            assert found.dtype == column.dtype
            assert found.tolist() == [x for s, n in pairs for x in column[s : s + n].tolist()]


@given(rows, st.integers(1, 8))
def test_padded_keeps_the_newest_on_the_left_and_marks_the_rest(table, length):
    padded = histories_of(table, event=True).padded(length)
    for b, row in enumerate(table):
        kept = row[-length:]
        assert padded.item[b].tolist() == kept + [0] * (length - len(kept))
        assert padded.mask[b].tolist() == [True] * len(kept) + [False] * (length - len(kept))
        assert padded.time[b, len(kept) :].sum() == padded.event[b, len(kept) :].sum() == 0
        assert padded.lengths[b] == len(kept)


@given(rows, st.integers(1, 8))
def test_the_tail_is_the_newest_events(table, k):
    assert items(histories_of(table).tail(k)) == [row[-k:] for row in table]


@given(rows, st.data())
def test_rows_pick_whole_requests_in_any_order_and_number(table, data):
    index = data.draw(st.lists(st.integers(0, len(table) - 1), max_size=5))
    requests = asked(table, exclude=[row[:2] for row in table])
    found = requests.rows(torch.tensor(index, dtype=torch.int64))
    assert items(found.histories) == [table[i] for i in index]
    assert found.exclude.values.tolist() == [x for i in index for x in table[i][:2]]
    assert len(found) == len(index)


def test_age_is_in_days_and_a_second_survives():
    histories = histories_of([[5, 6], [7]])  # a minute apart from 1,000,000
    at = torch.tensor([1_000_060 + 86_400, 1_000_001])
    assert histories.age(at).tolist() == pytest.approx([1 + 60 / 86_400, 1.0, 1 / 86_400], abs=1e-15)
    padded = histories.padded(3).age(at)
    assert padded.dtype == torch.float64
    assert padded[1].tolist() == pytest.approx([1 / 86_400, 0, 0], abs=1e-15)
    # today's seconds: float32 would hold them to 128 s
    today = replace(histories_of([[5]]), time=torch.tensor([1_780_000_000]))
    assert float(today.age(torch.tensor([1_780_000_001]))) == pytest.approx(1 / 86_400, abs=1e-15)


def test_ages_without_times_are_refused():
    bare = replace(histories_of([[5]]), time=None)
    with pytest.raises(ArgumentError, match="a log with times"):
        bare.age(torch.tensor([1]))


def test_owners_and_lengths_of_lists():
    lists = Ragged(torch.arange(5), torch.tensor([0, 2, 2, 5]))
    assert lists.lengths.tolist() == [2, 0, 3]
    assert lists.owner.tolist() == [0, 0, 2, 2, 2]
    assert offsets_of(torch.tensor([2, 0, 3])).tolist() == [0, 2, 2, 5]


def test_moving_to_a_device_moves_every_tensor():
    requests = asked([[5, 6], []], exclude=[[5], []], eligible=torch.ones(9, dtype=torch.bool))
    moved = requests.to("meta")
    for tensor in (
        moved.users,
        moved.histories.item,
        moved.histories.time,
        moved.exclude.values,
        moved.eligible,
    ):
        assert tensor.device.type == "meta"
