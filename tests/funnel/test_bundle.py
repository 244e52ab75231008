import json
import shutil
import sys

import numpy as np
import pytest
import torch

import penchant.funnel.bundle as module
from killed import deaths
from penchant.data import verify
from penchant.errors import ArgumentError, PenchantError, StoreError, TrustError, VersionError
from penchant.evaluation import evaluate
from penchant.funnel import Funnel, Rules, load
from penchant.retrieve import SASRec


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


RULES = Rules(deny=["i4"], pinned={"i9": 2}, quota={"genres": {"g2": 1, None: 3}})


@pytest.fixture
def ruled(models, split, tmp_path):
    path = tmp_path / "ruled"
    Funnel(retrieve=[models["ease"], models["popular"]], data=split.log, rules=RULES).save(path)
    return path


def test_standing_rules_come_back_and_hold(models, split, ruled):
    again = load(ruled)
    assert again.rules == RULES
    funnel = Funnel(retrieve=[models["ease"], models["popular"]], data=split.log, rules=RULES)
    asked = {"users": ["u2", "u3", "nobody"], "k": 7}
    assert again.recommend(**asked).equals(funnel.recommend(**asked))
    assert json.loads((ruled / "card.json").read_text())["rules"] == RULES.as_json()
    assert "rules 1 denied; 1 pinned; quota genres:g2<=1, genres<=3" in (ruled / "CARD.md").read_text()


def test_a_bundle_with_rules_is_of_a_format_that_who_knows_no_rules_refuses(bundle, ruled):
    assert [json.loads((path / "bundle.json").read_text())["format"] for path in (bundle, ruled)] == [1, 2]
    assert not load(bundle).rules


@pytest.mark.parametrize(
    "rules",
    [
        3,
        None,
        {"deny": []},
        RULES.as_json() | {"deny": 3},
        RULES.as_json() | {"pinned": [["i999", 1]]},
        RULES.as_json() | {"pinned": [["i4", 1]]},
        RULES.as_json() | {"quota": [["genres", None, -1]]},
        RULES.as_json() | {"quota": [["genres", [], 1]]},
        RULES.as_json() | {"quota": [["kinds", None, 1]]},
    ],
    ids=str,
)
def test_rules_that_cannot_be_are_refused(ruled, rules):
    change(ruled, rules=rules)
    with pytest.raises(StoreError, match=r"rules|deny|pinned|quota"):
        load(ruled)


def test_rules_are_neither_lost_nor_smuggled_in(bundle, ruled, tmp_path):
    change(ruled, format=1)
    with pytest.raises(StoreError, match="'rules' belong to format 2"):
        load(ruled)
    plain = shutil.copytree(bundle, tmp_path / "plain")
    change(plain, format=2)
    with pytest.raises(StoreError, match="'rules' belong to format 2"):
        load(plain)


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
    with pytest.raises(StoreError, match=r"no bundle here \(bundle\.json is missing"):
        load(tmp_path)


def test_a_log_is_no_bundle(split, tmp_path):
    split.log.save(tmp_path / "log")
    with pytest.raises(StoreError, match=r"a log, and no bundle[^\n]*\n  Fix: give the folder that"):
        load(tmp_path / "log")


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


def stages_of(folder):
    return json.loads((folder / "bundle.json").read_text())["stages"]


@pytest.mark.parametrize("name", ["rank", "DIN"])
def test_a_retriever_may_have_any_name(models, split, tmp_path, name):
    funnel = Funnel(
        retrieve=[models["ease"], models["popular"]], rank=models["din"], data=split.log, names=[name, "b"]
    )
    funnel.save(tmp_path / "bundle")
    again = load(tmp_path / "bundle")
    assert repr(again) == repr(funnel)
    assert again.recommend(users=["u2"]).equals(funnel.recommend(users=["u2"]))
    assert f"- retrieve:{name}: `EASE(" in (tmp_path / "bundle" / "CARD.md").read_text()


def test_two_models_of_one_class_are_counted_apart(models, split, tmp_path):
    wide = SASRec(split.log.features, width=32, history=10)
    wide.fitted = True
    Funnel(retrieve=[models["sasrec"], wide], data=split.log).save(tmp_path / "bundle")
    counts = json.loads((tmp_path / "bundle" / "card.json").read_text())["parameters"]
    assert list(counts) == ["retrieve:SASRec-1", "retrieve:SASRec-2"]
    for model, (name, count) in zip((models["sasrec"], wide), counts.items(), strict=True):
        assert count == sum(p.numel() for p in model.parameters())
        assert f"{name}: " in (tmp_path / "bundle" / "CARD.md").read_text()


@pytest.mark.parametrize(
    ("entries", "stage"),
    [
        ({"weights": 3}, {}),
        ({"weights": ["a", 1, 1]}, {}),
        ({"weights": [0, 0, 0]}, {}),
        ({"weights": [1]}, {}),
        ({"candidates": 1.5}, {}),
        ({"candidates": True}, {}),
        ({"blend": None}, {}),
        ({"blend": float("nan")}, {}),
        ({"files": 3}, {}),
        ({"files": {}}, {}),
        ({"stages": 3}, {}),
        ({"stages": []}, {}),
        ({"stages": ["x"]}, {}),
        ({}, {"name": None}),
        ({}, {"name": "EASE"}),  # as the second is called
        ({}, {"role": "rank"}),  # there is one already
        ({}, {"role": "cook"}),
        ({}, {"weights": 3}),
        ({}, {"model": 3}),
        ({}, {"model": {"class": "penchant.retrieve.sasrec.SASRec", "args": 3}}),
    ],
    ids=str,
)
def test_a_manifest_that_cannot_be_is_refused(copy, entries, stage):
    stages = stages_of(copy)
    stages[0] |= stage
    change(copy, **({"stages": stages} | entries))
    with pytest.raises(StoreError):
        load(copy)


@pytest.mark.parametrize(
    "key", ["stages", "weights", "candidates", "blend", "files", "name", "role", "model"]
)
def test_a_manifest_that_lacks_a_word_is_refused(copy, key):
    file = copy / "bundle.json"
    manifest = json.loads(file.read_text())
    for place in (manifest, manifest["stages"][0]):
        place.pop(key, None)
    file.write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match=key):
        load(copy)


@pytest.mark.parametrize(
    "args",
    [
        {"width": 10**9},
        {"width": 10**30},
        {"history": 10**9},
        {"depth": 10**9},
        {"heads": 0},
        {"width": "x"},
        {"width": 32},
        {"height": 3},
    ],
    ids=str,
)
def test_a_model_of_another_size_than_its_weights_is_refused_before_there_is_memory_for_it(copy, args):
    stages = stages_of(copy)
    stages[0]["model"]["args"] |= args
    change(copy, stages=stages)
    with pytest.raises(StoreError, match="SASRec"):
        load(copy)


@pytest.mark.parametrize("pattern", ["weights/*.safetensors", "log/manifest.json"])
def test_a_flipped_bit_is_noticed(copy, pattern):
    file = next(copy.glob(pattern))
    content = bytearray(file.read_bytes())
    content[-9] ^= 4  # of the last number: sizes and shapes are what they were
    file.write_bytes(content)
    with pytest.raises(StoreError, match="is not what was written"):
        load(copy)


@pytest.mark.parametrize(
    ("name", "place", "value"), [("item", 3, 10**6), ("item", 3, 0), ("item", -1, -5), ("offsets", 3, 10**6)]
)
def test_a_log_that_points_out_of_its_tables_is_refused(copy, name, place, value):
    values = np.load(copy / "log" / f"{name}.npy")
    values[place] = value
    np.save(copy / "log" / f"{name}.npy", values)
    with pytest.raises(StoreError, match=f"'{name}' holds numbers that are out of range"):
        load(copy)


def test_trust_is_a_list(copy):
    with pytest.raises(ArgumentError, match=r"pass trust=\['evil'\]"):
        load(copy, trust="evil")


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


SAVE = """
import torch
from logs import random_log
from penchant.data import split_leave_last
from penchant.funnel import Funnel
from penchant.retrieve import EASE, Popularity
from penchant.train import fit
torch.set_num_threads(1)  # a child has no other threads
split = split_leave_last(random_log(300, 200))
models = [fit(kind(split.log.features), split) for kind in (EASE, Popularity)]
def save(path, life, n):
    Funnel(retrieve=models, data=split.log, names=[life, str(n)]).save(path)
"""


def test_a_kill_at_any_moment_leaves_a_whole_bundle(copy):
    lives, left = set(), set()
    for _ in deaths(SAVE, copy, 4):
        again = load(copy)
        verify(copy / "log")
        assert len(again.recommend(histories=[["i5"]], k=3)) == 3
        lives.add(next(iter(again.retrievers)))
        left |= {p.name for p in copy.parent.iterdir() if p != copy}
    assert len(lives) == 4
    assert left  # it was killed while saving
    assert all(name.startswith(".copy.tmp-") for name in left)  # names that nobody opens
