"""`penchant audit`, and what `penchant train` does with what it finds."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from penchant import cli
from penchant.cli import train
from penchant.cli.recipe_data import SPLITS
from penchant.data import split_leave_last
from penchant.data.split import TRAIN


def test_a_clean_recipe_ends_with_0_and_says_what_was_looked_at(penchant, home):
    said = penchant(f"audit {home / 'tiny.yaml'}")
    assert said.code == cli.FINE, said.err
    assert "clean" in said.out
    for words in ("examples of SASRec", "examples of DIN", "statistic", "test queries", "cross-user future"):
        assert words in said.out
    assert "counted only in training: Popularity; `penchant train` audits them then" in said.out
    assert not [line for line in said.out.splitlines() if line != line.rstrip()]


def test_a_run_is_clean_by_what_its_models_counted(penchant, home):
    said = penchant(f"audit {home / 'run'} --examples all --json")
    assert said.code == cli.FINE, said.err
    assert said.json["ok"]
    told = " ".join(said.json["looked_at"])
    assert "statistic of Popularity" in told
    assert "(an epoch)" in told
    assert "(a sample)" not in told


def test_a_bundle_that_counted_what_is_asked_ends_with_3(penchant, home):
    said = penchant(f"audit {home / 'run'} --split leave_last,k=2")
    assert said.code == cli.GATE
    assert "statistic over held-out rows (Popularity)" in said.out
    assert "'positives an item' was counted on" in said.out
    assert "validation rows among them; the first is user 1, item 1" in said.out
    quiet = penchant(f"audit {home / 'run'} --split leave_last,k=2 --quiet")
    assert quiet.code == cli.GATE
    assert quiet.out == ""
    assert "Popularity" in quiet.err


def test_a_bundle_alone_is_asked_by_what_split(penchant, home, tmp_path):
    shutil.copytree(home / "run" / "bundle", tmp_path / "bundle")
    said = penchant(f"audit {tmp_path / 'bundle'}")
    assert said.code == cli.BAD
    assert "--split" in said.err
    assert penchant(f"audit {tmp_path / 'bundle'} --split leave_last").code == cli.FINE
    assert penchant(f"audit {tmp_path / 'bundle'} --recipe {home / 'tiny.yaml'}").code == cli.FINE


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nowhere.yaml", "no such file"),
        ("{home}/tiny.yaml --split leave_last", "--set split"),
        ("{home}/run --set split=user", "--recipe"),
        ("{home}/run --examples none", "--examples"),
        ("{home}/run --examples 0", "at least 1"),
    ],
)
def test_what_cannot_be_audited_says_why(penchant, home, line, told):
    said = penchant(f"audit {line.format(home=home)}")
    assert said.code == cli.BAD
    assert told in said.err
    assert "Traceback" not in said.err


def test_a_run_says_in_a_line_and_in_its_result_that_it_was_audited(penchant, home, tmp_path):
    result = json.loads((home / "run" / "result.json").read_text())
    assert result["run"]["audit"]["ok"]
    assert any("statistic of Popularity" in told for told in result["run"]["audit"]["looked_at"])
    shutil.copytree(home / "run", tmp_path / "run")
    said = penchant(f"train {home / 'tiny.yaml'} --out {tmp_path / 'run'} --set report=false")
    (line,) = [line for line in said.out.splitlines() if line.startswith("audit: ")]
    assert "clean; cross-user future" in line


def badly(log, k=1):
    """A split that trains on the last event of every second user, and asks for the one before."""
    split = split_leave_last(log, k=k)
    last = split.test.rows
    part = split.part.index_fill(0, last[log.user_of(last) % 2 == 0], TRAIN)
    return replace(split, part=part, name="badly made")


@pytest.fixture
def leaky(monkeypatch):
    """Recipes split badly."""
    monkeypatch.setitem(SPLITS, "leave_last", badly)


@pytest.mark.usefixtures("leaky")
def test_a_leak_stops_a_run_before_it_trains(penchant, home, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "fit", lambda *_, **__: pytest.fail("it trains"))
    said = penchant(f"train {home / 'tiny.yaml'} --out {tmp_path / 'run'} --fresh")
    assert said.code == cli.GATE
    assert "training row after a held-out one" in said.err
    assert "looked at" in said.out
    assert not (tmp_path / "run" / "bundle").exists()
    assert penchant(f"audit {home / 'tiny.yaml'}").code == cli.GATE


@pytest.mark.usefixtures("leaky")
def test_a_leak_stops_a_search_before_its_first_trial(penchant, home, tmp_path, monkeypatch):
    line = f"tune {home / 'tiny.yaml'} --out {tmp_path / 'tuned'} --trials 1"
    line += " --set 'models.SASRec.tune={width: [4, 8]}'"
    said = penchant(line)
    assert said.code == cli.GATE
    assert "training row after a held-out one" in said.err
    assert not (tmp_path / "tuned").exists()
    monkeypatch.setattr("penchant.cli.tune.tune", lambda *_, **__: pytest.fail("it tries"))
    with pytest.raises(pytest.fail.Exception, match="it tries"):
        penchant(f"{line} --no-audit")


def test_a_count_over_test_rows_stops_a_run_before_it_is_evaluated(penchant, home, tmp_path, monkeypatch):
    real = train.fit

    def overreaching(model, split, **more):
        everything = replace(split, part=torch.full_like(split.part, TRAIN))
        return real(model, everything if type(model).__name__ == "Popularity" else split, **more)

    monkeypatch.setattr(train, "fit", overreaching)
    monkeypatch.setattr(train, "evaluate", lambda *_, **__: pytest.fail("it evaluates"))
    said = penchant(f"train {home / 'tiny.yaml'} --out {tmp_path / 'run'}")
    assert said.code == cli.GATE
    assert "statistic over held-out rows (Popularity)" in said.err


@pytest.mark.usefixtures("leaky")
def test_a_leak_may_be_asked_for(penchant, home, tmp_path):
    said = penchant(
        f"train {home / 'tiny.yaml'} --out {tmp_path / 'run'} --no-audit --set report=false --json"
    )
    assert said.code == cli.FINE, said.err
    assert said.json["run"]["audit"] is None


def test_a_recipe_beside_a_bundle_says_data_and_split_as_for_evaluate(penchant, home, tables):
    other = (home / "tiny.yaml").read_text().replace("rating>=3", "rating>=4")
    (tables / "other.yaml").write_text(other)  # the same users and items, other positives
    said = penchant(f"audit {home / 'run'} --recipe {tables / 'other.yaml'}")
    assert said.code == cli.GATE, said.err  # which hold other rows out: the bundle learned from some of them
    assert "statistic over held-out rows" in said.out
    (tables / "ratings.csv").write_text((tables / "ratings.csv").read_text() + "1,999,5,1100000000\n")
    for command in ("audit", "evaluate"):
        said = penchant(f"{command} {home / 'run'} --recipe {tables / 'other.yaml'}")
        assert said.code == cli.BAD
        assert "--recipe" in said.err
        assert "trained on the item ids of" in said.err
