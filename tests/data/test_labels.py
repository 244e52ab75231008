"""What counts as a positive: rules as calls and as text."""

import polars as pl
import pytest

from penchant.data.events import at_least, equals, read_events
from penchant.data.labels import label_of
from penchant.errors import ArgumentError, DataError

EVENTS = pl.DataFrame(
    {
        "u": [1, 2, 3, 4],
        "i": [1, 2, 3, 4],
        "price": [3, 4, 5, 1],
        "action": ["buy", "view", "buy", " buy "],
        "code": [1.0, 2.0, 1.5, 1.0],
        "flag": [True, False, False, True],
    }
)


def labels(label, **more):
    return read_events(EVENTS, user="u", item="i", label=label, **more).label.tolist()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("price>=4", at_least("price", 4)),
        (" price >= 4.5e0 ", at_least("price", 4.5)),
        ("a price>=-1", at_least("a price", -1)),
        ("action==buy", equals("action", "buy")),
        ("action == add to cart ", equals("action", "add to cart")),
        ("clicked", "clicked"),
        (at_least("price", 4), at_least("price", 4)),
    ],
    ids=str,
)
def test_a_text_says_the_rule_that_a_call_makes(text, rule):
    assert label_of(text) == rule


@pytest.mark.parametrize(
    "text",
    ["price>4", "price>=", ">=4", "==buy", "", " ", None, 4, "price>=good", "price>=nan", "a==b==c", "a=b"],
    ids=str,
)
def test_other_text_is_refused_with_both_forms(text):
    with pytest.raises(ArgumentError, match="'COLUMN>=NUMBER', 'COLUMN==VALUE', or the name of a column"):
        label_of(text)


def test_text_and_calls_label_alike():
    assert labels("price>=4") == labels(at_least("price", 4)) == [0, 1, 1, 0]
    with pytest.raises(ArgumentError, match="COLUMN==VALUE"):
        labels("price>4")


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("action==buy", [1, 0, 1, 1]),
        (equals("action", "buy"), [1, 0, 1, 1]),
        ("price==4", [0, 1, 0, 0]),
        ("code==1", [1, 0, 0, 1]),
        (equals("code", 1.5), [0, 0, 1, 0]),
        ("flag==true", [1, 0, 0, 1]),
        (equals("flag", False), [0, 1, 1, 0]),
    ],
    ids=str,
)
def test_a_value_makes_positives(label, expected):
    assert labels(label) == expected


def test_the_column_of_a_rule_may_be_that_of_event_types():
    log = read_events(EVENTS, user="u", item="i", label="action==view", event="action")
    assert log.label.tolist() == [0, 1, 0, 0]
    assert len(log.events) == 2 + 3


def test_a_category_column_is_compared_by_name():
    frame = EVENTS.with_columns(pl.col("action").cast(pl.Categorical))
    assert read_events(frame, user="u", item="i", label="action==view").label.tolist() == [0, 1, 0, 0]


def test_a_value_that_is_nowhere_is_told_with_those_that_are_there():
    for label, values in (("action==bye", {"'buy'", "'view'"}), ("price==many", {"1", "3", "4", "5"})):
        with pytest.raises(DataError, match="gives the label 0 in all rows") as caught:
            labels(label)
        said, _, named = caught.value.problems[0].fix.partition("such as ")
        assert said == "name a value that it holds, "
        assert len(set(named.split(", ")) & values) >= 2


def test_a_row_without_a_value_has_no_label():
    frame = EVENTS.with_columns(action=pl.Series(["buy", None, " ", "view"]))
    with pytest.raises(DataError) as caught:
        read_events(frame, user="u", item="i", label="action==buy")
    (problem,) = caught.value.problems
    assert (problem.what, list(problem.rows)) == ("is null", [1, 2])


def test_lists_hold_no_value():
    frame = EVENTS.with_columns(action=pl.Series([["buy"]] * 4))
    with pytest.raises(DataError, match=r"is of type List\(String\)"):
        read_events(frame, user="u", item="i", label="action==buy")
