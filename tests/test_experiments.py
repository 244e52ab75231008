"""Pages of experiments are written from rows, whatever has been run so far."""

import importlib.util
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
RESULTS = Path(__file__).parents[1] / "docs" / "results"


@pytest.fixture
def experiment(monkeypatch):
    """Loads an experiment by name, as a script would."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))

    def load(name):
        spec = importlib.util.spec_from_file_location(f"experiment_{name}", EXPERIMENTS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    return load


def published_row(module, arm, log, seed=0, value=0.05):
    found = {"audit": "clean" if arm == "Popularity" else "violation", "tied": [20]}
    found |= {"epochs": 5, "best_epoch": 3, "valid": value} if module.ARMS[arm].fit else {}
    for name in ("s3rec", "rectools_loo", "s3rec, mask 0"):
        found[name] = dict.fromkeys(module.METRICS, value)
        found[f"{name} said"] = f"{name}: asked"
    cell = {"arm": arm, "settings": module._settings(module.ARMS[arm]), "log": log, "seed": seed}
    return {"cell": cell, "found": found, "seconds": {"cpu": 60.0}}


@pytest.mark.parametrize("logs", [["Beauty"], ["Beauty", "Sports", "Toys", "Yelp"]])
def test_the_page_of_published_figures_is_written_from_what_was_run(experiment, logs):
    module = experiment("published")
    counts = [published_row(module, arm, log) for arm in (module.LEAK, "Popularity") for log in module.LOGS]
    trained = [name for name, arm in module.ARMS.items() if arm.fit]
    rows = counts + [published_row(module, arm, log, s) for arm in trained for log in logs for s in (0, 1)]
    text = module.page(rows)
    exact = next(line for line in text.splitlines() if line.startswith("| Popularity: every figure"))
    assert "missed" in exact  # .05 is not what popularity gives
    assert ("not run in this grid" in text) == (logs == ["Beauty"])
    assert "0.00000" in text  # the mask changes nothing in these rows
    near = [line for line in text.splitlines() if "SASRec, BCE, Beauty" in line]
    assert "missed" in near[0]  # .0500 is .83 of .0605
    better = [published_row(module, arm, log, s, 0.2) for arm in trained for log in logs for s in (0, 1)]
    near = [line for line in module.page(counts + better).splitlines() if "SASRec, BCE, Beauty" in line]
    assert "met" in near[0]


def test_a_killed_run_goes_on_in_the_folder_of_its_settings(experiment):
    for arm in experiment("published").ARMS.values():
        assert "0x" not in experiment("published")._settings(arm)  # no address: the same in every process


def test_who_changes_an_arm_runs_it_again(experiment):
    module = experiment("published")
    asked = [cell for cell in module.CELLS if cell["arm"] == "SASRec, BCE"]
    assert asked[0]["settings"] == module._settings(module.ARMS["SASRec, BCE"])
    assert module.rows_of("published", asked)
    changed = [cell | {"settings": cell["settings"].replace("dropout 0.5", "dropout 0.4")} for cell in asked]
    assert not module.rows_of("published", changed)


@pytest.mark.parametrize("name", ["published", "truth"])
def test_the_page_is_what_the_kept_rows_say(experiment, name):
    module = experiment(name)
    rows = module.rows_of(name, module.CELLS)
    written = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    assert written == module.page(rows)


def test_the_kept_rows_meet_every_claim_about_planted_worlds(experiment):
    module = experiment("truth")
    rows = module.rows_of("truth", module.CELLS)
    seeds = {(row["cell"]["model"], row["cell"]["world"], row["cell"]["seed"]) for row in rows}
    worlds = [(model, world) for model in module.RIVALS for world in module.WORLDS[model]]
    assert {(model, world, seed) for model, world in worlds for seed in range(5)} <= seeds
    assert module.MISSED not in module.page(rows)


def truth_row(model, world, lead, seed, rivals):
    found = {"events": 10, "users": 5, "setting": "split; test part, asked", model: {"value": 0.5}}
    found |= {
        name: {"value": 0.5 - lead, "lead": lead, "low": lead - 0.01, "high": lead + 0.01} for name in rivals
    }
    return {"cell": {"model": model, "world": world, "seed": seed}, "found": found}


@pytest.mark.parametrize(("lead", "structured", "flat"), [(0.1, "met", "missed"), (0.0, "missed", "met")])
def test_a_lead_must_be_there_with_structure_and_must_not_without(experiment, lead, structured, flat):
    module = experiment("truth")
    rows = [
        truth_row(model, world, lead + 0.001 * (seed - 2), seed, module.RIVALS[model])
        for model in module.RIVALS
        for world in module.WORLDS[model]
        for seed in range(5)
    ]
    lines = [line for line in module.page(rows).splitlines() if line.startswith(("| SASRec", "| DIN"))]
    for line in lines:
        wanted = flat if "popularity alone" in line else structured
        wanted = "nothing" if "popularity alone" in line and "EASE" in line else wanted
        assert wanted in line, line
    assert len(lines) == 10
