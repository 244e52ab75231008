"""The demo: what it leaves, and that it goes on."""

import json

import polars as pl
import pytest

from penchant.cli import demo, train
from penchant.data.store import open_log

pytestmark = pytest.mark.real


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
    for words in ("Funnel minus Popularity", "640 queries of 640 users", "For user", "What next"):
        assert words in said.out
    result = json.loads((out / "result.json").read_text())
    assert [system["name"] for system in result["systems"]] == ["Funnel", "SASRec", "EASE", "Popularity"]
    assert "<html" in (out / "report.html").read_text()
    assert penchant(f"recommend {out} --user 1 -k 3").code == 0
