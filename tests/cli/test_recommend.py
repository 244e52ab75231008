"""`penchant recommend`: every way of asking, and what nobody should ask."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import polars as pl
import pytest

from penchant.cli import recommend


@pytest.fixture
def ask(penchant, home):
    return lambda line: penchant(f"recommend {home / 'run'} {line}")


def test_a_list_for_people_has_titles_scores_and_reasons(ask):
    said = ask("--user 1 -k 5")
    assert said.code == 0, said.err
    assert "Film [" in said.out  # brackets are no markup
    assert "found by" in said.out


def test_a_list_for_programs_is_json_alone(ask):
    rows = ask("--user 1 --user 2 -k 5 --json").json["recommendations"]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5] * 2
    assert {row["user"] for row in rows} == {"1", "2"}
    assert {"item", "title", "score", "reason", "stage"} <= set(rows[0])


def test_the_bundle_itself_may_be_named(penchant, home):
    of_run = penchant(f"recommend {home / 'run'} --user 1 --json").json
    assert penchant(f"recommend {home / 'run' / 'bundle'} --user 1 --json").json == of_run


def test_an_unknown_user_gets_what_is_popular_and_is_told_so(ask):
    rows = ask("--user 999999 -k 3 --json").json["recommendations"]
    assert len(rows) == 3
    assert all("not in the log" in row["reason"] for row in rows)
    assert "not in the log" in ask("--user nobody").out


def test_a_history_of_nobody_in_the_log(ask):
    rows = ask("--history 100,101,102 -k 3 --json").json["recommendations"]
    assert len(rows) == 3
    assert not {row["item"] for row in rows} & {100, 101, 102}


def test_unknown_items_of_a_history_are_told(ask):
    said = ask("--history 100,99999,xyz -k 3")
    assert said.code == 0
    assert "not in the log, so nothing is known of: 99999, xyz" in said.err


def test_more_than_the_catalogue_holds_gives_what_there_is_and_says_so(ask):
    said = ask("--user 1 -k 1000000 --json")
    assert said.code == 0
    assert 0 < len(said.json["recommendations"]) <= 24
    assert "of 1,000,000 items: no more may be answered" in said.err


def test_everything_seen_gives_nothing_and_says_so(ask):
    every = ",".join(str(100 + i) for i in range(24))
    said = ask(f"--history {every}")
    assert said.code == 0
    assert "nothing may be answered" in said.err
    assert ask(f"--history {every} --json").json == {"recommendations": []}
    assert len(ask(f"--history {every} --seen keep -k 3 --json").json["recommendations"]) == 3


def test_rules(ask, tmp_path):
    best = ask("--user 1 -k 1 --json").json["recommendations"][0]["item"]
    assert best not in [row["item"] for row in ask(f"--user 1 --deny {best} --json").json["recommendations"]]
    (tmp_path / "shop").write_text("101\n103\n\n")
    rows = ask(f"--user 1 --seen keep --available {tmp_path / 'shop'} --json").json["recommendations"]
    assert {row["item"] for row in rows} == {101, 103}


def test_ids_that_deny_or_allow_nothing_are_told(ask, tmp_path):
    (tmp_path / "open.txt").write_text("100\n101\n102\n99999\n")
    said = ask(f"--user 1 --deny 100,nowhere,1e5 --available {tmp_path / 'open.txt'}")
    assert said.code == 0
    assert "--deny: 2 of 3 ids are not in the log: nowhere, 1e5" in said.err
    assert "--available: 1 of 4 ids are not in the log: 99999" in said.err
    assert "not in the log" not in ask("--user 1 --deny 100").err


def test_pins_and_quotas(ask):
    plain = [row["item"] for row in ask("--user 1 -k 6 --json").json["recommendations"]]
    said = ask(f"--user 1 -k 6 --pin {plain[5]}@2 --pin {plain[4]} --pin {plain[3]} --json")
    assert [row["item"] for row in said.json["recommendations"]] == [plain[i] for i in (4, 5, 3, 0, 1, 2)]
    assert [row["score"] is None for row in said.json["recommendations"]] == [True] * 3 + [False] * 3
    assert "moved down 3 by pinned items" in said.json["recommendations"][3]["reason"]
    # even items are of kind C, the others of A and B
    rows = ask("--user 1 -k 6 --seen keep --quota genres=2 --quota genres:C=1 --json").json["recommendations"]
    assert sorted(row["item"] % 2 for row in rows) == [0, 1, 1]
    assert "pinned" in ask(f"--user 1 --pin {plain[5]}").out


def test_because_names_what_was_seen(ask):
    said = ask("--user 1 -k 3 --because")
    assert said.code == 0, said.err
    reasons = [row["reason"] for row in ask("--user 1 -k 3 --because --json").json["recommendations"]]
    first = ask(f"--user 1 --explain {ask('--user 1 -k 1 --json').json['recommendations'][0]['item']} --json")
    best = [row for row in first.json["contributions"] if row["value"] > 0][:1]
    assert [f"because of {row['title']}" for row in best] == reasons[0].split("; ")[1:]
    assert any("because of Film [" in reason for reason in reasons)


def test_events_of_now(ask, tmp_path):
    (tmp_path / "now.csv").write_text("user,item\n777,100\n777,101\n")
    rows = ask(f"--events {tmp_path / 'now.csv'} -k 3 --json").json["recommendations"]
    assert [row["user"] for row in rows] == [777] * 3
    assert not any("not in the log" in row["reason"] for row in rows)


def test_what_is_like_an_item(ask):
    said = ask("--item 100 -k 3")
    assert said.code == 0
    assert "Like Film [0]" in said.out
    assert len(ask("--item 100 -k 3 --json").json["similar"]) == 3


def test_what_speaks_for_an_item(ask):
    assert "What speaks for Film [0]" in ask("--user 1 --explain 100").out
    rows = ask("--user 1 --explain 100 --json").json["contributions"]
    assert {"item", "title", "value"} <= set(rows[0])
    assert ask("--user 999999 --explain 100").code == 0


def test_lists_may_go_to_a_file(ask, tmp_path):
    assert ask(f"--user 1 -k 4 --out {tmp_path / 'one.csv'}").code == 0
    assert len(pl.read_csv(tmp_path / "one.csv")) == 4


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "for whom is the list?"),
        ("--user 1 --all --out x.parquet", "one of --user"),
        ("--all", "penchant: --all needs --out FILE.parquet."),
        ("--all --out x.csv", "a .parquet file"),
        ("--user 1 --out x.docx", "a file name that ends in"),
        ("--item 99999", "an item id of the log"),
        ("--explain 100", "whose list is it?"),
        ("--user 1 --explain 99999", "an item id of the log"),
        ("--user 1 --at yesterday", "a date or time such as"),
        ("--user 1 --pin @2", "--pin='@2': expected ID or ID@PLACE"),
        ("--user 1 --pin 100 --pin 100@3", "every item once"),
        ("--user 1 --pin 100@0", "an integer of at least 1"),
        ("--user 1 --pin 99999", "penchant: --pin"),
        ("--user 1 --pin 100@11", "a place up to k=10"),
        ("--user 1 --pin 100 --deny 100", "it is denied or not available"),
        ("--user 1 --quota genres", "COLUMN=N or COLUMN:VALUE=N, such as genres=3"),
        ("--user 1 --quota genres:=1", "COLUMN=N or COLUMN:VALUE=N"),
        ("--user 1 --quota genres=-1", "COLUMN=N or COLUMN:VALUE=N"),
        ("--user 1 --quota genre=1", "penchant: --quota"),
        ("--user 1 --quota genre=1", "did you mean 'genres'"),
        ("--user 1 --quota genres:D=1", "a value of genres"),
        ("--events nowhere.csv", "nowhere.csv"),
        ("--events x.docx", "a file that is there"),
        ("--user 1 --available nowhere", "nowhere"),
        ("--user 1 --available /dev/null", "--available='/dev/null': expected one item id a line"),
    ],
)
def test_what_cannot_be_asked_says_why(ask, line, told):
    said = ask(line)
    assert said.code == 2
    assert told in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


@pytest.mark.parametrize("what", ["nothing", "cut short", "stranger"])
def test_a_bad_bundle_is_refused(penchant, home, tmp_path, what):
    bundle = tmp_path / "bundle"
    if what != "nothing":
        shutil.copytree(home / "run" / "bundle", bundle)
    if what == "cut short":
        next((bundle / "weights").iterdir()).unlink()
    if what == "stranger":
        file = bundle / "bundle.json"
        file.write_text(file.read_text().replace("penchant.retrieve.sasrec.SASRec", "os.path.SASRec"))
    said = penchant(f"recommend {bundle} --user 1")
    assert said.code == 2
    assert "Traceback" not in said.err


# -- everyone ----------------------------------------------------------------------------------------------


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(recommend, "AT_ONCE", 10)


@pytest.mark.usefixtures("small_parts")
def test_everyone_gets_the_list_they_would_get_alone(ask, tmp_path):
    said = ask(f"--all -k 3 --out {tmp_path / 'all.parquet'} --json")
    assert said.code == 0, said.err
    every = pl.read_parquet(tmp_path / "all.parquet")
    assert said.json == {"out": str(tmp_path / "all.parquet"), "rows": len(every), "users": 30}
    assert every["user"].n_unique() == 30
    alone = ask("--user 7 -k 3 --json").json["recommendations"]
    assert every.filter(pl.col("user") == 7)["item"].to_list() == [row["item"] for row in alone]
    assert [file.name for file in tmp_path.iterdir()] == ["all.parquet"]  # nothing left behind


CHILD = """
import sys, time
from penchant.cli import main, recommend
recommend.AT_ONCE = 10
whole = recommend._write
def slow(frame, path):
    whole(frame, path)
    time.sleep(float(sys.argv[1]))
recommend._write = slow
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.usefixtures("small_parts")
def test_a_killed_run_goes_on_behind_its_last_part(ask, home, tmp_path):
    out, parts = tmp_path / "all.parquet", tmp_path / ".all.parquet.parts"
    words = ["recommend", str(home / "run"), "--all", "-k", "3", "--out", str(out)]
    child = subprocess.Popen([sys.executable, "-c", CHILD, "30", *words], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not list(parts.glob("*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not out.exists()  # never half a file
    (done,) = parts.glob("*.parquet")
    marked = pl.read_parquet(done).with_columns(reason=pl.lit("made before the kill"))
    marked.write_parquet(done)
    said = ask(f"--all -k 3 --out {out}")
    assert said.code == 0, said.err
    assert "going on: 10 of 30 users were done before" in said.out
    every = pl.read_parquet(out)
    assert every["user"].n_unique() == 30
    assert len(every.filter(pl.col("reason") == "made before the kill")) == len(marked)
    assert not parts.exists()


@pytest.mark.usefixtures("small_parts")
def test_a_killed_run_with_rules_goes_on_under_the_same_rules_only(ask, tmp_path):
    rules = "--pin 103@2 --quota genres=2 --quota genres:C=1"
    out, parts = tmp_path / "all.parquet", tmp_path / ".all.parquet.parts"
    assert ask(f"--all -k 3 {rules} --out {out}").code == 0
    whole = pl.read_parquet(out)
    assert set(whole.filter(pl.col("rank") == 2)["item"]) == {103}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda _: None)  # as if it were killed just before
        assert ask(f"--all -k 3 {rules} --out {out}").code == 0
    assert "going on: 30 of 30" in ask(f"--all -k 3 {rules} --out {out}").out
    assert pl.read_parquet(out).equals(whole)
    assert not parts.exists()


@pytest.mark.usefixtures("small_parts")
def test_parts_of_another_run_are_not_taken_up(ask, tmp_path):
    parts = tmp_path / ".all.parquet.parts"
    parts.mkdir()
    (parts / "run.json").write_text(json.dumps({"k": 3}))
    (parts / "00.parquet").write_bytes(b"not a part of this run")
    said = ask(f"--all -k 3 --out {tmp_path / 'all.parquet'}")
    assert said.code == 0, said.err
    assert "starting anew" in said.out
    assert pl.read_parquet(tmp_path / "all.parquet")["user"].n_unique() == 30


def test_an_answer_imports_no_compiler_and_no_algebra(home):  # they take longer than all the rest
    code = (
        "import sys; from penchant.cli import main; main(sys.argv[1:]); "
        "print([n for n in ('sympy', 'torch._dynamo', 'altair') if n in sys.modules], file=sys.stderr)"
    )
    words = ["recommend", str(home / "run"), "--user", "1", "-k", "3", "--quiet"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "[]"
