import pytest


@pytest.fixture
def table(script):
    return script("table")


def lines(table, races, records):
    about = {
        "settings": {"quick": False, "rounds": 3, "threads": 1},
        "machine": {"processor": "?", "cores": 1, "memory_gib": 1, "system": "?", "load": 0},
        "date": "?", "penchant": "?", "commit": "?", "changes": "", "environments": {}, "command": "?",
    }  # fmt: skip
    page = table.page(about, races, records, {"../pictures/x.svg": "what it shows"})
    assert "![what it shows](../pictures/x.svg)" in page
    return [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]


def values(name, side, found, **more):
    return [{"race": name, "round": i, "side": side, "value": v, **more} for i, v in enumerate(found, 1)]


def test_a_ratio_is_of_medians_and_counts_the_rounds_that_would_do(table, race):
    goal = race.Goal("at least 2x", least=2)
    a = race.Race("a", "events", "what", (race.Side("penchant"), race.Side("peer", goal=goal)))
    found = values("a", "penchant", [100, 300, 200]) + values("a", "peer", [100, 100, 90])
    (_, line) = lines(table, [a], found)
    assert line[2:5] == ["200 (100 to 300)", "peer", "100 (90 to 100)"]
    assert line[5:] == ["2.00x (1.00x to 3.00x)", "at least 2x", "met (2 of 3 rounds)"]


def test_who_did_not_run_has_a_reason_and_no_ratio(table, race):
    a = race.Race("a", "events", "what", (race.Side("penchant"), race.Side("peer", goal=race.Goal("x"))))
    found = values("a", "penchant", [100])
    found.append({"race": "a", "round": 1, "side": "peer", "not_run": "no | such thing"})
    (_, line) = lines(table, [a], found)
    assert line[2:6] == ["100 (1 round)", "peer", "not run: no / such thing", ""]


@pytest.mark.parametrize(
    ("late", "ratio", "verdict"),
    [
        ((), "0.50x (0.50x to 0.50x)", "met (1 of 1 round)"),
        (("peer",), "under 0.50x", "met (1 of 1 round)"),
        (("penchant",), "over 0.50x", "**missed** (0 of 1 round)"),
        (("penchant", "peer"), "", ""),
    ],
)
def test_who_did_not_arrive_gives_a_bound(table, race, late, ratio, verdict):
    sooner = race.Goal("ahead", most=1)
    a = race.Race("a", "minutes", "what", (race.Side("penchant"), race.Side("peer", goal=sooner)), until=0.5)
    rows = [{"epochs": 2.0, "curve": []}]
    found = [
        record
        for side, value in (("penchant", 2.0), ("peer", 4.0))
        for record in values("a", side, [value], rows=rows, **({"short": 0.25} if side in late else {}))
    ]
    (_, line) = lines(table, [a], found)
    assert (line[5], line[7] if len(line) > 7 else "") == (ratio, verdict)
    said = "not reached in 4, 2.0 epochs: best 0.2500" if "peer" in late else "4 (1 round), 2.0 epochs"
    assert line[4] == said


@pytest.mark.parametrize(("costs", "verdict"), [((1, 2, 4), "met"), ((1, 4, 16), "**missed**")])
def test_a_cost_has_its_slope(table, race, costs, verdict):
    growth = race.Growth("events", (10, 20, 40), 1.1)
    sides = tuple(race.Side(f"{size}") for size in growth.sizes)
    a = race.Race("cost: a against events", "s", "what", sides, alone=True, growth=growth)
    found = [r for side, cost in zip(sides, costs) for r in values(a.name, side.name, [cost, 3 * cost])]
    (_, line) = lines(table, [a], found)
    slope = "1.00" if verdict == "met" else "2.00"
    assert line[0] == "a against events"
    assert line[3:] == [f"{slope} ({slope} to {slope})", "at most 1.1", verdict]


def test_a_cost_that_was_not_measured_says_why(table, race):
    growth = race.Growth("events", (10, 20), 1.1)
    a = race.Race("cost: a", "s", "what", (race.Side("10"), race.Side("20")), alone=True, growth=growth)
    (_, line) = lines(table, [a], [{"race": a.name, "round": 1, "side": "10", "not_run": "failed"}])
    assert line[2] == "not run: failed"
