"""The demo: what it leaves, and that it goes on."""

import json
from pathlib import Path

import polars as pl
import pytest

from penchant.cli import console, demo, train
from penchant.data.store import open_log

pytestmark = pytest.mark.real
WHY = (
    "the same, drawn", "lists for others: user ids go from 1 to 671", "for somebody who is not in the log",
    "what is like Toy Story", "a recipe of your own: change a line, run it again", "your own log",
)  # fmt: skip


def test_prepare_leaves_tables_a_store_and_recipes_that_say_the_same(penchant, tmp_path):
    said = penchant(f"demo --prepare --out {tmp_path / 'demo'} --json")
    assert said.code == 0, said.err
    ratings = pl.read_csv(tmp_path / "demo" / "ratings.csv")
    log = open_log(tmp_path / "demo" / "log")
    assert (len(ratings), ratings["userId"].n_unique()) == (100_004, 671)
    assert (len(log), log.profile.users, log.profile.tie_order) == (100_004, 671, "hash")
    assert log.catalogue.titles(log.catalogue.vocabulary.index([1])) == ["Toy Story"]


def test_prepare_keeps_what_is_there(penchant, tmp_path, monkeypatch):
    penchant(f"demo --prepare --out {tmp_path}")
    monkeypatch.setattr(demo, "_write_tables", lambda *_: pytest.fail("read again"))
    assert penchant(f"demo --prepare --out {tmp_path}").code == 0


@pytest.mark.slow
def test_the_demo_goes_from_the_log_to_a_page_and_goes_on_after_a_stop(penchant, tmp_path, monkeypatch):
    out, real = tmp_path / "demo", train.evaluate

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "evaluate", stopped)
    assert penchant(f"demo --quick --out {out}").code == 130
    monkeypatch.setattr(train, "evaluate", real)
    said = penchant(f"demo --quick --out {out}")
    assert said.code == 0, said.err
    assert "going on in" in said.err
    for words in ("Funnel minus", "671 queries of 671 users", "For user", "What next"):
        assert words in said.out
    result = json.loads((out / "result.json").read_text())
    assert [system["name"] for system in result["systems"]] == ["Funnel", "SASRec", "EASE", "Popularity"]
    assert "<html" in (out / "report.html").read_text()
    assert penchant(f"recommend {out} --user 1 -k 3").code == 0


@pytest.mark.parametrize(
    ("started", "on_path", "call"),
    [
        ("{}/bin/penchant", None, "bin/penchant"),
        ("{}/bin/penchant", "/usr/bin/penchant", "penchant"),
        ("/elsewhere/penchant/__main__.py", None, "bin/python -m penchant"),
        ("/usr/bin/pytest", None, "penchant"),
    ],
)
def test_what_next_names_a_command_that_works_from_here(tmp_path, monkeypatch, started, on_path, call):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [started.format(tmp_path)])
    monkeypatch.setattr("sys.executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setattr("shutil.which", lambda _: on_path)
    assert console.program() == call
    lines = demo.what_next(Path("demo"))
    assert f"  {call} recommend demo --user 1 " in lines[1]
    assert len({len(line) - len(why) for line, why in zip(lines, WHY, strict=True)}) == 1  # aligned
