"""`penchant train` and `penchant evaluate`: what a run leaves, and that it goes on."""

import json
import shutil

import pytest
import yaml

from penchant.cli import train
from penchant.cli.recipe import read_recipe
from penchant.data import split_leave_last


def test_a_run_leaves_a_bundle_its_figures_and_a_page(home):
    run = home / "run"
    assert (run / "bundle" / "bundle.json").is_file()
    assert "<html" in (run / "report.html").read_text()
    result = json.loads((run / "result.json").read_text())
    assert [system["name"] for system in result["systems"]] == ["Funnel", "Popularity", "SASRec"]
    assert result["run"]["split"] == {
        "name": "leave_last",
        "arguments": {"k": 1},
        "told": "leave last 1 out, per user",
    }
    assert len(result["run"]["training"]["SASRec"]) == 1
    assert result["run"]["models"]["SASRec"]["args"]["width"] == 8


def test_the_ranker_s_probabilities_are_among_the_figures(home):
    ranker = json.loads((home / "run" / "result.json").read_text())["ranker"]
    assert [system["name"] for system in ranker["systems"]] == ["DIN", "NoHistory"]
    for name in ("auc", "log_loss", "ece", "pcoc"):
        assert name in ranker["systems"][0]["metrics"]
    assert "log_loss" in ranker["systems"][1]["difference"]
    assert "Ranker: probabilities" in (home / "run" / "report.html").read_text()


def test_a_second_call_gives_the_same_figures(penchant, home, tmp_path):
    shutil.copytree(home / "run", tmp_path / "run")
    said = penchant(f"train {home / 'tiny.yaml'} --out {tmp_path / 'run'} --set report=false --json")
    assert said.code == 0, said.err
    before = json.loads((home / "run" / "result.json").read_text())
    for old, new in zip(before["systems"], said.json["systems"], strict=True):
        assert old["metrics"] == new["metrics"]
    assert said.json == json.loads((tmp_path / "run" / "result.json").read_text())


def test_a_changed_setting_does_not_take_up_the_old_checkpoint(penchant, home, tmp_path):
    shutil.copytree(home / "run", tmp_path / "run")
    line = f"train {home / 'tiny.yaml'} --out {tmp_path / 'run'} --set report=false --json"
    said = penchant(f"{line} --set models.SASRec.width=4")
    assert said.code == 0, said.err
    assert said.json["run"]["models"]["SASRec"]["args"]["width"] == 4


def test_an_interrupted_run_goes_on(penchant, home, tmp_path, monkeypatch):
    """Ctrl-C in the second epoch; the next call does not start over and ends where an unbroken one ends."""
    line = f"train {home / 'tiny.yaml'} --set models.SASRec.fit.epochs=3 --set report=false --json"
    whole = penchant(f"{line} --out {tmp_path / 'whole'}").json
    real, calls = train.fit, []

    def stopping(model, split, **more):
        def stop(_model, epoch, _metrics):
            calls.append(epoch)
            if epoch >= 1:
                raise KeyboardInterrupt

        return real(model, split, **more, callbacks=[stop] if "SASRec" in str(more["checkpoint"]) else [])

    monkeypatch.setattr(train, "fit", stopping)
    assert penchant(f"{line} --out {tmp_path / 'broken'}").code == 130
    assert not (tmp_path / "broken" / "bundle").exists()
    monkeypatch.setattr(train, "fit", real)
    resumed = penchant(f"{line} --out {tmp_path / 'broken'}").json
    for old, new in zip(whole["systems"], resumed["systems"], strict=True):
        assert old["metrics"] == new["metrics"]


def test_a_run_for_people_shows_intervals_and_what_differs(penchant, home, tmp_path):
    said = penchant(f"train {home / 'tiny.yaml'} --out {tmp_path / 'run'} --set report=false")
    assert said.code == 0, said.err
    for words in (
        "models.SASRec.width",
        "Funnel minus",
        "ndcg@10",
        "leave last 1 out",
        "penchant recommend",
    ):
        assert words in said.out
    assert "data." not in said.out  # what columns are called has no default to differ from
    assert not [line for line in said.out.splitlines() if line != line.rstrip()]


def test_evaluate_finds_the_split_of_its_run_and_the_same_figures(penchant, home):
    before = json.loads((home / "run" / "result.json").read_text())
    said = penchant(f"evaluate {home / 'run'} --cutoffs 5 10 --bootstrap 20 --json")
    assert said.code == 0, said.err
    assert said.json["systems"][0]["metrics"] == before["systems"][0]["metrics"]
    assert "flatter" not in said.err


def test_evaluate_by_recipe_and_by_words(penchant, home):
    by_recipe = penchant(f"evaluate {home / 'run'} --recipe {home / 'tiny.yaml'} --bootstrap 0 --json").json
    line = f"evaluate {home / 'run'} --split leave_last,k=1 --cutoffs 5 10 --bootstrap 0 --json"
    assert by_recipe["systems"][0]["metrics"] == penchant(line).json["systems"][0]["metrics"]


def test_evaluate_asks_as_the_run_did_unless_told_otherwise(penchant, home, tmp_path):
    asked = "--set evaluate.candidates=all --set evaluate.exclude_seen=false --set split.leave_last.k=2"
    line = f"train {home / 'tiny.yaml'} --out {tmp_path / 'run'} {asked} --set evaluate.at=cut"
    assert penchant(line).code == 0
    before = json.loads((tmp_path / "run" / "result.json").read_text())
    line = f"evaluate {tmp_path / 'run'} --bootstrap 20 --json"
    again = penchant(line).json
    assert again["setting"] == before["setting"]
    assert again["systems"][0]["metrics"] == before["systems"][0]["metrics"]
    other = penchant(f"{line} --at each --seen exclude --cutoffs 3").json["setting"]
    assert (other["at"], other["exclude_seen"], other["cutoffs"]) == ("each", True, [3])
    assert other["candidates"] == "all"
    words = penchant(f"{line} --split leave_last,k=2").json["setting"]
    assert (words["at"], words["candidates"], words["cutoffs"]) == ("each", "seen", [5, 10, 20])
    recipe = penchant(f"{line} --recipe {home / 'tiny.yaml'}").json["setting"]
    assert (recipe["at"], recipe["candidates"], recipe["cutoffs"]) == ("each", "seen", [5, 10])


def test_evaluate_asks_rankers_and_parts_as_the_run_did(penchant, home, tmp_path):
    asked = "--set evaluate.negatives=3 --set evaluate.part=valid"
    line = f"train {home / 'tiny.yaml'} --out {tmp_path / 'run'} {asked}"
    assert penchant(line).code == 0
    before = json.loads((tmp_path / "run" / "result.json").read_text())
    again = penchant(f"evaluate {tmp_path / 'run'} --bootstrap 20 --json").json
    assert before["ranker"]["setting"]["negatives"] == 3
    assert before["setting"]["part"] == "valid"
    assert again["setting"] == before["setting"]
    assert again["ranker"]["setting"] == before["ranker"]["setting"]
    assert again["ranker"]["systems"][0]["metrics"] == before["ranker"]["systems"][0]["metrics"]
    assert penchant(f"evaluate {tmp_path / 'run'} --part test --json").json["setting"]["part"] == "test"


def test_evaluate_keeps_to_the_published_setting_of_the_run(penchant, home, tmp_path):
    changed = "'evaluate={setting: s3rec, bootstrap: 0}'"
    said = penchant(f"train {home / 'tiny.yaml'} --out {tmp_path / 'run'} --set {changed}")
    assert said.code == 0, said.err
    assert penchant(f"evaluate {tmp_path / 'run'} --bootstrap 0 --json").json["setting"]["name"] == "s3rec"
    told = penchant(f"evaluate {tmp_path / 'run'} --at cut")
    assert told.code == 2
    assert "nothing beside the setting s3rec" in told.err


def test_evaluate_warns_of_rows_that_were_learned(penchant, home, tmp_path):
    shutil.copytree(home / "run" / "bundle", tmp_path / "bundle")  # away from what its run says of the split
    for bundle in (home / "run", tmp_path / "bundle"):
        told = penchant(f"evaluate {bundle} --split leave_last,k=2 --part valid --bootstrap 0").err
        assert "learned from what it is asked, so its figures flatter" in told
        # those two test rows a user were held out of the run's own training, one as its validation row
        assert "flatter" not in penchant(f"evaluate {bundle} --split leave_last,k=2 --bootstrap 0").err
        assert "flatter" not in penchant(f"evaluate {bundle} --split leave_last --bootstrap 0").err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--split leave_lats", "did you mean 'leave_last'"),
        ("--split leave_last,n=3", "leave_last"),
        ("--split leave_last,k=many", "expected an integer"),
        ("--split time,valid=0", "valid"),
        ("--data nowhere", "nowhere"),
        ("--recipe nowhere.yaml", "no such file"),
    ],
)
def test_what_cannot_be_evaluated_says_why(penchant, home, line, told):
    said = penchant(f"evaluate {home / 'run'} {line}")
    assert said.code == 2
    assert told in said.err
    assert "Traceback" not in said.err


def test_a_bundle_alone_asks_for_a_split(penchant, home, tmp_path):
    shutil.copytree(home / "run" / "bundle", tmp_path / "bundle")
    assert "--split" in penchant(f"evaluate {tmp_path / 'bundle'}").err


def test_a_log_with_other_ids_is_refused(penchant, home, tables):
    file = tables / "ratings.csv"
    file.write_text(file.read_text() + "31,555,3,1000000000\n")
    penchant(f"import {file} --user userId --item movieId --time timestamp --out {tables / 'other'}")
    said = penchant(f"evaluate {home / 'run'} --data {tables / 'other'}")
    assert said.code == 2
    assert "trained on the item ids of" in said.err


def test_a_page_of_an_evaluation(penchant, home, tmp_path):
    assert penchant(f"evaluate {home / 'run'} --bootstrap 20 --report {tmp_path / 'page.html'}").code == 0
    assert (tmp_path / "page.html").stat().st_size > 1000


def test_a_published_setting_is_kept_to_from_recipe_to_result(penchant, home, tables, tmp_path):
    recipe = yaml.safe_load((home / "tiny.yaml").read_text())
    recipe |= {"models": ["Popularity"], "funnel": None, "evaluate": {"setting": "s3rec", "bootstrap": 0}}
    (tables / "tiny.yaml").write_text(yaml.safe_dump(recipe | {"report": False}))
    said = penchant(f"train {tables / 'tiny.yaml'} --out {tmp_path / 'run'} --json")
    assert said.code == 0, said.err
    assert said.json["setting"]["name"] == "s3rec"
    assert said.json["setting"]["cutoffs"] == [5, 10, 20]
    assert said.json["queries"] == 30


def test_what_the_audit_remarks_is_told_where_people_train(penchant, home, tables, tmp_path):
    recipe = yaml.safe_load((home / "tiny.yaml").read_text())
    recipe["data"]["context"] = ["rating"]  # of which the label is made
    recipe |= {"models": ["Popularity"], "funnel": None, "report": False}
    (tables / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    said = penchant(f"train {tables / 'tiny.yaml'} --out {tmp_path / 'run'}")
    assert said.code == 0, said.err
    assert "note: column that tells the label" in said.err
    assert "rating" in said.err


def test_a_checkpoint_is_named_by_how_ties_are_taken_too(home):
    recipe = read_recipe(home / "tiny.yaml")
    log = recipe.data()
    planned = recipe.models[0]
    model = recipe.build(planned, log.features)
    ties = ("order", "exclude")
    assert len({train._fingerprint(planned, model, split_leave_last(log, ties=way)) for way in ties}) == 2
