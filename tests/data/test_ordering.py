"""The one order of every user's events, against slower sorts."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penchant.data.ordering import _duplicates, order_events, sorted_rows, splitmix64

small = st.integers(0, 3)
# Spans that fit one key beside user and row, that need two sorts, and that need all 64 bits.
spans = st.sampled_from([5, 2**40, 2**58, 2**62])


@st.composite
def events(draw):
    count = draw(st.integers(1, 30))
    span = draw(spans)
    users = draw(st.lists(small | st.just(2**30), min_size=count, max_size=count))
    ticks = draw(st.lists(st.integers(-span, span) | small, min_size=count, max_size=count))
    return np.array(users, dtype=np.int32), np.array(ticks, dtype=np.int64)


@given(events(), st.booleans(), st.booleans())
def test_rows_are_those_of_a_stable_sort(given_events, by_time, timeless):
    users, ticks = given_events
    if by_time:
        ticks = np.sort(ticks)
    wanted = np.lexsort([users] if timeless else [ticks, users])
    found = sorted_rows(users, None if timeless else ticks)
    assert (np.arange(len(users)) if found is None else found).tolist() == wanted.tolist()


def test_a_file_in_order_is_left_alone():
    users, ticks = np.array([0, 0, 1], dtype=np.int32), np.array([4, 5, 5])
    assert sorted_rows(users, ticks) is None
    assert sorted_rows(users, None) is None
    assert sorted_rows(users[:1], ticks[:1]) is None


@pytest.mark.parametrize("large", [0, 2**40])  # with 2**40 the three do not fit one key
def test_duplicates_are_later_rows_of_a_run_with_the_same_item_and_event(large):
    run = np.array([1, 1, 1, 2, 2]) + large
    item = np.array([7, 8, 7, 7, 7], dtype=np.int32) + 2**30
    event = np.array([1, 1, 1, 1, 2], dtype=np.int16)
    assert _duplicates(run, item, None).tolist() == [False, False, True, False, True]
    assert _duplicates(run, item, event).tolist() == [False, False, True, False, False]


def test_ties_of_one_item_keep_their_file_order():
    """What is hashed is (user, item): a view and the purchase in the same second do not change places."""
    count = 200
    item = np.repeat(np.arange(2, 2 + count, dtype=np.int32), 2)
    event = np.tile(np.array([2, 3], dtype=np.int16), count)
    user = np.full(2 * count, 2, dtype=np.int32)
    order = order_events(user, item, event, np.zeros(2 * count, np.int64), pl.Series(range(count)), seed=0)
    assert order.follows == "ascending"
    assert order.rows is not None
    assert order.duplicates == 0
    assert (event[order.rows] == event).all()
    assert (item[order.rows] != item).mean() > 0.9


@pytest.mark.parametrize(
    ("ids", "follows"),
    [
        ([str(n) for n in range(200)], "ascending"),  # as numbers: "10" comes after "9"
        ([f"i{n:03}" for n in range(200)], "ascending"),
        ([f"i{n}" for n in range(200)], "ascending"),  # "i10" comes before "i9", but few neighbours show it
        ([str(n * 77 % 200) for n in range(200)], ""),
        (list(range(200, 0, -1)), "descending"),
    ],
)
def test_ids_are_compared_as_what_they_are(ids, follows):
    user, item = np.full(200, 2, dtype=np.int32), np.arange(2, 202, dtype=np.int32)
    order = order_events(user, item, None, np.zeros(200, np.int64), pl.Series(ids), seed=0)
    assert order.follows == follows
    assert (order.rows is not None and order.rows.tolist() != list(range(200))) == bool(follows)


@pytest.mark.parametrize("name", ["item_{}", "{}b", "i{:04}", "9-{}"])
@pytest.mark.parametrize("by", ["number", "text", "hand"])
def test_text_that_ends_in_a_number_may_be_sorted_by_either(name, by):
    rng = np.random.default_rng(0)
    ids, key = pl.Series([name.format(n) for n in range(400)]), {"number": int, "text": name.format}.get(by)
    baskets = [rng.permutation(400)[:4].tolist() for _ in range(100)]
    seconds = [sorted(basket, key=key) if key else basket for basket in baskets]
    item = (np.concatenate(seconds) + 2).astype(np.int32)
    order = order_events(np.full(400, 2, np.int32), item, None, np.arange(400) // 4, ids, seed=0)
    # what ends in a letter is text alone
    assert order.follows == ("ascending" if by == "text" or (by == "number" and name != "{}b") else "")


def test_splitmix64_is_the_published_one():
    states = np.arange(3, dtype=np.uint64) * np.uint64(
        0x9E3779B97F4A7C15
    )  # its first three states from seed 0
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert splitmix64(states).tolist() == published
