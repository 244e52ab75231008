"""`penchant simulate`."""

import json
from pathlib import Path

import polars as pl
import pytest

from penchant.cli.arguments import logs
from penchant.world import EFFECTS, World, simulate

SIZES = "--users 30 --items 120 --categories 6 --days 8"


def test_it_writes_the_log_the_truth_and_a_card(penchant, tmp_path):
    out = tmp_path / "world"
    said = penchant(f"simulate {out} {SIZES} --seed 5 --json")
    assert said.code == 0, said.err
    names = {"log.parquet", "truth.parquet", "users.parquet", "items.parquet", "world.json", "card.md"}
    assert {path.name for path in out.iterdir()} == names
    world = World.from_json((out / "world.json").read_text())
    assert world == World(users=30, items=120, categories=6, days=8, seed=5)
    made = simulate(world)
    for name in ("log", "truth", "users", "items"):
        assert pl.read_parquet(out / f"{name}.parquet").equals(getattr(made, name)), name
    assert said.json["rows"] == made.log.height
    assert said.json["clicks"] == made.log["click"].sum()
    assert said.json["passed"] is True
    card = (out / "card.md").read_text()
    assert all(f"### {name}" in card for name in EFFECTS)
    assert "Hazard ratio" in card
    assert "passed" in card
    assert "| boredom | clicks by level |" in card


def test_the_next_step_that_it_prints_runs(penchant, tmp_path):
    said = penchant(f"simulate {tmp_path}/w {SIZES} --quiet")
    assert said.err == ""
    said = penchant(f"simulate {tmp_path}/w {SIZES}")
    (line,) = [line for line in said.out.splitlines() if line.startswith("next: ")]
    _, _, command = line.partition(" profile ")
    assert penchant(f"profile {command}").code == 0
    attributes = f"--items {tmp_path}/w/items.parquet --items-title title --items-categories 'category=|'"
    stored = penchant(f"import {command} {attributes} --items-vectors vector --out {tmp_path}/store --json")
    assert stored.json["profile"]["users"] == 30


def test_a_world_file_is_a_beginning(penchant, tmp_path):
    penchant(f"simulate {tmp_path}/one {SIZES} --set boredom.strength=0.5 --set sessions.gap=1 --quiet")
    first = World.from_json((tmp_path / "one" / "world.json").read_text())
    assert (first.boredom.strength, first.sessions.gap) == (0.5, 1)
    said = penchant(
        f"simulate {tmp_path}/two --world {tmp_path}/one/world.json "
        "--without exposure treatment --events 2000 --json"
    )
    second = World.from_json((tmp_path / "two" / "world.json").read_text())
    assert second == first.without("exposure", "treatment").changed({"users": second.users})
    assert abs(said.json["rows"] - 2_000) < 700
    assert "clicks" not in said.json
    assert said.json["effects"] == second.effects


def test_an_older_world_is_replaced_and_strangers_are_not(penchant, tmp_path):
    line = f"simulate {tmp_path}/w {SIZES} --quiet"
    assert penchant(line).code == penchant(f"{line} --days 5").code == 0
    assert json.loads((tmp_path / "w" / "world.json").read_text())["days"] == 5
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    said = penchant(f"simulate {tmp_path}/mine {SIZES}")
    assert said.code == 2
    assert "other files" in said.err
    assert [path.name for path in Path(tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--without boredm", "boredm"),
        ("--set boredom.strenth=1", "did you mean 'strength'"),
        ("--set boredom=1", "EFFECT.NAME=VALUE"),
        ("--set bordom.strength=1", "did you mean 'boredom'"),
        ("--set boredom.strength=many", "boredom.strength='many'"),
        ("--without boredom --set boredom.strength=1", "boredom is left out"),
        ("--users 0", "expected an integer of at least 1"),
        ("--users 3 --events 3", "not allowed with"),
        ("--world nowhere.json", "nowhere.json"),
        ("--categories 3", "interests.count=4"),
    ],
)
def test_bad_input_ends_with_2_and_writes_nothing(penchant, tmp_path, words, told):
    said = penchant(f"simulate {tmp_path}/w {words}")
    assert said.code == 2
    assert told in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "w").exists()


def test_the_help_knows_every_effect():
    assert tuple(EFFECTS) == logs.EFFECTS
