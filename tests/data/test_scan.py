"""Event tables of every kind."""

import gzip

import polars as pl
import pytest
import torch

from penchant.data.events import at_least, items, read_events
from penchant.errors import DataError

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


def same(a, b):
    """Whether two logs hold the same, whatever they were read from."""
    assert a.users.vocabulary.all_ids.equals(b.users.vocabulary.all_ids)
    assert a.catalogue.vocabulary.all_ids.equals(b.catalogue.vocabulary.all_ids)
    for name in ("offsets", "item", "time", "label", "event"):
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None) == (y is None), name
        if x is not None:
            torch.testing.assert_close(x, y, msg=name)
    assert a.columns.keys() == b.columns.keys()
    for name in a.columns:
        torch.testing.assert_close(a.columns[name], b.columns[name], equal_nan=True)
    return True


@pytest.fixture
def sources(tmp_path):
    """The same events in every form."""
    folder = tmp_path / "parts"
    folder.mkdir()
    EVENTS[:2].write_parquet(folder / "a.parquet")
    EVENTS[2:].write_parquet(folder / "b.parquet")
    EVENTS.write_csv(tmp_path / "e.csv")
    for name, separator in (("e.tsv", "\t"), ("semicolons.csv", ";"), ("bars.txt", "|")):
        EVENTS.write_csv(tmp_path / name, separator=separator)
    (tmp_path / "bom.csv").write_bytes(
        b"\xef\xbb\xbf" + (tmp_path / "e.csv").read_bytes().replace(b"\n", b"\r\n")
    )
    with gzip.open(tmp_path / "e.csv.gz", "wb") as file:
        file.write((tmp_path / "e.csv").read_bytes())
    EVENTS.write_ndjson(tmp_path / "e.ndjson")
    EVENTS.write_ndjson(tmp_path / "e.jsonl")
    EVENTS.write_ipc(tmp_path / "e.arrow")
    EVENTS.write_ipc(tmp_path / "e.feather")
    types = {"user": "token", "item": "token", "time": "float", "rating": "float"}
    EVENTS.rename({n: f"{n}:{t}" for n, t in types.items()}).write_csv(tmp_path / "e.inter", separator="\t")
    return {
        "frame": EVENTS,
        "lazy": EVENTS.lazy(),
        "pandas": EVENTS.to_pandas(),
        "pyarrow": EVENTS.to_arrow(),
        "batch": EVENTS.to_arrow().to_batches()[0],
        "dict": EVENTS.to_dict(as_series=False),
        "folder": folder,
        "pattern": str(folder / "*.parquet"),
        "path as text": str(tmp_path / "e.csv"),
        **{path.name: path for path in tmp_path.iterdir() if path.is_file()},
    }


def test_all_kinds_of_sources_give_the_same_log(sources):
    arguments = NAMES | {"label": at_least("rating", 3), "context": ["rating"]}
    expected = read_events(EVENTS, **arguments)
    assert len(sources) >= 18
    for name, source in sources.items():
        assert same(read_events(source, **arguments), expected), name


def test_only_the_columns_that_are_named_are_read():
    def fail(_):
        raise AssertionError("read")

    lazy = EVENTS.lazy().with_columns(pl.col("rating").map_batches(fail, return_dtype=pl.Int64))
    assert len(read_events(lazy, **NAMES)) == 5
    frame = EVENTS.to_pandas()
    frame["mixed"] = [1, "x", None, 2.5, b"z"]  # PyArrow cannot convert this one
    assert len(read_events(frame, **NAMES)) == 5


def test_a_text_file_whose_ids_become_text_late(tmp_path):
    ids = [f"{n:04}" for n in range(3_000)] + ["A12"]
    pl.DataFrame({"u": ids, "i": range(3_001)}).write_csv(tmp_path / "late.csv")
    log = read_events(tmp_path / "late.csv", user="u", item="i")
    assert log.users.vocabulary.all_ids[1] == "0001"  # as it is written
    assert log.catalogue.vocabulary.dtype == pl.Int64
    lines = [f'{{"u": {n}, "i": {n}}}\n' for n in range(3_000)] + ['{"u": "A12", "i": 3000}\n']
    (tmp_path / "late.ndjson").write_text("".join(lines))
    log = read_events(tmp_path / "late.ndjson", user="u", item="i")
    assert log.users.vocabulary.all_ids[-1] == "A12"


def test_quotes_in_atomic_files_are_letters(tmp_path):
    (tmp_path / "q.inter").write_text('user_id:token\titem_id:token\n1\t"Heroes\n2\tHeroes"\n')
    log = read_events(tmp_path / "q.inter", user="user_id", item="item_id")
    assert log.catalogue.vocabulary.all_ids.to_list() == ['"Heroes', 'Heroes"']


@pytest.mark.parametrize("name", ["e.csv", "e.tsv", "e.csv.gz", "e.inter"])
@pytest.mark.parametrize("late", [0, 3_000])
@pytest.mark.parametrize("quote", ["", '"'])
def test_ids_with_leading_zeros_stay_as_they_are_written(tmp_path, name, late, quote):
    separator = "," if "csv" in name else "\t"
    quote = "" if name == "e.inter" else quote
    head = separator.join(["u:token", "i:token", "n:float"] if name == "e.inter" else ["u", "i", "n"])
    rows = [(str(n), str(n % 7 + 1), f"{n / 2}") for n in range(1, late + 1)]
    rows += [("007", "1", "1.5"), ("7", "2", "0.5")]
    text = "\n".join([head, *(separator.join([f"{quote}{u}{quote}", i, n]) for u, i, n in rows), ""])
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    log = read_events(path, user="u", item="i", context=["n"])
    ids = log.users.vocabulary.all_ids
    assert ids.dtype == pl.String
    assert {"007", "7"} <= set(ids)
    assert log.catalogue.vocabulary.dtype == pl.Int64  # nothing but the column itself is touched
    assert not log.column_labels


def test_leading_zeros_are_found_wherever_they_stand(tmp_path, monkeypatch):
    monkeypatch.setattr("penchant.data.textfiles._BLOCK", 5)  # bytes: a field lies across blocks somewhere
    for pad in range(12):
        (tmp_path / "z.csv").write_text(f"u,i\n{'1' * (pad + 1)},22\n007,3\n")
        assert read_events(tmp_path / "z.csv", user="u", item="i").users.vocabulary.all_ids[1] == "007"
    (tmp_path / "z.csv").write_text("u,i\n1,0\n2,10\n0,200\n")  # zeros that do not lead
    assert read_events(tmp_path / "z.csv", user="u", item="i").users.vocabulary.all_ids.to_list() == [1, 2, 0]


def test_numbers_with_leading_zeros_are_numbers_where_numbers_are_asked_for(tmp_path):
    (tmp_path / "n.csv").write_text(f"u,i,t,r,h\n1,1,0{T},05,08\n1,2,0{T + 9},03,23\n")
    log = read_events(tmp_path / "n.csv", user="u", item="i", time="t", label=at_least("r", 4), context=["h"])
    assert log.time.tolist() == [T, T + 9]
    assert log.label.tolist() == [1, 0]
    assert log.columns["h"].tolist() == [8, 23]


@pytest.mark.parametrize("named", [{"context": ["x"]}, {}], ids=["all columns", "some columns"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_row_with_more_fields_than_the_header_is_told(tmp_path, named, packed):
    text = b'u,i,x\n1,2,3\n1,"4,5",6\n7,8,9,10\n\n"a",1\n2,3,"4",,5\n'
    path = tmp_path / ("e.csv.gz" if packed else "e.csv")
    path.write_bytes(gzip.compress(text) if packed else text)
    with pytest.raises(DataError, match="the table has more fields than its header in 2 rows") as caught:
        read_events(path, user="u", item="i", **named)
    problem, *others = caught.value.problems
    assert list(problem.rows) == [2, 5]
    assert list(problem.values) == ["7,8,9,10", "2,3,4,,5"]
    assert {(p.what, *p.rows) for p in others} == {("is null", 3)}  # the empty line
    assert "quote the fields that hold a ','" in problem.fix


def test_empty_fields_at_the_end_of_rows_and_rows_that_are_short_lose_nothing(tmp_path):
    (tmp_path / "e.csv").write_text("u,i,x\n1,2,3,\n4,5\n6,7,8,,\n")
    log = read_events(tmp_path / "e.csv", user="u", item="i", context=["x"])
    assert log.users.vocabulary.all_ids.to_list() == [1, 4, 6]
    assert log.columns["x"].nan_to_num(-1).tolist() == [3, -1, 8]


def test_what_stands_in_a_column_that_nobody_named_is_no_matter(tmp_path):
    rows = "".join(f"{n},{n},{n}\n" for n in range(2_000))
    (tmp_path / "e.csv").write_text(f"u,i,x\n{rows}5,6,word\n")
    log = read_events(tmp_path / "e.csv", user="u", item="i")
    assert len(log) == 2_001
    assert log.users.vocabulary.dtype == pl.Int64


@pytest.mark.parametrize("atomic", [False, True])
def test_rows_with_too_many_fields_can_be_dropped(tmp_path, atomic):
    text = "u,i,n\n1,2,3\n4,a,5,7\n8,9,10\n"
    path = tmp_path / ("e.inter" if atomic else "e.csv")
    path.write_text(text.replace(",", "\t") if atomic else text)
    with pytest.raises(DataError) as caught:
        read_events(path, user="u", item="i", context=["n"])
    (problem,) = caught.value.problems  # what stands in such a row is no further problem
    assert list(problem.places) == ["line 3"]
    assert 'or pass on_bad="drop" (--on-bad drop)' in problem.fix
    log = read_events(path, user="u", item="i", context=["n"], on_bad="drop")
    assert log.users.vocabulary.all_ids.to_list() == [1, 8]
    assert log.catalogue.vocabulary.all_ids.to_list() == [2, 9]  # numbers all the same
    assert log.column("n").tolist() == [3, 10]
    assert log.profile.dropped == {"has more fields than its header": 1}
    assert (log.profile.read, log.profile.kept) == (3, 2)


def test_rows_of_text_files_are_called_by_their_line(tmp_path):
    text = '\nu,i,n\n1,"a\nb",3\n,c,4\n\n5,,6\n'
    (tmp_path / "e.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read_events(tmp_path / "e.csv", user="u", item="i")
    assert [(p.column, list(p.rows), list(p.places)) for p in caught.value.problems] == [
        ("u", [1, 2], ["line 5", "line 6"]),
        ("i", [2, 3], ["line 6", "line 7"]),
    ]
    assert "(line 5: None, line 6: None)" in str(caught.value)
    (tmp_path / "f.csv").write_text("u,i,n\n7,d,1\n,d,1\n")
    with pytest.raises(DataError, match=r"e\.csv line 6: None, f\.csv line 3: None\)"):
        read_events(str(tmp_path / "[ef].csv"), user="u", item="i")


def test_rows_of_attribute_tables_are_called_by_their_line(tmp_path):
    (tmp_path / "items.csv").write_text("i,n\n1,2\n1,3\n2,inf\n")
    spec = items(tmp_path / "items.csv", numbers="n")
    with pytest.raises(DataError) as caught:
        read_events(pl.DataFrame({"u": [1], "i": [1]}), user="u", item="i", items=spec)
    assert [list(p.places) for p in caught.value.problems] == [["line 3"], ["line 4"]]


@pytest.mark.parametrize("name", ["e.csv", "e.inter", "pandas"])
def test_a_column_name_that_stands_twice_is_told_where_it_is_named(tmp_path, name):
    if name == "pandas":
        source = pl.DataFrame({"u": [1], "i": [2], "v": [3], "j": [4]}).to_pandas().rename(columns={"v": "u"})
    else:
        source = tmp_path / name
        inter = "u:token\ti:token\tu:float\tj:token\n1\t2\t3\t4\n"
        source.write_text(inter if "inter" in name else "u,i,u,j\n1,2,3,4\n")
    with pytest.raises(DataError, match="column 'u' stands twice in the header"):
        read_events(source, user="u", item="i")
    assert len(read_events(source, user="j", item="i")) == 1
