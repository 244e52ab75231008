import json
import sys

import pytest


def test_the_world_is_raced_against_its_goal(script, race, tmp_path, monkeypatch, capsys):
    settings = race.Settings(None, None, None, tmp_path, 1, 1, 1.0, 0.1, quick=False)
    (raced,) = (one for one in script("races").races(settings) if one.name == "simulated world")
    assert raced.alone
    assert raced.sides[0].command[1:] == ("--once", "--rows", "10000000", "--rounds", "3", "--threads", "2")
    assert raced.sides[1].goal.met(59 / 60, 59.0)
    assert not raced.sides[1].goal.met(61 / 60, 61.0)
    monkeypatch.delitem(sys.modules, "world", raising=False)  # tests/world
    world = script("world")
    monkeypatch.setattr("sys.argv", ["world.py", "--once", "--rows", "30000", "--rounds", "2"])
    world.main()
    values = json.loads(capsys.readouterr().out)["values"]
    assert list(values) == [side.name for side in raced.sides]
    assert values["60 s"] == [60.0, 60.0]
    assert all(0 < wall < 60 for wall in values["penchant"])
    records = script("run").records_of(raced, raced.sides[0], 1, [{"values": values}])
    assert [r["value"] for r in records if r["side"] == "60 s"] == pytest.approx([60, 60])
