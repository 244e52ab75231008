"""The recipes that we ship: all of them pass their own check."""

from importlib.resources import files
from pathlib import Path

import pytest

from penchant.cli.recipe import read_recipe

RECIPES = Path(__file__).parents[2] / "recipes"
DEMO = files("penchant.cli").joinpath("recipes")


def test_no_recipe_is_forgotten_here():
    assert {file.name for file in RECIPES.iterdir()} == {
        "amazon-beauty.yaml",
        "csv.yaml",
        "movielens-small.yaml",
        "movielens-100k.yaml",
    }
    assert {file.name for file in DEMO.iterdir()} == {
        "first.yaml",
        "leave-last.yaml",
        "time.yaml",
        "tune.yaml",
    }


def test_the_recipe_for_tables_runs_on_tables(penchant, tables):
    recipe = tables / "csv.yaml"
    recipe.write_text((RECIPES / "csv.yaml").read_text())
    small = "--set models.SASRec.width=8 --set models.SASRec.fit.epochs=1 --set evaluate.bootstrap=10"
    small += " --set funnel.rules.quota.genres=5"  # as a comment there offers
    # of the tiny log's users none has a past in the training rows of a cut by time
    said = penchant(
        f"train {recipe} --out {tables / 'run'} {small} --set split=leave_last --set report=false"
    )
    assert said.code == 0, said.err


def test_the_recipe_for_movielens_small():
    assert read_recipe(RECIPES / "movielens-small.yaml").retrievers == ("SASRec", "EASE", "Popularity")


@pytest.mark.real
def test_the_recipe_for_movielens_100k(penchant_data):
    change = f"data.folder={penchant_data('movielens-100k')}"
    recipe = read_recipe(RECIPES / "movielens-100k.yaml", changes=[change])
    assert recipe.data().profile.users == 943


@pytest.mark.real
def test_the_recipe_for_amazon_beauty_asks_as_its_table_did(penchant_data):
    change = f"data.folder={penchant_data('amazon-yelp')}"
    recipe = read_recipe(RECIPES / "amazon-beauty.yaml", changes=[change])
    log = recipe.data()
    assert log.profile.users == 22_363
    asked, left_out = recipe.evaluate["setting"].queries(recipe.split(log).test)
    assert (len(asked), left_out) == (22_363, {})


@pytest.mark.parametrize("name", ["first", "leave-last", "time", "tune"])
def test_recipes_of_the_demo(name, tmp_path):
    file = tmp_path / f"{name}.yaml"
    file.write_text(DEMO.joinpath(f"{name}.yaml").read_text())
    recipe = read_recipe(file)
    assert recipe.data.arguments == {"path": tmp_path / "log"}
    assert recipe.retrievers[-1] == "Popularity" or name == "first"
