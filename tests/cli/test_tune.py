"""`penchant tune`: spaces in recipes, what a search leaves, and that it goes on."""

import json
import shutil

import pytest
import yaml

from penchant.cli import tune as command
from penchant.cli.recipe import read_recipe
from penchant.errors import RecipeError
from penchant.train import Choice, Uniform, Whole
from penchant.train import tune as real

pytest.importorskip("optuna")

TUNE = {
    "Popularity": {"half_life_days": {"low": 0.01, "high": 1}},
    "SASRec": {
        "width": [4, 8, 16],
        "history": {"low": 5, "high": 20, "step": 5},
        "learning_rate": {"low": "1e-4", "high": 0.1, "log": True},
    },
}


@pytest.fixture
def recipe(home, tmp_path):
    """Writes the tiny recipe, with tables and spaces, into a folder of its own."""

    def write(spaces=TUNE, **parts):
        for table in ("ratings.csv", "movies.csv"):
            shutil.copy(home / table, tmp_path / table)
        value = yaml.safe_load((home / "tiny.yaml").read_text()) | parts
        models = []
        for model in value["models"]:
            model = {"class_path": model} if isinstance(model, str) else model
            space = spaces.get(model["class_path"].rpartition(".")[2])
            models.append(model if space is None else model | {"tune": space})
        value["models"] = models
        (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(value, sort_keys=False))
        return tmp_path / "tiny.yaml"

    return write


def test_a_space_is_what_the_recipe_says(recipe):
    popularity, sasrec, din, _ = read_recipe(recipe()).models
    assert popularity.tune == {"half_life_days": Uniform(0.01, 1.0)}
    assert sasrec.tune == {
        "width": Choice(4, 8, 16),
        "history": Whole(5, 20, step=5),
        "learning_rate": Uniform(1e-4, 0.1, log=True),
    }  # fmt: skip
    assert din.tune == {}


def test_options_have_the_type_of_their_argument(recipe):
    spaces = {"DIN": {"head": [[8], [16, 8]], "normalise": ["none", "softmax"], "dropout": [0, 0.5]}}
    (found,) = [model.tune for model in read_recipe(recipe(spaces)).models if model.tune]
    assert found["head"].options == ([8], [16, 8])
    assert found["dropout"].options == (0.0, 0.5)
    assert found["normalise"] == Choice("none", "softmax")


@pytest.mark.parametrize(
    ("spaces", "told"),
    [
        ({"SASRec": [4, 8]}, r"models\[1\].tune: \[4, 8\]: expected a mapping of arguments"),
        (
            {"SASRec": {"widht": [4]}},
            r"tune.widht: neither SASRec nor fit has an argument 'widht'.*mean 'width'",
        ),
        ({"SASRec": {"seed": [1, 2]}}, "neither SASRec nor fit has an argument 'seed' that can be tuned"),
        ({"SASRec": {"metric": ["a"]}}, "'metric' that can be tuned"),
        ({"Popularity": {"epochs": [1]}}, "Popularity has no argument 'epochs' that can be tuned"),
        ({"SASRec": {"width": 8}}, "tune.width: 8: expected a list to choose from, or {low, high}"),
        ({"SASRec": {"width": [4, "wide"]}}, r"tune.width\[1\]: 'wide': expected an integer"),
        ({"SASRec": {"width": [4, 4]}}, "tune.width: options=4: expected every option once"),
        ({"SASRec": {"width": []}}, "tune.width: .*at least one"),
        ({"SASRec": {"width": {"low": 4}}}, "tune.width: a range needs high"),
        ({"SASRec": {"width": {"low": 4, "high": 8.5}}}, "tune.width.high: 8.5: expected an integer"),
        ({"SASRec": {"width": {"low": 4, "hihg": 8}}}, "has no argument 'hihg'; did you mean 'high'"),
        ({"SASRec": {"width": {"low": 8, "high": 4}}}, "tune.width.high: high=4: expected more than low=8"),
        ({"SASRec": {"dropout": {"low": 0, "high": 0.5, "step": 1}}}, "has no argument 'step'"),
        ({"SASRec": {"norm": {"low": 0, "high": 1}}}, "tune.norm: no number, so it has no range"),
        ({"SASRec": {"norm": ["sasrc"]}}, "did you mean 'sasrec'"),
    ],
)
def test_what_is_wrong_with_a_space_is_told_with_its_place(recipe, spaces, told):
    with pytest.raises(RecipeError, match=told) as caught:
        read_recipe(recipe(spaces))
    assert "line " in str(caught.value)


def test_a_recipe_with_spaces_trains_as_one_without(recipe, home):
    assert [m.arguments for m in read_recipe(recipe()).models] == [
        m.arguments for m in read_recipe(home / "tiny.yaml").models
    ]


def test_where_no_model_says_where_to_look_that_is_told(penchant, recipe):
    said = penchant(f"tune {recipe({})}")
    assert said.code == 2
    assert "no model says where to look" in said.err
    assert "tune: {width: [32, 64, 128]}" in said.err


def test_a_search_leaves_a_recipe_that_trains_to_the_best_value(penchant, recipe, tmp_path):
    out = tmp_path / "deep" / "tuned"
    said = penchant(f"tune {recipe()} --trials 4 --out {out} --json")
    assert said.code == 0, said.err
    assert said.json == json.loads((out / "tune.json").read_text())
    models = said.json["models"]
    assert {name: len(found["trials"]) for name, found in models.items()} == {"Popularity": 4, "SASRec": 4}
    first = models["SASRec"]["trials"][0]["settings"]
    assert first == {"width": 8, "history": 10, "learning_rate": first["learning_rate"]}  # the recipe's own
    value = yaml.safe_load((out / "tuned.yaml").read_text())
    assert "tune" not in str(value["models"])
    assert value["data"]["source"] == "../../ratings.csv"
    assert value["data"]["items"]["source"] == "../../movies.csv"
    page = (out / "report.html").read_text()
    assert "Settings of SASRec" in page
    assert "The data" in page
    trained = penchant(f"train {out / 'tuned.yaml'} --out {out / 'run'} --set report=false --json")
    assert trained.code == 0, trained.err
    (row,) = trained.json["run"]["training"]["SASRec"]
    assert row["metrics"]["ndcg@10"] == models["SASRec"]["best"]["value"]


def test_a_killed_search_goes_on_and_says_the_same(penchant, recipe, tmp_path, monkeypatch):
    line = f"tune {recipe()} --trials 3 --json --quiet"
    whole = penchant(f"{line} --out {tmp_path / 'whole'}").json

    def stopping(searches, split, **more):
        real(searches, split, **more | {"trials": 2})
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "tune", stopping)
    said = penchant(f"{line} --out {tmp_path / 'broken'}")
    assert said.code == 130
    assert not (tmp_path / "broken" / "tuned.yaml").exists()
    monkeypatch.setattr(command, "tune", real)
    resumed = penchant(f"{line} --out {tmp_path / 'broken'}").json
    for model in whole["models"].values():
        for trial in model["trials"]:
            del trial["seconds"]
    for model in resumed["models"].values():
        for trial in model["trials"]:
            del trial["seconds"]
    assert resumed["models"] == whole["models"]


def test_other_settings_in_the_same_folder_are_refused(penchant, recipe, tmp_path):
    line = f"tune {recipe()} --trials 1 --out {tmp_path / 'tuned'}"
    assert penchant(line).code == 0
    said = penchant(f"{line} --set models.SASRec.width=4")
    assert said.code == 2
    assert "model.args.width: 8 then, 4 now" in said.err


def test_for_people_there_is_a_line_a_trial_and_a_table(penchant, recipe, tmp_path):
    said = penchant(f"tune {recipe()} --trials 2 --out {tmp_path / 'tuned'}")
    assert said.code == 0, said.err
    assert "SASRec, trial 2/2: ndcg@10" in said.err
    assert "epoch 1/" not in said.err  # a line a trial is enough
    for words in (
        "Best settings, by the validation part",
        "the recipe's own",
        "penchant train",
        "tuned.yaml",
    ):
        assert words in said.out


def test_a_seed_of_the_recipe_stands(penchant, recipe, tmp_path):
    said = penchant(f"tune {recipe(seed=5)} --trials 2 --out {tmp_path / 'tuned'} --json")
    assert said.json["models"]["SASRec"]["fit"]["seed"] == 5
    value = yaml.safe_load((tmp_path / "tuned" / "tuned.yaml").read_text())
    assert value["seed"] == 5
    assert [model.arguments.get("seed") for model in read_recipe(tmp_path / "tuned" / "tuned.yaml").models][
        1
    ] == 5


def test_what_a_model_refuses_is_told_with_its_line(penchant, recipe, tmp_path):
    said = penchant(
        f"tune {recipe()} --trials 1 --out {tmp_path / 'tuned'} --set models.SASRec.fit.metric=ndgc@10"
    )
    assert said.code == 2
    assert "ndgc@10" in said.err
    assert "models[1].fit.metric" in said.err
