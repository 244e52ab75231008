"""From event tables to logs: what is read, in which order, and what is counted."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from logs import event_frames
from penchant.data import FIRST
from penchant.data.events import at_least, categorical, items, read_events, users
from penchant.errors import ArgumentError, DataError

T = 1_600_000_000
EVENTS = pl.DataFrame(
    {
        "user": ["b", "a", "b", "a", "c"],
        "item": ["x", "y", "y", "x", "z"],
        "time": [T + 30, T + 20, T + 10, T + 40, T],
        "rating": [5, 3, 4, 1, 2],
    }
)
NAMES = {"user": "user", "item": "item", "time": "time"}


def rows(log):
    """The log as a sorted list of (user id, item id, time)."""
    who = log.users.vocabulary.ids(log.user.numpy()).to_list()
    what = log.catalogue.vocabulary.ids(log.item.numpy()).to_list()
    return sorted(zip(who, what, log.time.tolist()))


# -- order and indices ---------------------------------------------------------------------------------------


def test_a_small_log_in_full():
    log = read_events(EVENTS, **NAMES)
    assert log.users.vocabulary.all_ids.to_list() == ["b", "a", "c"]  # as they appear in the file
    assert log.catalogue.vocabulary.all_ids.to_list() == ["x", "y", "z"]
    assert log.offsets.tolist() == [0, 0, 0, 2, 4, 5]
    assert log.item.tolist() == [3, 2, 3, 2, 4]
    assert log.time.tolist() == [T + 10, T + 30, T + 20, T + 40, T]
    assert (log.item.dtype, log.time.dtype, log.offsets.dtype) == (torch.int32, torch.int64, torch.int64)
    assert log.has_time
    assert log.label is None


def test_without_times_the_file_gives_the_order_and_time_is_the_ordinal():
    log = read_events(EVENTS, user="user", item="item")
    assert not log.has_time
    assert log.item.tolist() == [2, 3, 3, 2, 4]
    assert log.time.tolist() == [0, 1, 0, 1, 0]
    assert (log.profile.first, log.profile.last, log.profile.time_unit) == (None, None, "none")


def test_without_times_nothing_is_a_duplicate():
    log = read_events(pl.DataFrame({"u": [1, 1, 1], "i": [7, 7, 7]}), user="u", item="i")
    assert len(log) == 3
    assert (log.profile.repeats, dict(log.profile.dropped)) == (2, {})


def test_exact_duplicates_are_dropped_and_counted():
    frame = pl.concat([EVENTS, EVENTS[1:3], EVENTS.with_columns(pl.col("time") + 1)[:1]])
    log = read_events(frame, **NAMES)
    assert len(log) == 6  # one second later is a repeat, not a duplicate
    assert log.profile.dropped == {"exact duplicate": 2}
    assert (log.profile.read, log.profile.kept, log.profile.repeats) == (8, 6, 1)


def test_the_first_of_two_duplicates_stays():
    frame = pl.DataFrame({"u": [1, 1], "i": [7, 7], "t": [T, T], "x": [0.5, 0.75]})
    assert read_events(frame, user="u", item="i", time="t", context=["x"]).column("x").tolist() == [0.5]


def test_events_of_two_types_in_one_second_are_no_duplicates():
    frame = pl.DataFrame({"u": [1, 1, 1], "i": [7, 7, 7], "t": [T, T, T], "e": ["view", "buy", "view"]})
    log = read_events(frame, user="u", item="i", time="t", event="e")
    assert log.profile.dropped == {"exact duplicate": 1}
    assert log.event.tolist() == [2, 3]
    assert log.event.dtype == torch.int16
    assert log.events.all_ids.to_list() == ["view", "buy"]
    assert log.profile.events == {"view": 1, "buy": 1}


@given(event_frames())
def test_what_goes_in_comes_out(frame):
    log = read_events(frame, user="u", item="i", time="t")
    assert rows(log) == sorted(set(frame.select("u", "i", "t").iter_rows()))
    profile, kept = log.profile, frame.unique()
    assert profile.read == len(frame) == profile.kept + sum(profile.dropped.values())
    assert (profile.users, profile.items) == (kept["u"].n_unique(), kept["i"].n_unique())
    assert profile.repeats == len(kept) - len(kept.unique(["u", "i"]))
    assert profile.tied == len(kept) - len(kept.unique(["u", "t"]))


@given(event_frames())
def test_every_user_is_sorted_by_time_then_file_order(frame):
    log = read_events(frame.with_row_index("row"), user="u", item="i", time="t", context=["row"])
    row = log.column("row").long()
    for user in range(FIRST, len(log.users)):
        block = slice(int(log.offsets[user]), int(log.offsets[user + 1]))
        order = list(zip(log.time[block].tolist(), row[block].tolist()))
        assert order == sorted(order)
        assert block.stop > block.start
    assert int(log.offsets[-1]) == len(log)


@given(event_frames(ties=False), st.randoms())
def test_the_order_of_a_file_without_ties_changes_nothing_but_numbers(frame, random):
    order = list(range(len(frame)))
    random.shuffle(order)
    a, b = (read_events(f, user="u", item="i", time="t") for f in (frame, frame[order]))
    assert rows(a) == rows(b)
    for user in frame["u"].unique():
        histories = []
        for log in (a, b):
            index = int(log.users.vocabulary.index([user])[0])
            block = log.item[log.offsets[index] : log.offsets[index + 1]]
            histories.append(log.catalogue.vocabulary.ids(block.numpy()).to_list())
        assert histories[0] == histories[1]


@given(event_frames())
def test_string_ids_and_integer_ids_agree(frame):
    text = frame.with_columns(pl.col("u").cast(pl.String), pl.col("i").cast(pl.String))
    a, b = (read_events(f, user="u", item="i", time="t") for f in (frame, text))
    assert torch.equal(a.item, b.item)
    assert torch.equal(a.offsets, b.offsets)
    assert a.users.vocabulary.all_ids.cast(pl.String).equals(b.users.vocabulary.all_ids)


@pytest.mark.parametrize(
    "ids",
    [
        pl.Series([10**15, -7, 10**15]),  # far apart: hashed, not tabled
        pl.Series([2**63, 5, 2**63], dtype=pl.UInt64),  # beyond 64 bits: text
        pl.Series([1.0, 2.0, 1.0]),
        pl.Series(["é", "日本", "é"]),
        pl.Series(["a", "b", "a"], dtype=pl.Categorical),
    ],
    ids=str,
)
def test_ids_of_other_types(ids):
    log = read_events(pl.DataFrame({"u": ids, "i": [1, 2, 3]}), user="u", item="i")
    known = log.users.vocabulary
    assert log.offsets.diff().tolist() == [0, 0, 2, 1]
    assert known.index(known.all_ids).tolist() == [2, 3]
    assert str(known.all_ids[0]).removesuffix(".0") == str(ids[0]).removesuffix(".0")


# -- labels and context --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "label"),
    [
        ([1, 0, 1], "y"),
        ([True, False, True], "y"),
        ([1.0, 0.0, 1.0], "y"),
        (["True", "false", "1"], "y"),
        ([5, 3, 4], at_least("y", 4)),
        ([0.5, -0.5, 0.5], at_least("y", 0)),
    ],
)
def test_labels(column, label):
    log = read_events(
        pl.DataFrame({"u": [1, 1, 2], "i": [1, 2, 1], "y": column}), user="u", item="i", label=label
    )
    assert log.label.tolist() == [1.0, 0.0, 1.0]
    assert log.label.dtype == torch.float32
    assert log.profile.positives == pytest.approx(2 / 3)
    assert log.features.has_label


def test_context_columns():
    frame = pl.DataFrame(
        {
            "u": [1, 1, 2],
            "i": [1, 2, 1],
            "price": [1.5, None, float("nan")],
            "device": ["phone", None, "web"],
            "hour": [23, 7, 23],
            "paid": [True, False, None],
            "kind": pl.Series(["p", "q", "p"], dtype=pl.Categorical),
        }
    )
    log = read_events(
        frame, user="u", item="i", context=["price", "device", categorical("hour"), "paid", "kind"]
    )
    assert log.column("price").dtype == torch.float32
    assert log.column("price")[0] == 1.5
    assert log.column("price")[1:].isnan().all()
    assert log.column("device").tolist() == [2, 1, 3]  # nothing is the unknown category
    assert log.column("device").dtype == torch.int32
    assert log.column("hour").tolist() == [2, 3, 2]
    assert log.column_labels["hour"].all_ids.to_list() == [23, 7]
    assert log.column("paid").tolist()[:2] == [1.0, 0.0]
    assert log.column("kind").tolist() == [2, 3, 2]
    sizes = {name: column.size for name, column in log.features.columns.items()}
    assert sizes == {"price": 0, "device": 4, "hour": 4, "paid": 0, "kind": 4}


def test_context_follows_its_event():
    log = read_events(EVENTS, **NAMES, context="rating", label=at_least("rating", 3))
    assert log.column("rating").tolist() == [4, 5, 3, 1, 2]
    assert log.label.tolist() == [1, 1, 1, 0, 0]


def test_numbers_among_text_that_says_nothing(tmp_path):
    (tmp_path / "na.csv").write_text("u,i,price\n1,1,NA\n1,2,3.5\n2,1,\n")
    log = read_events(tmp_path / "na.csv", user="u", item="i", context=["price"])
    assert log.column("price").isnan().tolist() == [True, False, True]


# -- attributes ----------------------------------------------------------------------------------------------

MOVIES = pl.DataFrame(
    {
        "id": ["z", "q", "x"],
        "name": ["Zorn", "Quark", None],
        "genres": ["Drama|Comedy", "", "Comedy| Drama|Comedy"],
        "tags": [[3, 1], None, [1]],
        "kind": ["film", "film", "series"],
        "year": [1999, None, 2001],
        "vector": [[1.0, 2.0], [3.0, 4.0], None],
    }
)


def test_attributes_from_a_table(tmp_path):
    MOVIES.write_parquet(tmp_path / "movies.parquet")
    spec = items(
        tmp_path / "movies.parquet",
        id="id",
        title="name",
        categories={"genres": "|", "tags": None, "kind": None},
        numbers=["year"],
        text="kind",
        vectors=["vector"],
    )
    log = read_events(EVENTS, **NAMES, items=spec)
    catalogue = log.catalogue
    assert catalogue.vocabulary.all_ids.to_list() == ["x", "y", "z", "q"]  # those without events behind
    assert log.profile.items_without_event == 1
    assert log.profile.items == 3
    assert catalogue.titles([0, 2, 3, 4, 5]) == ["?", "x", "y", "Zorn", "Quark"]
    genres = catalogue.category("genres")
    assert genres.labels.all_ids.to_list() == ["Comedy", "Drama"]  # in the order of the index
    assert genres.padded.tolist() == [[0, 0], [0, 0], [2, 3], [0, 0], [3, 2], [0, 0]]
    assert catalogue.category("tags").labels.all_ids.to_list() == [1, 3]
    assert catalogue.category("tags").padded.tolist()[2:] == [[2, 0], [0, 0], [3, 2], [0, 0]]
    assert catalogue.category("kind").padded.tolist()[2:] == [[2], [0], [3], [3]]
    assert catalogue.numbers["year"].nan_to_num(-1).tolist() == [-1, -1, 2001, -1, 1999, -1]
    assert catalogue.text["kind"].to_list()[2:] == ["series", None, "film", "film"]
    assert catalogue.vectors["vector"].tolist()[2:] == [[0, 0], [0, 0], [1, 2], [3, 4]]
    assert len(log.features.catalogue) == log.features.items == 6


def test_attributes_from_the_event_table():
    frame = EVENTS.with_columns(
        pl.Series("title", [None, "Why", "Why not", "Ex", "Zed"]), pl.Series("age", [30, 40, 30, 40, 50])
    )
    log = read_events(frame, **NAMES, items=items(title="title"), users=users(numbers="age"))
    assert log.catalogue.titles([2, 3, 4]) == ["Ex", "Why", "Zed"]
    assert log.users.numbers["age"].tolist()[2:] == [30, 40, 50]
    assert log.profile.notes == ("'title' has several values for 1 ids: each keeps its first",)


def test_users_from_a_table_of_numbers_written_as_text(tmp_path):
    (tmp_path / "users.csv").write_text('uid,sex\n"3",F\n"1",M\n')
    frame = pl.DataFrame({"uid": [1, 3], "i": [1, 1]})
    table = pl.read_csv(tmp_path / "users.csv", infer_schema=False)
    log = read_events(frame, user="uid", item="i", users=users(table, categories={"sex": None}))
    assert log.users.category("sex").padded.tolist()[2:] == [[2], [3]]


# -- dropping ------------------------------------------------------------------------------------------------


def test_bad_rows_are_dropped_and_counted_by_reason():
    frame = pl.DataFrame(
        {
            "u": ["a", None, "b", "b", "c", None],
            "i": [1, 2, None, 4, 5, None],
            "t": [T, T, T, 10**11, T, T],
            "y": [1, 0, 1, 0, 0, 0],
            "title": ["one", "two", "x", "four", "five", "y"],
        }
    )
    log = read_events(
        frame, user="u", item="i", time="t", label="y", items=items(title="title"), on_bad="drop"
    )
    assert rows(log) == [("a", 1, T), ("c", 5, T)]
    assert log.label.tolist() == [1, 0]
    assert log.catalogue.titles([2, 3]) == ["one", "five"]
    assert log.profile.dropped == {"'u' is null": 2, "'i' is null": 1, "'t' lies in the future": 1}
    assert log.profile.read == 6 == log.profile.kept + sum(log.profile.dropped.values())


def test_dropped_rows_of_attribute_tables_are_told():
    table = pl.DataFrame({"item": ["x", "x", None], "year": [1, 2, 3]})
    log = read_events(EVENTS, **NAMES, items=items(table, numbers=["year"]), on_bad="drop")
    assert log.catalogue.numbers["year"].nan_to_num(0).tolist() == [0, 0, 1, 0, 0]
    assert any("DataFrame: 1 rows dropped" in note for note in log.profile.notes)


def test_dropping_does_not_mend_a_missing_column():
    with pytest.raises(DataError, match="'itm' is missing"):
        read_events(EVENTS, user="user", item="itm", on_bad="drop")


# -- the profile ---------------------------------------------------------------------------------------------


def test_the_profile_counts():
    profile = read_events(EVENTS, **NAMES, label=at_least("rating", 3)).profile
    assert (profile.source, profile.read, profile.kept, profile.users, profile.items) == (
        "DataFrame",
        5,
        5,
        3,
        3,
    )
    assert profile.history == {
        "min": 1,
        "p25": 1.5,
        "median": 2,
        "p75": 2,
        "max": 2,
        "mean": pytest.approx(5 / 3),
    }
    assert profile.popularity == {"top 1%": 0.4, "top 10%": 0.4}
    assert type(profile).from_dict(profile.as_dict()) == profile
    text = str(profile)
    assert "5 of 5 rows" in text
    assert "2020-09-13 12:26:40 to 2020-09-13 12:27:20 UTC" in text
    assert "60.0%" in text


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", [pl.Int64, pl.String])
def test_ties_that_follow_the_id_are_broken_by_a_hash(reverse, kind):
    count = 60
    order = range(count - 1, -1, -1) if reverse else range(count)
    frame = pl.DataFrame(
        {"u": np.repeat([1, 2], count), "i": [*order, *order], "t": np.repeat([T, T + 5], count)}
    )
    frame = frame.with_columns(pl.col("i").cast(kind))
    log = read_events(frame, user="u", item="i", time="t")
    assert log.profile.ties_follow_id
    assert log.profile.tie_order == "hash"
    assert f"{'descending' if reverse else 'ascending'} order of 'i'" in log.profile.notes[0]
    assert rows(log) == sorted(frame.iter_rows())
    first, second = log.item[:count], log.item[count:]
    assert not torch.equal(first, second)  # the hash knows the user
    ascending = (first.diff() > 0).double().mean()
    assert 0.3 < ascending < 0.7
    again = read_events(frame, user="u", item="i", time="t")
    other = read_events(frame, user="u", item="i", time="t", seed=1)
    assert torch.equal(log.item, again.item)
    assert not torch.equal(log.item, other.item)


def test_ties_in_random_order_keep_file_order(rng):
    order = torch.randperm(300, generator=rng).tolist()
    frame = pl.DataFrame({"u": [1] * 300, "i": order, "t": [T] * 300})
    log = read_events(frame, user="u", item="i", time="t")
    assert (log.profile.ties_follow_id, log.profile.tie_order) == (False, "file")
    assert log.item.tolist() == list(range(2, 302))
    assert log.profile.tied == 299


def test_few_ties_prove_nothing():
    frame = pl.DataFrame({"u": [1] * 50, "i": list(range(50)), "t": [T] * 50})
    assert read_events(frame, user="u", item="i", time="t").profile.tie_order == "file"


@pytest.mark.parametrize(
    "argument", [{"on_bad": "ignore"}, {"time_unit": "h"}, {"context": ["rating", "rating"]}]
)
def test_wrong_arguments(argument):
    with pytest.raises(ArgumentError):
        read_events(EVENTS, **NAMES, **argument)


def test_a_column_cannot_be_two_things():
    with pytest.raises(ArgumentError, match="item='u': expected another column than that of user"):
        read_events(EVENTS, user="u", item="u")
    with pytest.raises(ArgumentError, match="time='i': expected another column than that of item"):
        read_events(EVENTS, user="u", item="i", time="i")


# -- gaps ----------------------------------------------------------------------------------------------------


def test_ids_of_one_table_only_are_counted_both_ways():
    films = pl.DataFrame({"item": ["x", "q", "z", "r"], "year": [1, 2, None, 4], "of": ["a", "b", None, "d"]})
    people = pl.DataFrame({"user": ["a", "e"], "age": [30, 40]})
    log = read_events(
        EVENTS,
        **NAMES,
        items=items(films, numbers="year", categories=["of"]),
        users=users(people, numbers="age"),
    )
    profile = log.profile
    assert (profile.items_without_event, profile.users_without_event) == (2, 1)  # q and r; e
    assert profile.items_without_attributes == 2  # y has no row, z one that says nothing
    assert profile.users_without_attributes == 2  # b and c
    assert profile.gaps() == {
        "items without an event": 2, "items without attributes": 2,
        "users without an event": 1, "users without attributes": 2,
    }  # fmt: skip
    for name, count in profile.gaps().items():
        assert (name, str(count)) in profile.rows()


def test_gaps_of_columns_of_the_event_table():
    frame = EVENTS.with_columns(genre=pl.Series(["a", None, None, "b", None]))
    log = read_events(frame, **NAMES, items=items(categories=["genre"]))
    assert (log.profile.items_without_event, log.profile.items_without_attributes) == (0, 2)
    assert read_events(EVENTS, **NAMES).profile.gaps() == {}


def test_ids_that_may_be_none_are_noted_with_their_rows(tmp_path):
    frame = pl.DataFrame({"u": ["a", "NA", " a", "a", "null"], "i": ["x", "y", "x", "z", "y"]})
    frame.write_csv(tmp_path / "e.csv")
    for source, first in (
        (frame, "row 1: 'NA', row 4: 'null'"),
        (tmp_path / "e.csv", "line 3: 'NA', line 6: "),
    ):
        log = read_events(source, user="u", item="i")
        assert len(log) == 5  # they may be ids
        nothing, spaces = log.profile.notes
        assert f"'u' holds an id that may stand for nothing: 2 of its rows ({first}" in nothing
        assert "'u' holds an id between spaces: 1 of its rows" in spaces
    assert read_events(frame[[0, 3]], user="u", item="i").profile.notes == ()
