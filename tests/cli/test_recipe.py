"""Recipes held against the real functions and classes."""

import json
import sys

import pytest
import yaml

from penchant.cli import rehearsal, train
from penchant.cli.recipe import read_recipe
from penchant.data.labels import AtLeast, Equals, label_of
from penchant.errors import ArgumentError, RecipeError, TrustError
from penchant.funnel import Rules
from penchant.retrieve import SASRec


@pytest.fixture
def read(home, tmp_path):
    """Reads the tiny recipe with keys replaced or taken away (None)."""

    def go(*changes, trust=(), **parts):
        value = yaml.safe_load((home / "tiny.yaml").read_text())
        if "models" in parts:  # it need not have the ranker of the recipe
            del value["funnel"]["rank"]
        value |= parts
        value["data"] = (
            value["data"] if "data" in parts else {**value["data"], "source": str(home / "ratings.csv")}
        )
        if "data" not in parts:
            value["data"]["items"]["source"] = str(home / "movies.csv")
        file = tmp_path / "recipe.yaml"
        file.write_text(yaml.safe_dump({k: v for k, v in value.items() if v is not None}, sort_keys=False))
        return read_recipe(file, changes=changes, trust=trust)

    return go


def test_a_recipe_is_what_it_says(read):
    recipe = read()
    assert [model.name for model in recipe.models] == ["Popularity", "SASRec", "DIN", "NoHistory"]
    assert recipe.models[1].cls is SASRec
    assert recipe.models[1].arguments == {"width": 8, "history": 10}
    assert recipe.models[1].fit == {"epochs": 1, "batch_size": 16}
    assert (recipe.retrievers, recipe.ranker) == (("Popularity", "SASRec"), "DIN")
    assert recipe.against == ("Popularity", "SASRec", "NoHistory")
    assert recipe.funnel == {"candidates": 12}
    assert recipe.evaluate == {"cutoffs": [5, 10], "bootstrap": 20}
    assert (recipe.part, recipe.at, recipe.report) == ("test", "each", "report.html")


def test_settings_that_differ_from_their_defaults_are_noted_and_others_not(read):
    changed = {change.setting: (change.value, change.default) for change in read().changed}
    assert changed["models.SASRec.width"][0] == 8
    assert changed["models.SASRec.fit.epochs"][0] == 1
    assert changed["funnel.candidates"] == (12, 200)
    assert "split.leave_last.k" not in changed  # 1 is the default
    assert not [setting for setting in changed if setting.startswith("data.")]  # columns have none


def test_changes_are_checked_like_the_file(read):
    assert read("models.SASRec.width=16").models[1].arguments["width"] == 16
    with pytest.raises(RecipeError, match=r"--set models.SASRec.widht=16: .*did you mean 'width'"):
        read("models.SASRec.widht=16")


def test_a_seed_goes_to_every_model_and_its_fit(read):
    recipe = read(seed=7, models=["Popularity", {"class_path": "SASRec", "fit": {"seed": 3}}])
    assert recipe.models[1].arguments["seed"] == 7
    assert [model.fit["seed"] for model in recipe.models] == [7, 3]
    assert "seed" not in recipe.models[0].arguments  # it has no such argument


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"modles": []}, "a recipe has no key 'modles'; did you mean 'models'?"),
        ({"models": None}, "the key 'models' is missing"),
        ({"models": "SASRec"}, "models: 'SASRec': expected a list of models"),
        (
            {"models": ["SASrec"]},
            r"models\[0\].class_path: penchant has no model 'SASrec'; did you mean 'SASRec'",
        ),
        ({"models": ["Popularity", "Popularity"]}, "a second model named 'Popularity'"),
        (
            {"models": [{"class_path": "SASRec", "init_args": {"widht": 3}}]},
            "SASRec has no argument 'widht'; did you mean 'width'",
        ),
        (
            {"models": [{"class_path": "SASRec", "init_args": {"width": "wide"}}]},
            r"init_args.width: 'wide': expected an integer",
        ),
        (
            {"models": [{"class_path": "SASRec", "fit": {"epoch": 3}}]},
            "fit has no argument 'epoch'; did you mean 'epochs'",
        ),
        ({"models": [{"class_path": "SASRec", "args": {}}]}, "a model has no key 'args'"),
        (
            {"models": [{"class_path": "penchant.retrieve.SASrec"}]},
            "penchant.retrieve has no model 'SASrec'; did you mean 'SASRec'",
        ),
        ({"models": [{"class_path": "penchant.data.events.pl"}]}, "has no model 'pl'"),
        ({"models": [{"class_path": "penchant.retreive.SASRec"}]}, "cannot import 'penchant.retreive'"),
        ({"models": [{"class_path": "os; import this"}]}, "expected an import path"),
        ({"models": ["DIN"]}, "no retriever among the models"),
        ({"split": {"leave_lats": {}}}, "there is no split 'leave_lats'; did you mean 'leave_last'"),
        ({"split": {"time": {"vaild": 0.1}}}, "split_by_time has no argument 'vaild'; did you mean 'valid'"),
        ({"split": {"leave_last": {"k": 1.5}}}, r"split.leave_last.k: 1.5: expected an integer"),
        ({"split": {"time": None, "user": None}}, "expected one of"),
        (
            {"funnel": {"retrieve": ["Popularitee"]}},
            "'Popularitee' is no retriever of this recipe; did you mean 'Popularity'",
        ),
        ({"funnel": {"rank": "SASRec"}}, "'SASRec' is no ranker of this recipe"),
        ({"funnel": {"candidate": 3}}, "Funnel has no argument 'candidate'; did you mean 'candidates'"),
        ({"evaluate": {"part": "train"}}, "'train': expected 'valid' or 'test'"),
        ({"evaluate": {"against": ["EASE"]}}, "'EASE' is no retriever or further ranker of this"),
        ({"evaluate": {"against": ["DIN"]}}, "'DIN' is no retriever or further ranker of this"),
        ({"evaluate": {"cutoffs": [0]}}, r"evaluate.cutoffs: cutoffs=\[0\]: expected integers of at least 1"),
        ({"evaluate": {"level": 95}}, r"evaluate.level: level=95.* inside \(0, 1\)"),
        (
            {"funnel": {"rules": {"quotas": {"genres": 1}}}},
            "rules have no 'quotas'; did you mean 'quota'",
        ),
        ({"funnel": {"rules": {"quota": {"genres": -1}}}}, "a number of items, 0 or more"),
        ({"evaluate": {"setting": "s3req"}}, "a published setting .did you mean 's3rec'"),
        ({"evaluate": {"setting": "s3rec", "cutoffs": [5]}}, "nothing beside setting='s3rec'"),
        ({"report": "../report.html"}, "expected a file name"),
        ({"seed": "x"}, "seed: 'x': expected an integer"),
        ({"data": {"source": "nowhere.csv", "user": "u", "item": "i"}}, "'nowhere.csv': no such file"),
        ({"data": {"source": "recpie.yml", "user": "u", "item": "i"}}, "did you mean 'recipe.yaml'"),
        ({"data": {"user": "u", "item": "i"}}, "read_events needs source"),
        (
            {"data": {"dataset": "movielens-smal"}},
            "no data set 'movielens-smal'; did you mean 'movielens-small'",
        ),
        (
            {"data": {"source": "recipe.yaml", "user": "u", "item": "i", "label": "a<3"}},
            "data.label: 'a<3': expected",
        ),
        (
            {"data": {"source": "recipe.yaml", "user": "u", "item": "i", "items": {"id": "i", "tilte": "t"}}},
            "did you mean 'title'",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_the_nearest_name(read, parts, told):
    with pytest.raises(RecipeError, match=told):
        read(**parts)


def test_everything_wrong_is_told_at_once_each_with_its_line(read):
    with pytest.raises(RecipeError) as caught:
        read(
            split={"time": {"vaild": 0.1}},
            funnel={"candidate": 3},
            models=[{"class_path": "SASRec", "init_args": {"widht": 1}}],
        )
    text = str(caught.value)
    assert "3 problems" in text
    assert text.count("line ") == 3


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """A package that leaves a mark when it is imported."""
    folder = tmp_path / "strange_models"
    folder.mkdir()
    mark = tmp_path / "imported"
    (folder / "__init__.py").write_text(
        f"from pathlib import Path\nPath({str(mark)!r}).touch()\n"
        "from penchant.retrieve import Popularity\nclass Mine(Popularity):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield mark
    sys.modules.pop("strange_models", None)


@pytest.mark.parametrize(
    "model",
    [
        {"class_path": "strange_models.Mine"},
        "strange_models.Mine",
        {"class_path": "SASRec", "init_args": {"width": {"class_path": "strange_models.Mine"}}},
    ],
    ids=str,
)
def test_a_class_outside_the_trusted_packages_is_refused_before_any_import(read, stranger, model):
    with pytest.raises(TrustError, match="nothing was imported") as caught:
        read(models=["Popularity", model])
    assert not stranger.exists()
    assert "models[1]" in caught.value.__notes__[0]


def test_a_name_that_only_begins_like_a_trusted_package_is_refused(read, stranger):
    with pytest.raises(TrustError):
        read(models=["strange_models.Mine"], trust=["strange"])
    assert not stranger.exists()


def test_a_trusted_package_is_imported(read, stranger):
    recipe = read(models=["strange_models.Mine"], trust=["strange_models"])
    assert stranger.exists()
    assert recipe.models[0].cls.__name__ == "Mine"


@pytest.mark.parametrize("name", ["Linear", "Path", "nothing"])
def test_a_trusted_package_does_not_lend_its_trust_to_what_it_imports(read, tmp_path, monkeypatch, name):
    (tmp_path / "mine.py").write_text("from pathlib import Path\nfrom torch.nn import Linear\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    with pytest.raises(RecipeError, match=f"mine has no model '{name}'"):
        read(models=[f"mine.{name}"], trust=["mine"])


def test_what_a_constructor_refuses_is_told_with_its_place(read):
    recipe = read(models=[{"class_path": "SASRec", "init_args": {"width": -3}}])
    with pytest.raises(RecipeError, match=r"line \d+, models\[0\].init_args.width: width=-3"):
        recipe.build(recipe.models[0], recipe.data().features)


@pytest.mark.parametrize("text", ["rating>=4", "rating >= 4.0", "a>=-1e1"])
def test_a_label_rule(text):
    assert isinstance(label_of(text), AtLeast)


def test_a_label_rule_on_values():
    assert label_of("action == buy") == Equals("action", "buy")


def test_a_label_may_be_a_column():
    assert label_of("clicked") == "clicked"


def test_columns_of_attributes_are_lists_or_one_name_and_categories_lists_or_separators(read, home):
    def items_of(**attributes):
        source = str(home / "ratings.csv")
        return read(data={"source": source, "user": "u", "item": "i", "items": attributes}).data

    made = items_of(numbers="year", categories=["brand"]).arguments["items"]
    assert (made.numbers, dict(made.categories)) == (("year",), {"brand": None})
    with pytest.raises(RecipeError, match=r"line \d+, data.items.categories: ") as caught:
        items_of(categories={"brand": ""})
    assert "pass None where a cell holds a single label" in str(caught.value)


@pytest.mark.parametrize("text", ["rating>4", "rating>=", ">=4", "", None, "rating>=good", "rating>=1e"])
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(ArgumentError, match="COLUMN>=NUMBER"):
        label_of(text)


def test_rankers_that_stand_in_no_funnel_are_held_against_the_one_that_does(read):
    models = ["Popularity", "DIN", "NoHistory"]
    recipe = read(models=models, funnel={"rank": "DIN"})
    assert recipe.against == ("Popularity", "NoHistory")
    recipe = read(models=models, funnel={"rank": "DIN"}, evaluate={"against": "NoHistory"})
    assert recipe.against == ("NoHistory",)
    with pytest.raises(RecipeError, match="'DIN' is no retriever or further ranker of this recipe"):
        read(models=models, funnel={"rank": "DIN"}, evaluate={"against": "DIN"})
    with pytest.raises(RecipeError, match="'NoHistory' is no retriever of this recipe"):
        read(models=models, funnel={"rank": None}, evaluate={"against": "NoHistory"})


BAD = {
    "models.SASRec.width=-3": "width=-3: expected",
    "models.DIN.fit.epochs=0": "epochs=0: expected",
    "models.DIN.categories=[genre]": "genre",
    "funnel.candidates=0": "candidates=0: expected",
    "funnel.blend=2": "blend=2",
    "funnel.weights=[1]": "weights=[1",
    "evaluate.cutoffs=[0]": "cutoffs=[0]: expected",
    "data.user=U": "userId",
    "funnel.rules={quota: {gender: 2}}": "a category of the catalogue",
    "funnel.rules={pinned: [77]}": "an item id of the log",
    "split.leave_last.k=100": "k",
}


@pytest.mark.parametrize("change", BAD)
def test_check_finds_what_would_only_fail_after_a_training(penchant, home, tmp_path, monkeypatch, change):
    monkeypatch.setattr(train, "fit", None)  # nothing is trained, with --check or without
    for check in ("--check", ""):
        said = penchant(f"train {home / 'tiny.yaml'} --out {tmp_path / 'run'} --set '{change}' {check}")
        assert said.code == 2, said.err
        assert BAD[change] in said.err


def test_a_published_setting_is_held_against_the_split_before_a_training(
    penchant, home, tmp_path, monkeypatch
):
    monkeypatch.setattr(train, "fit", None)
    line = f"train {home / 'tiny.yaml'} --out {tmp_path / 'run'} --check --set evaluate.cutoffs=null"
    line += " --set evaluate.setting=s3rec"
    assert penchant(line).code == 0
    said = penchant(f"{line} --set split.leave_last.k=2")
    assert said.code == 2
    assert "evaluate.setting: setting 's3rec' asks for every user's last event" in said.err


def test_of_a_large_table_the_header_is_looked_at(penchant, home, tmp_path, monkeypatch):
    monkeypatch.setattr(rehearsal, "_SMALL", 10)
    line = f"train {home / 'tiny.yaml'} --out {tmp_path / 'run'} --check"
    said = penchant(line)
    assert said.code == 0, said.err
    assert "by the header" in said.out
    said = penchant(f"{line} --set data.user=UserId")
    assert said.code == 2
    assert "data.user: no column 'UserId'; did you mean 'userId'?" in said.err


def test_standing_rules_of_a_recipe_reach_the_funnel(read):
    recipe = read(funnel={"rank": "DIN", "rules": {"quota": {"genres": {"A": 0}}, "deny": [101]}})
    assert recipe.funnel["rules"] == Rules(deny=[101], quota={"genres": {"A": 0}})


def test_check_says_fine_and_what_differs(penchant, home, tmp_path):
    said = penchant(f"train {home / 'tiny.yaml'} --out {tmp_path / 'run'} --check --json")
    assert said.code == 0
    assert {"setting": "funnel.candidates", "value": 12, "default": 200} in said.json["changed"]
    assert not (tmp_path / "run").exists()
    assert json.loads(said.out)


def test_the_command_line_names_file_line_and_flag(penchant, tmp_path, stranger):
    (tmp_path / "bad.yaml").write_text("data: log\nmodels:\n  - strange_models.Mine\n")
    said = penchant(f"train {tmp_path / 'bad.yaml'}")
    assert said.code == 2
    assert "--trust strange_models" in said.err
    assert "line 3" in said.err
    assert "Traceback" not in said.err
    assert not stranger.exists()
