"""Bad event tables: every problem in one error, with column, count, rows, values and remedy."""

import time
from datetime import UTC, datetime

import pandas as pd
import polars as pl
import pytest

from penchant.data.events import at_least, categorical, items, read_events, users
from penchant.errors import ArgumentError, DataError

T = 1_600_000_000
GOOD = {"u": [1, 2, 3, 1], "i": ["a", "b", "a", "c"], "t": [T, T + 1, T + 2, T + 3], "y": [1, 0, 1, 0]}


def problems(source, **arguments):
    """What the one error lists."""
    defaults = {"user": "u", "item": "i"}
    with pytest.raises(DataError) as caught:
        read_events(source, **(defaults | arguments))
    return caught.value.problems


def with_(**columns):
    return pl.DataFrame(GOOD | columns, strict=False)


def test_one_error_lists_everything():
    frame = with_(
        u=[1, None, 2.5, 4],
        i=["a", "b", None, ""],
        t=[T, "yesterday", None, str(T)],
        y=[1, 2, 0, None],
        x=[[1]] * 4,
    ).with_columns(pl.Series("t", [str(T), "yesterday", None, str(T)]))
    films = pl.DataFrame({"film": ["a", "a"], "year": ["new", "old"]})
    found = problems(
        frame,
        time="t",
        label="y",
        event="evnt",
        context=["x"],
        items=items(films, id="item", numbers=["year"], title="titel"),
    )
    said = {(p.column, p.what.split(" (")[0], p.count) for p in found}
    assert said == {
        ("evnt", "is missing", 0),
        ("x", "is of type List(Int64)", 0),
        ("u", "is null", 1),
        ("u", "is no whole number", 1),
        ("i", "is null", 2),
        ("t", "is no time", 1),
        ("t", "is null", 1),
        ("y", "is null", 1),
        ("y", "is neither 0 nor 1", 1),
        ("y", "gives the label 1 in all rows", 0),
        ("item", "of DataFrame is missing", 0),
        ("titel", "of DataFrame is missing", 0),
        ("year", "of DataFrame is of type String", 0),
    }
    assert all(p.expected and p.fix for p in found)


def test_the_text_of_the_error_teaches():
    with pytest.raises(DataError) as caught:
        read_events(with_(t=[T, None, T, None]), user="u", item="itm", time="t")
    assert str(caught.value) == (
        "DataFrame: 2 problems.\n"
        "  1. column 'itm' is missing.\n"
        "    Expected: a column for item.\n"
        "    Fix: correct the name (known: i, t, u, y).\n"
        "  2. column 't' is null in 2 rows (row 1: None, row 3: None).\n"
        "    Expected: a time in every row.\n"
        '    Fix: fill it in, or pass on_bad="drop" (--on-bad drop).'
    )


def test_at_most_five_rows_are_shown():
    frame = pl.DataFrame({"u": [None] * 9 + [1], "i": range(10)})
    (problem,) = problems(frame)
    assert (problem.count, list(problem.rows), list(problem.values)) == (9, [0, 1, 2, 3, 4], [None] * 5)


@pytest.mark.parametrize("column", ["u", "i"])
@pytest.mark.parametrize(
    "bad", [[True, False, True, True], [[1]] * 4, [datetime(2020, 1, 1)] * 4, [b"a"] * 4], ids=str
)
def test_ids_of_a_wrong_type(column, bad):
    (problem,) = problems(with_(**{column: bad}))
    assert problem.column == column
    assert problem.what.startswith("is of type")


def test_nan_and_fractions_are_no_ids():
    nan, odd = problems(with_(u=[1.0, float("nan"), 2.5, float("inf")]))
    assert (nan.what, list(nan.rows)) == ("is null", [1])
    assert (odd.what, list(odd.rows), list(odd.values)) == ("is no whole number", [2, 3], [2.5, float("inf")])


def test_empty_and_blank_ids_are_null_in_every_kind_of_column():
    for dtype in (pl.String, pl.Categorical):
        frame = with_(i=["a", "", " \t", "b"]).with_columns(pl.col("i").cast(dtype))
        (problem,) = problems(frame)
        assert (problem.column, problem.what, list(problem.rows)) == ("i", "is null", [1, 2])
    log = read_events(with_(x=["a", " ", "", "b"]), user="u", item="i", context=["x"])
    assert log.column("x").tolist() == [2, 3, 1, 1]  # by user: rows 0, 3, 1, 2


def test_a_column_is_named_by_text():
    for name in ("user", "item"):
        with pytest.raises(ArgumentError, match=f"{name}=None: expected the name of a column"):
            read_events(with_(), **({"user": "u", "item": "i"} | {name: None}))


# -- times ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "what", "rows"),
    [
        ([T, None, T, T], "is null", [1]),
        ([float(T), float("nan"), T, T], "is not finite", [1]),
        ([float(T), float("inf"), T, T], "is not finite", [1]),
        ([str(T), str(T), "yesterday", str(T)], "is no time", [2]),
        (["2020-01-01", "2020-01-02", "soon", "2020-01-03"], "is no time", [2]),
        (["2020-01-01", "", "2020-02-30", "2020-01-03"], "is null", [1]),
        ([T, T, T * 1_000, T], "is in ms where most rows are in s", [2]),
        ([T * 1_000, T * 1_000, T, T * 1_000], "is in s where most rows are in ms", [2]),
        ([T, T, T * 10**9, T], "is in ns where most rows are in s", [2]),
        ([T, 0, T, -1], "lies before 1990 where other rows do not", [1, 3]),
        ([T, T, T, 4 * T], "lies in the future", [3]),
        ([1e300, T, T, T], "is in ns where most rows are in s", [0]),
        ([1e300] * 4, "lies in the future", [0, 1, 2, 3]),
        (["2020-01-01", "2020-01-02", "9999-12-31", "2020-01-03"], "lies in the future", [2]),
        (
            ["1970-01-01", "2020-01-02", "2020-01-01", "2020-01-03"],
            "lies before 1971 where other rows do not",
            [0],
        ),
        ([None] * 4, "is null", [0, 1, 2, 3]),
        ([""] * 4, "is null", [0, 1, 2, 3]),
    ],
    ids=str,
)
def test_times_that_cannot_be(column, what, rows):
    frame = with_(t=pl.Series(column, strict=False))
    found = problems(frame, time="t")
    problem = next(p for p in found if p.column == "t")
    assert problem.what == what
    assert list(problem.rows) == rows
    assert list(problem.values) == frame["t"].gather(rows).to_list() or column[1] != column[1]


def test_the_far_future_begins_after_a_day():
    now = int(time.time())
    assert len(read_events(with_(t=[T, T, T, now + 80_000]), user="u", item="i", time="t")) == 4
    (problem,) = problems(with_(t=[T, T, T, now + 90_000]), time="t")
    assert problem.what == "lies in the future"


def test_a_stated_unit_is_believed_but_not_about_the_future():
    frame = with_(t=[T, T + 1, 0, 5])
    assert len(read_events(frame, user="u", item="i", time="t", time_unit="s")) == 4
    assert problems(with_(t=[T * 1_000] * 4), time="t", time_unit="s")[0].count == 4


def test_a_stated_unit_that_cannot_be_meant_is_noted():
    def notes(times, unit):
        return read_events(with_(t=times), user="u", item="i", time="t", time_unit=unit).profile.notes

    (note,) = notes([T] * 4, "ms")
    assert "read as ms, as time_unit= says: so its last time is 1970-01-19" in note
    assert "read as s it is 2020-09-13" in note
    (note,) = notes([T * 10**6] * 4, "ns")
    assert "read as us it is 2020-09-13" in note
    assert notes([T * 1_000] * 4, "ms") == ()
    assert notes([5, 6, 7, 8], "s") == ()  # early in any unit
    assert notes([T, T, T, T * 1_000], "ms") == ()  # one unit cannot be right for all


def test_an_old_log_is_no_problem_as_long_as_all_of_it_is():
    frame = with_(t=[datetime(1965, 3, n, tzinfo=UTC) for n in (1, 2, 3, 4)])
    assert read_events(frame, user="u", item="i", time="t").profile.first < 0


def test_columns_that_hold_no_times():
    (problem,) = problems(with_(t=[True, False, True, True]), time="t")
    assert problem.what == "is of type Boolean"


# -- labels and context --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "label", "what", "rows"),
    [
        ([1, 0, 2, -1], "y", "is neither 0 nor 1", [2, 3]),
        ([1, 0, None, 0], "y", "is null", [2]),
        ([1.0, 0.0, float("nan"), 0.5], "y", "is null", [2]),
        (["true", "no", "false", ""], "y", "is null", [3]),
        ([5, None, 1, 4], at_least("y", 4), "is null", [1]),
        ([1, 1, 1, 1], "y", "gives the label 1 in all rows", []),
        ([0, 0, 0, 0], "y", "gives the label 0 in all rows", []),
        ([3, 2, 1, 1], at_least("y", 4), "gives the label 0 in all rows", []),
        (["good", "bad", "x", "y"], at_least("y", 4), "is of type String", []),
        ([[1], [0], [1], [1]], "y", "is of type List(Int64)", []),
    ],
    ids=str,
)
def test_labels_that_cannot_be(column, label, what, rows):
    found = problems(with_(y=column), label=label)
    problem = next(p for p in found if p.what == what)
    assert (problem.column, list(problem.rows)) == ("y", rows)


def test_one_class_among_the_rows_that_remain_is_no_label():
    frame = with_(u=[1, None, 3, None])  # both rows of label 0 are bad
    (problem,) = problems(frame, label="y", on_bad="drop")
    assert problem.what == "gives the label 1 in all rows"
    assert "leave `label` out" in problem.fix


def test_context_that_cannot_be():
    frame = with_(
        big=[2**24 + 1, 0, 0, 0], endless=[1.0, float("inf"), 0, 0], when=[datetime(2020, 1, 1)] * 4
    )
    big, when, endless = problems(frame, context=["big", "endless", "when"])
    assert "float32 cannot tell apart" in big.what
    assert when.what.startswith("is of type Datetime")
    assert (endless.what, list(endless.rows)) == ("is infinite as float32", [1])
    log = read_events(frame, user="u", item="i", context=[categorical("big")])
    assert log.column_labels["big"].all_ids.to_list() == [2**24 + 1, 0]


@pytest.mark.parametrize("bad", [float("inf"), -float("inf"), 1e39])
def test_an_attribute_that_float32_holds_as_infinite_is_told(bad):
    films = pl.DataFrame({"i": ["a", "b", "c"], "price": [1.0, bad, None], "v": [[1.0], [bad], [2.0]]})
    spec = items(films, numbers="price", vectors="v")
    price, vector = problems(with_(), items=spec)
    assert (price.what, list(price.rows)) == ("of DataFrame is infinite as float32", [1])
    assert (vector.what, list(vector.rows)) == ("of DataFrame holds a missing or infinite number", [1])
    log = read_events(with_(), user="u", item="i", items=spec, on_bad="drop")
    assert log.catalogue.numbers["price"].nan_to_num(-1).tolist() == [-1, -1, 1, -1, -1]
    assert problems(with_(x=[1.0, bad, 2.0, 3.0]), items=items(numbers="x"))[0].column == "x"


def test_words_among_numbers_of_a_text_file(tmp_path):
    rows = [f"{n},{n},{n % 5},{T + n}" for n in range(3_000)]
    path = tmp_path / "words.csv"
    path.write_text("\n".join(["u,i,r,t", *rows, f"3000,1,bad,{T}", "1,2,3,yesterday"]))
    arguments = {"time": "t", "label": at_least("r", 3), "context": ["r"]}
    found = [(p.column, p.what, tuple(p.rows), tuple(p.values)) for p in problems(path, **arguments)]
    assert len(found) == 2  # `r` has two roles and one problem
    assert set(found) == {
        ("t", "is no time", (3_001,), ("yesterday",)),
        ("r", "is no number", (3_000,), ("bad",)),
    }
    assert len(read_events(path, user="u", item="i", **arguments, on_bad="drop")) == 3_000


# -- attribute tables ----------------------------------------------------------------------------------------


def test_attribute_tables_that_cannot_be():
    table = pl.DataFrame(
        {
            "i": ["a", "a", None, "b"],
            "year": ["x", "y", "z", "w"],
            "genres": [1.5, 2.5, 3.5, 4.5],
            "title": [["a"], ["b"], ["c"], ["d"]],
            "v": [[1.0, 2.0], [1.0], [1.0, None], None],
            "w": ["a", "b", "c", "d"],
        }
    )
    spec = items(table, title="title", categories={"genres": None}, numbers=["year"], vectors=["v", "w"])
    found = {(p.column, p.what, tuple(p.rows)) for p in problems(with_(), items=spec)}
    assert found == {
        ("i", "of DataFrame is null", (2,)),
        ("i", "of DataFrame stands in an earlier row too", (1,)),
        ("year", "of DataFrame is of type String", ()),
        ("genres", "of DataFrame is of type Float64", ()),
        ("title", "of DataFrame is of type List(String)", ()),
        ("v", "of DataFrame has another length than the first vector", (1,)),
        ("v", "of DataFrame holds a missing or infinite number", (2,)),
        ("w", "of DataFrame is of type String", ()),
    }


def test_an_attribute_table_of_other_ids():
    (problem,) = problems(with_(), users=users(pl.DataFrame({"u": [71, 72], "age": [1, 2]}), numbers=["age"]))
    assert problem.what == "of DataFrame has no id in common with the event table"
    assert problem.expected == "ids such as 1, 2, 3 (column 'u' of the event table), not 71, 72"


def test_an_attribute_table_with_hardly_an_id_in_common_has_another_id_column():
    events = pl.DataFrame({"u": range(50), "i": range(50)})

    def read(ids):
        return read_events(events, user="u", item="i", items=items(table(ids), id="film", numbers="n"))

    def table(ids):
        return pl.DataFrame({"film": ids, "n": range(len(ids))})

    with pytest.raises(DataError) as caught:
        read([*range(1_000, 1_098), 1, 2])
    (problem,) = caught.value.problems
    assert problem.column == "film"
    assert problem.what == "of DataFrame has 2 of 100 ids in common with the event table"
    assert problem.expected == "ids such as 0, 1, 2 (column 'i' of the event table), not 1000, 1001, 1002"
    assert read([*range(1_000, 1_097), 1, 2, 3]).profile.items_without_event == 97
    assert read([3]).profile.items_without_attributes == 49  # of a few items something is known
    assert read([49]).profile.items_without_attributes == 49


def test_attributes_are_named_by_column_and_separator():
    with pytest.raises(ArgumentError, match="categories='genres'"):
        items("movies.csv", categories="genres")
    with pytest.raises(ArgumentError, match="pass None where a cell holds a single label"):
        items("movies.csv", categories={"genres": "|", "brand": ""})
    assert items("m.csv", categories=["brand"]) == items("m.csv", categories={"brand": None})
    assert items("m.csv", numbers="price", text="about") == items("m.csv", numbers=["price"], text=["about"])


# -- tables as a whole ---------------------------------------------------------------------------------------


def test_empty_tables(tmp_path):
    (tmp_path / "nothing.csv").write_text("")
    (tmp_path / "header.csv").write_text("u,i\n")
    for source in (
        pl.DataFrame(schema={"u": pl.Int64, "i": pl.Int64}),
        tmp_path / "nothing.csv",
        tmp_path / "header.csv",
    ):
        (problem,) = problems(source)
        assert (problem.column, problem.what) == (None, "is empty")


def test_no_row_is_left():
    (problem,) = problems(with_(u=[None] * 4), on_bad="drop")[:1]
    assert problem.what == "has no row without a problem"


def test_files_that_are_not_what_they_say(tmp_path):
    (tmp_path / "latin.csv").write_bytes("u,i\n1,caf\xe9\n".encode("latin1"))
    (tmp_path / "no.parquet").write_bytes(b"PAR0")
    (tmp_path / "no.ndjson").write_text('{"u": 1, "i": 1}\n{oops\n')
    (tmp_path / "no.arrow").write_bytes(b"ARROW")
    for name, what in (
        ("latin.csv", "UTF-8"),
        ("no.parquet", "read"),
        ("no.ndjson", "read"),
        ("no.arrow", "read"),
    ):
        (problem,) = problems(tmp_path / name)
        assert what in problem.what
    (problem,) = problems(with_(), items=items(tmp_path / "latin.csv", id="i", title="i"))
    assert "UTF-8" in problem.what


def test_a_pandas_column_of_mixed_types():
    frame = pd.DataFrame(GOOD | {"u": [1, "x", None, 2.5]})
    (problem,) = problems(frame)
    assert (problem.column, problem.what.split(" (")[0]) == ("u", "mixes types")


@pytest.mark.parametrize("name", ["log.csv", "no/such/log.csv", "*.parquet", "log.xlsx"])
def test_files_that_are_not_there_or_not_read(tmp_path, name):
    (tmp_path / "logs.csv").write_text("u,i\n1,1\n")
    (tmp_path / "log.xlsx").write_text("")
    with pytest.raises(ArgumentError) as caught:
        read_events(tmp_path / name, user="u", item="i")
    assert ("did you mean 'logs.csv'?" in str(caught.value)) == (name == "log.csv")


def test_things_that_are_no_tables():
    for source in (7, [1, 2], None):
        with pytest.raises(ArgumentError, match="source="):
            read_events(source, user="u", item="i")
    with pytest.raises(ArgumentError, match="items="):
        read_events(with_(), user="u", item="i", items=items(7, title="x"))
