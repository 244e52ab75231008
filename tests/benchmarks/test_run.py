from pathlib import Path

import pytest


@pytest.fixture
def run(script):
    return script("run")


@pytest.fixture
def settings(race, tmp_path):
    return race.Settings(None, None, None, tmp_path / "log", 1, 1, 1.0, 0.1, quick=True)


class Runner:
    """Gives rows that were made up; a text is a reason not to run."""

    def __init__(self, run, **rows):
        self.run, self.made = run, rows

    def rows(self, race, side):
        row = self.made[side.name]
        if isinstance(row, str):
            raise self.run.NotRunError(row)
        return [row]


def course(best, seconds):
    return {"curve": [[1, 0.001], [seconds, best]], "cpu_s": seconds, "epochs": 2.0}


def test_who_did_not_arrive_or_run_is_not_asked_again(run, race):
    sides = tuple(race.Side(name) for name in ("penchant", "late", "absent"))
    quality = race.Race("quality", "minutes", "what", sides, until=0.5)
    runner = Runner(run, penchant=course(0.5, 60.0), late=course(0.49, 600.0), absent="it is not there")
    first = run.one_round(runner, quality, 1, [])
    found = {record["side"]: record for record in first}
    assert (found["penchant"]["value"], "short" in found["penchant"]) == (1.0, False)
    assert (found["late"]["value"], found["late"]["short"]) == (10.0, 0.49)
    assert found["absent"]["not_run"] == "it is not there"
    assert [record["side"] for record in run.one_round(runner, quality, 2, first)] == ["penchant"]


def test_a_rate_sums_the_seconds_of_the_rows_that_count(run, race):
    a = race.Race("a", "users", "what", (race.Side("penchant"), race.Side("peer")))
    rows = [{"processed": 12, "cpu_s": 1.0}, {"processed": 12, "cpu_s": 3.0}]
    assert run.records_of(a, a.sides[1], 2, rows) == [
        {"race": "a", "round": 2, "side": "peer", "value": 3.0, "rows": rows}
    ]


def test_one_process_measures_every_size_in_its_own_rounds(run, race):
    a = race.Race("a", "s", "what", (race.Side("10"), race.Side("20")), alone=True)
    records = run.records_of(a, a.sides[0], 1, [{"values": {"10": [1.0, 2.0], "20": [3.0, 4.0]}}])
    assert [(r["side"], r["round"], r["value"]) for r in records] == [
        ("10", 1, 1.0), ("10", 2, 2.0), ("20", 1, 3.0), ("20", 2, 4.0)
    ]  # fmt: skip


def test_every_race_that_needs_what_is_absent_says_so(run, script, settings):
    runner = run.Runner(settings)
    for a in script("races").races(settings):
        for side in a.sides:
            if side.python != "penchant" or a.needs in ("ml-100k", "beauty"):
                with pytest.raises(run.NotRunError, match=r"--peers|PENCHANT_DATA"):
                    runner.rows(a, side)


def test_races_have_names_of_their_own_and_scripts_that_are_there(script, settings):
    races = script("races").races(settings)
    names = [a.name for a in races]
    assert len(set(names)) == len(names)
    assert all(len({side.name for side in a.sides}) == len(a.sides) for a in races)
    ours = [side.command[0] for a in races for side in a.sides if side.python == "penchant" and side.command]
    assert [path for path in ours if not Path(path).is_file()] == []


def test_pictures_show_what_was_measured_and_nothing_else(run, race, script, tmp_path):
    growth = race.Growth("events", (10, 100), 1.1)
    a = race.Race("cost: a", "s", "what", (race.Side("10"), race.Side("100")), alone=True, growth=growth)
    quality = race.Race("quality", "minutes", "what", (race.Side("penchant"),), until=0.5)
    draw = script("picture").draw
    assert draw(tmp_path / "pictures", [a, quality], []) == {}
    records = run.records_of(a, a.sides[0], 1, [{"values": {"10": [1.0], "100": [10.0]}}])
    assert list(draw(tmp_path / "pictures", [a, quality], records)) == ["../pictures/cost.svg"]
    assert "slope 1.00" in (tmp_path / "pictures" / "cost.svg").read_text()
    records += run.one_round(Runner(run, penchant=course(0.5, 60.0)), quality, 1, [])
    assert list(draw(tmp_path / "pictures", [a, quality], records)) == [
        "../pictures/quality.svg", "../pictures/cost.svg"
    ]  # fmt: skip


def about_a_run(commit, **settings):
    return {
        "date": "2026-01-01", "penchant": "0", "commit": commit, "changes": "", "command": "run",
        "settings": {"rounds": 5, "threads": 1, "quick": False, "only": None} | settings,
        "environments": {"penchant": {"torch": "2"}},
        "machine": {"processor": "one", "cores": 2, "memory_gib": 4, "system": "Linux", "load": 0.1},
    }  # fmt: skip


def test_races_that_ran_again_take_the_place_of_their_own_alone(run, race, script, tmp_path):
    sides = (race.Side("penchant"), race.Side("peer"))
    a, b = (race.Race(name, "users", "what", sides) for name in "ab")
    rows = [
        {"race": r, "round": 1, "side": side.name, "value": v}
        for r, v in (("a", 5.0), ("b", 7.0))
        for side in sides
    ]
    (out := tmp_path / "results").mkdir()
    run.publish(out, about_a_run("first"), [a, b], rows)
    later = about_a_run("second", only=["b"])
    new = [row | {"value": 9.0} for row in rows if row["race"] == "b"]
    about, records = run.put_into(run.standing(out, later), later, new)
    assert [(r["race"], r["value"]) for r in records] == [("a", 5.0), ("a", 5.0), ("b", 9.0), ("b", 9.0)]
    text = script("table").page(about, [a, b], records, {})
    assert "at commit first" in text
    assert "Raced again later (`--only`): b, 2026-01-01, at commit second; load 0.1." in text


@pytest.mark.parametrize("change", [{"settings": {"rounds": 1}}, {"machine": {"cores": 4}}])
def test_a_table_takes_no_race_that_ran_otherwise(run, tmp_path, change):
    (name,) = change
    (out := tmp_path / "results").mkdir()
    run.publish(out, about_a_run("first"), [], [])
    later = about_a_run("second")
    later[name] |= change[name]
    with pytest.raises(SystemExit, match=f"ran with other {name}"):
        run.standing(out, later)
