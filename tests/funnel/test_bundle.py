import json
import shutil
import sys

import pytest
import torch

import penchant.funnel.bundle as module
from penchant.errors import ArgumentError, PenchantError, StoreError, TrustError, VersionError
from penchant.evaluation import evaluate
from penchant.funnel import Funnel, load


@pytest.fixture(scope="module")
def bundle(funnel, split, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundles") / "bundle"
    funnel.save(path, result=evaluate(funnel, split.test, bootstrap=20))
    return path


@pytest.fixture
def copy(bundle, tmp_path):
    return shutil.copytree(bundle, tmp_path / "copy")


def change(folder, **entries):
    file = folder / "bundle.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))


def test_what_comes_back_answers_to_the_last_bit_the_same(funnel, bundle):
    again = load(bundle)
    assert repr(again) == repr(funnel)
    for question in ({"users": ["u2", "u3", "nobody"]}, {"histories": [["i5", "i6"], []]}):
        assert again.recommend(**question, k=7).equals(funnel.recommend(**question, k=7))
    assert again.similar(["i5"]).equals(funnel.similar(["i5"]))


def test_saving_again_replaces_the_old_bundle(copy, models, split):
    Funnel(retrieve=models["ease"], data=split.log).save(copy)
    assert list(load(copy).retrievers) == ["EASE"]
    assert not [p for p in copy.parent.iterdir() if p != copy]


def test_nothing_in_it_is_a_pickle(bundle):
    kinds = {p.suffix for p in bundle.rglob("*") if p.is_file()}
    assert kinds <= {".json", ".md", ".safetensors", ".npy", ".arrow", ".csv"}
    for file in bundle.rglob("*.npy"):
        assert b"'descr': '|O'" not in file.read_bytes()[:128]


def test_the_card_says_what_was_trained_on_what_and_how_good_it_is(bundle, split):
    card = json.loads((bundle / "card.json").read_text())
    assert card["data"]["kept"] == len(split.log)
    assert [m["class"].rsplit(".", 1)[-1] for m in card["models"]] == ["SASRec", "EASE", "Popularity", "DIN"]
    assert card["evaluation"]["setting"]["split"] == split.name
    text = (bundle / "CARD.md").read_text()
    assert "SASRec(" in text
    assert "width=16" in text
    assert f"ndcg@10 {card['evaluation']['systems'][0]['metrics']['ndcg@10']['value']:.4f}" in text


def test_a_folder_that_is_no_bundle(tmp_path):
    with pytest.raises(StoreError, match=r"bundle\.json is missing"):
        load(tmp_path)


def test_another_format_names_itself(copy):
    change(copy, format=99)
    with pytest.raises(VersionError, match="99"):
        load(copy)


@pytest.mark.parametrize("victim", ["weights", "log", "one file"])
def test_a_bundle_that_lost_a_part_is_not_read_as_whole(copy, victim):
    if victim == "one file":
        next((copy / "weights").iterdir()).unlink()
    else:
        shutil.rmtree(copy / victim)
    with pytest.raises(StoreError):
        load(copy)


def test_a_truncated_weight_file_is_refused(copy):
    file = next((copy / "weights").iterdir())
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(PenchantError):
        load(copy)


def test_broken_json_is_refused(copy):
    (copy / "bundle.json").write_text('{"format": 1, "stages": [')
    with pytest.raises(StoreError, match="not a bundle manifest"):
        load(copy)


def test_hostile_code_is_refused_before_it_is_imported(copy, tmp_path, monkeypatch):
    (tmp_path / "hostile.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Model: ...")
    monkeypatch.syspath_prepend(tmp_path)
    stages = json.loads((copy / "bundle.json").read_text())["stages"]
    stages[0]["model"]["class"] = "hostile.Model"
    change(copy, stages=stages)
    with pytest.raises(TrustError, match="nothing was imported"):
        load(copy)
    assert not (tmp_path / "ran").exists()
    assert "hostile" not in sys.modules
    for name in ("os.system", "penchant.data.atomic.os.system", "penchant.cli.main", "builtins.eval"):
        stages[0]["model"]["class"] = name
        change(copy, stages=stages)
        with pytest.raises(PenchantError):
            load(copy)


def test_a_path_out_of_the_bundle_is_refused(copy, bundle):
    stages = json.loads((copy / "bundle.json").read_text())["stages"]
    stages[0]["weights"] = "../" + bundle.name + "/" + stages[0]["weights"]
    change(copy, stages=stages)
    with pytest.raises(StoreError, match="leads out of the bundle"):
        load(copy)


def test_a_save_that_fails_leaves_the_old_bundle_and_no_rubbish(funnel, copy, monkeypatch):
    before = {p.relative_to(copy): p.read_bytes() for p in copy.rglob("*") if p.is_file()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_log", full)
    with pytest.raises(OSError, match="No space left"):
        funnel.save(copy)
    assert before == {p.relative_to(copy): p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    assert not [p for p in copy.parent.iterdir() if p != copy]


def test_what_is_no_module_cannot_be_saved(split, tmp_path):
    class Bare:
        def retrieve(self, requests, k, dials=None):
            raise AssertionError

    with pytest.raises(ArgumentError, match=r"an nn\.Module"):
        Funnel(retrieve=Bare(), data=split.log).save(tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_weights_are_read_as_they_were_written(funnel, bundle):
    again = load(bundle)
    for name, model in funnel.retrievers.items():
        for key, value in model.state_dict().items():
            assert torch.equal(value, again.retrievers[name].state_dict()[key]), key
