"""Runs as files and frames: how they are read, and why some are not."""

import polars as pl
import pytest
import torch

from listed import SMALL, named
from penchant.data import read_events
from penchant.errors import ArgumentError, DataError
from penchant.evaluation.runfiles import file_format, read_run, write_run


@pytest.mark.parametrize(
    ("user", "item", "order"),
    [
        ("user", "item", "rank"),
        ("user_id", "item_id", "score"),  # RecTools, LensKit
        ("query_id", "item_id", "rating"),  # RePlay
        ("qid", "docno", "score"),
        ("User ID", "itemId", "Rank"),
    ],
)
def test_columns_are_found_by_what_tools_call_them(user, item, order):
    frame = pl.DataFrame({"other": ["x", "x"], user: ["u2", "u2"], item: ["i5", "i3"], order: [1, 2]})
    run = read_run(frame, SMALL)
    assert sorted(named(SMALL, run, "u2")) == ["i3", "i5"]
    assert named(SMALL, run, "u2") == (["i5", "i3"] if order.lower() == "rank" else ["i3", "i5"])
    odd = frame.rename({user: "who", item: "what", order: "how"})
    with pytest.raises(DataError, match=r"says that it holds users[\s\S]*holds items"):
        read_run(odd, SMALL)
    chosen = {"rank" if order.lower() == "rank" else "score": "how"}
    again = read_run(odd, SMALL, user="who", item="what", **chosen)
    assert torch.equal(again.lists.values, run.lists.values)


def test_ids_are_text_or_numbers_as_events_have_them(tmp_path):
    def log_with(ids):
        return read_events(pl.DataFrame({"u": ids, "i": ids}), user="u", item="i")

    file = tmp_path / "run.csv"
    file.write_text("user,item,rank\n007,007,1\n007,12,2\n")
    text = log_with(["007", "7", "12"])
    assert named(text, read_run(file, text), "007") == ["007", "12"]
    numbers = log_with([7, 12])
    with pytest.raises(DataError, match="'user' has no id in common with the log"):
        read_run(file, numbers)  # 007 is not 7
    file.write_text("user,item,rank\n7,7,1\n7,12,2\n")
    assert named(numbers, read_run(file, numbers), 7) == [7, 12]
    assert named(text, read_run(file, text), "7") == ["7", "12"]
    trec = tmp_path / "run.trec"
    trec.write_text("7 Q0 12 1 0.5 tag\n7 Q0 007 2 0.4 tag\n")
    assert named(numbers, read_run(trec, numbers), 7) == [12, None]
    assert named(text, read_run(trec, text), "7") == ["12", "007"]
    floats = pl.DataFrame({"user": [7.0, 7.0], "item": [12.0, 7.0], "rank": [1.0, 2.0]})  # a pandas habit
    assert named(numbers, read_run(floats, numbers), 7) == [12, 7]


def test_trec_runs_are_known_by_ending_or_first_line(tmp_path):
    text = "u2\tQ0 i5 1  2.5 tag\n\nu2 Q0 i3 2 1e-1 tag\n u3 Q0 i2 0 -3 tag\n"
    for name in ("a.trec", "a.run", "a.txt", "a"):
        (tmp_path / name).write_text(text)
        run = read_run(tmp_path / name, SMALL)
        assert named(SMALL, run, "u2") == ["i5", "i3"]
        assert named(SMALL, run, "u3") == ["i2"]
        assert run.scores.tolist() == pytest.approx([2.5, 0.1, -3])
        assert run.name == "a"
    (tmp_path / "a.dat").write_text(text)
    assert named(SMALL, read_run(tmp_path / "a.dat", SMALL, format="trec"), "u3") == ["i2"]
    (tmp_path / "table.txt").write_text("user\titem\trank\nu2\ti2\t1\n")
    assert named(SMALL, read_run(tmp_path / "table.txt", SMALL), "u2") == ["i2"]
    (tmp_path / "a.trec").write_text(text + "u4 Q0 i2 1 2\n")
    with pytest.raises(DataError, match=r"another number of words than 6 in 1 row \(line 5: 'u4 Q0 i2 1 2'"):
        read_run(tmp_path / "a.trec", SMALL)
    (tmp_path / "a.trec").write_text(text.replace("2.5", "high"))
    with pytest.raises(DataError, match=r"'score' is no number in 1 row \(line 1: 'high'"):
        read_run(tmp_path / "a.trec", SMALL)
    (tmp_path / "a.trec").write_text("")
    with pytest.raises(DataError, match="is empty"):
        read_run(tmp_path / "a.trec", SMALL)


GOOD = pl.DataFrame({"user": ["u2", "u2", "u3"], "item": ["i2", "i3", "i2"], "score": [0.5, 0.4, 0.1]})


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (GOOD.with_columns(score=pl.Series([0.5, float("nan"), 0.1])), r"'score' is null in 1 row \(row 1"),
        (GOOD.with_columns(score=pl.Series([0.5, float("inf"), 0.1])), "infinite"),
        (GOOD.with_columns(score=pl.Series([0.5, None, 0.1])), r"'score' is null in 1 row \(row 1"),
        (GOOD.with_columns(score=pl.lit("high")), "'score' is of type String"),
        (GOOD.with_columns(item=pl.lit("i2")), r"'item' stands twice in one list in 1 row \(row 1: 'i2 of u"),
        (GOOD.with_columns(rank=pl.lit(0)), r"'rank' stands twice in one list[\s\S]*go by the score"),
        (GOOD.with_columns(rank=pl.Series([1.0, 1.5, 1.0])), "'rank' is no whole number"),
        (GOOD.with_columns(user=pl.Series(["u2", None, "u3"])), "'user' is null"),
        (GOOD.with_columns(user=pl.lit("x")), r"'user' has no id in common[\s\S]*'u2', 'u3', 'u4', not 'x'"),
        (GOOD.with_columns(item=pl.Series(["x", "y", "x"])), "'item' has no id in common"),
        (GOOD.drop("score"), "neither ranks nor scores"),
        (GOOD.drop("item"), r"no column that says that it holds items[\s\S]*item="),
        (GOOD.with_columns(user_id="user").rename({"user": "uid"}), "several columns that may hold users"),
        (GOOD.head(0), "is empty"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_a_run_says_why(frame, told):
    with pytest.raises(DataError, match=told) as error:
        read_run(frame, SMALL)
    assert "on_bad" not in str(error.value)  # no argument of this reader


def test_all_problems_are_told_at_once():
    frame = GOOD.with_columns(user=pl.Series(["u2", None, "u3"]), score=pl.Series([0.5, None, 0.1]))
    with pytest.raises(DataError) as error:
        read_run(frame, SMALL)
    assert len(error.value.problems) == 2
    with pytest.raises(DataError, match="did you mean 'score'"):
        read_run(GOOD, SMALL, score="scroe")
    with pytest.raises(ArgumentError, match="a file that is there"):
        read_run("nowhere.csv", SMALL)
    with pytest.raises(ArgumentError, match="a file that is there"):
        read_run("nowhere.trec", SMALL)
    with pytest.raises(ArgumentError, match="'trec'"):
        read_run(GOOD, SMALL, format="csv")


# -- writing -----------------------------------------------------------------------------------------------


def test_what_cannot_be_written_says_why(tmp_path):
    run = read_run(GOOD, SMALL)
    with pytest.raises(ArgumentError, match="the log whose ids"):
        write_run(run, tmp_path / "r.csv")
    with pytest.raises(ArgumentError, match=r"ends in one of \.parquet"):
        write_run(run, tmp_path / "r.xlsx", SMALL)
    with pytest.raises(DataError, match="'rank' is missing"):
        write_run(GOOD, tmp_path / "r.csv")
    spaced = pl.DataFrame({"user": ["a b", "c"], "item": ["d", "e"], "rank": [1, 1]})
    with pytest.raises(DataError, match=r"'user' holds a blank in 1 row \(row 0: 'a b'"):
        write_run(spaced, tmp_path / "r.trec")
    with pytest.raises(ArgumentError, match="without blanks"):
        write_run(run, tmp_path / "r.trec", SMALL, tag="my run")
    assert list(tmp_path.iterdir()) == []
    assert (file_format("x.trec"), file_format("x.csv"), file_format("x.txt", "trec")) == (
        "trec", "table", "trec",
    )  # fmt: skip


def test_trec_lines_as_trec_eval_reads_them(tmp_path):
    frame = GOOD.with_columns(score=pl.Series([0.5, 0.25, -3.0]))
    write_run(read_run(frame, SMALL), tmp_path / "r.trec", SMALL, tag="mine")
    text = "u2 Q0 i2 1 0.5 mine\nu2 Q0 i3 2 0.25 mine\nu3 Q0 i2 1 -3.0 mine\n"
    assert (tmp_path / "r.trec").read_text() == text
    without = frame.with_columns(rank=pl.Series([1, 4, 1]))
    write_run(read_run(without, SMALL, rank="rank"), tmp_path / "r.trec", SMALL)
    scores = [line.split()[4] for line in (tmp_path / "r.trec").read_text().splitlines()]
    assert scores == ["1.0", "0.5", "1.0"]  # falling with the rank, for tools that go by the score
