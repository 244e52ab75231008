"""Event tables of every kind."""

import gzip

import polars as pl
import pytest
import torch

from penchant.data.events import at_least, read_events

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
