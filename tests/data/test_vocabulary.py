"""External ids and dense indices."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penchant.data import FIRST, PADDING, UNKNOWN, Vocabulary
from penchant.data.vocabulary import number
from penchant.errors import ArgumentError

whole = st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5), max_size=60)
words = st.lists(st.text(max_size=3) | st.sampled_from("aä日"), max_size=60)
columns = st.one_of(
    whole.map(lambda v: pl.Series(v, dtype=pl.Int64)), words.map(lambda v: pl.Series(v, dtype=pl.String))
)


def slow(ids):
    """The dictionary, one id at a time."""
    known: dict = {}
    return [known.setdefault(value, len(known) + FIRST) for value in ids], list(known)


@given(columns)
def test_numbering_is_the_plain_dictionary(column):
    index, vocabulary = number(column)
    wanted, ids = slow(column.to_list())
    assert index.tolist() == wanted
    assert index.dtype == np.int32
    assert vocabulary.all_ids.to_list() == ids
    assert vocabulary.dtype == column.dtype
    assert len(vocabulary) == len(ids) + FIRST


def test_nothing_is_the_unknown_id():
    index, vocabulary = number(pl.Series(["a", None, "b", None, "a"]))
    assert index.tolist() == [2, UNKNOWN, 3, UNKNOWN, 2]
    assert vocabulary.all_ids.to_list() == ["a", "b"]


@given(columns, columns)
def test_look_ups_are_the_plain_dictionary(column, asked):
    _, vocabulary = number(column)
    known = {value: n for n, value in enumerate(vocabulary.all_ids, FIRST)}
    if asked.dtype != column.dtype:
        asked = asked.cast(column.dtype, strict=False)
    wanted = [known.get(value, UNKNOWN) for value in asked]
    assert vocabulary.index(asked).tolist() == wanted  # by binary search
    many = pl.concat([asked] * 300) if len(asked) else asked
    assert vocabulary.index(many).tolist() == wanted * (300 if len(asked) else 1)  # by a join
    assert vocabulary.ids(list(known.values())).to_list() == list(known)


@given(columns, columns)
def test_appending_never_renumbers(column, more):
    _, vocabulary = number(column)
    more = more.cast(column.dtype, strict=False)
    longer = vocabulary.append(more)
    assert longer.index(vocabulary.all_ids).tolist() == list(range(FIRST, len(vocabulary)))
    assert longer.all_ids.to_list() == slow([*column.to_list(), *more.drop_nulls().to_list()])[1]
    assert longer.append(more).all_ids.equals(longer.all_ids)


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ([7, 8], [2, 1]),
        (["7", "x", "7.5", " 7"], [2, 1, 1, 1]),
        ([7.0, 7.5, float("nan"), float("inf")], [2, 1, 1, 1]),
        ([None, 3], [1, 3]),
        (np.array([3, 7]), [3, 2]),
        (pl.Series([7], dtype=pl.UInt8), [2]),
        ([], []),
    ],
    ids=str,
)
def test_asking_with_other_types(asked, index):
    assert Vocabulary(pl.Series([7, 3])).index(asked).tolist() == index


def test_numbers_find_ids_that_are_text():
    assert Vocabulary(pl.Series(["7", "a"])).index([7, 8]).tolist() == [2, 1]
    assert Vocabulary(pl.Series(["7", "a"])).index([7.0]).tolist() == [2]


def test_padding_and_unknown_have_no_id():
    vocabulary = Vocabulary(pl.Series(["a", "b"]))
    assert vocabulary.ids([PADDING, UNKNOWN, 3]).to_list() == [None, None, "b"]
    assert Vocabulary(pl.Series([], dtype=pl.Int64)).ids([0, 1]).to_list() == [None, None]
    with pytest.raises(ArgumentError, match="below 4"):
        vocabulary.ids([4])


@pytest.mark.parametrize("ids", [[1, 1], [1, None], [1.5], [True, False]], ids=str)
def test_ids_that_cannot_be(ids):
    with pytest.raises(ArgumentError):
        Vocabulary(pl.Series(ids))
