import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from penchant.data import Features
from penchant.errors import ArgumentError, StoreError, TrustError
from penchant.train.checkpoint import build, describe, load_weights, save_weights
from train.tiny import Tiny, assert_same, weights

FEATURES = Features(items=9)
HERE = (__name__.partition(".")[0], "train")  # pytest names this module by its place


class Trunk(nn.Module):
    def __init__(self, features, *, width=4):
        super().__init__()
        self.width = width
        self.table = nn.Embedding(features.items, width)


class Head(nn.Module):
    """Owns its trunk; takes an array, a list and a mapping."""

    def __init__(self, features, *, trunk, prior, widths=(8, 4), names=None, share=0.5):
        super().__init__()
        self.trunk, self.prior, self.widths, self.names, self.share = (
            trunk,
            prior,
            tuple(widths),
            names,
            share,
        )
        self.out = nn.Linear(trunk.width, len(prior))


class Forgetful(nn.Module):
    def __init__(self, features, *, width=4):
        super().__init__()


class Greedy(nn.Module):
    def __init__(self, features, **settings):
        super().__init__()


def described(model):
    """Through JSON, as in a bundle."""
    return json.loads(json.dumps(describe(model)))


def test_a_model_is_its_class_and_arguments():
    model = Tiny(FEATURES, width=5, dropout=0.0)
    assert describe(model) == {
        "class": "train.tiny.Tiny",
        "args": {"width": 5, "dropout": 0.0, "negatives": 10, "sparse": True, "batch_norm": True, "seed": 0},
    }


def test_a_built_model_with_loaded_weights_is_the_same(tmp_path):
    model = Tiny(FEATURES, seed=3)
    model.norm.running_mean.fill_(7.0)
    model.before.known[4] = False
    save_weights(model, tmp_path / "w.safetensors")
    copy = build(described(model), FEATURES, trust=HERE)
    load_weights(copy, tmp_path / "w.safetensors")
    assert_same(weights(copy), weights(model))
    assert describe(copy) == describe(model)


def test_nested_models_arrays_lists_and_mappings_come_back(tmp_path):
    model = Head(
        FEATURES, trunk=Trunk(FEATURES, width=3), prior=torch.tensor([0.25, 0.75]), names={"a": [1, None]}
    )
    save_weights(model, tmp_path / "w")
    copy = build(described(model), FEATURES, trust=HERE, weights=tmp_path / "w")
    load_weights(copy, tmp_path / "w")
    assert (copy.trunk.width, copy.widths, copy.names, copy.share) == (3, (8, 4), {"a": [1, None]}, 0.5)
    assert copy.prior.tolist() == [0.25, 0.75]
    assert_same(weights(copy), weights(model))
    assert set(load_file(tmp_path / "w")) == {"args.prior", "trunk.table.weight", "out.weight", "out.bias"}


def test_numpy_arrays_and_numbers_are_arguments_too(tmp_path):
    model = Head(FEATURES, trunk=Trunk(FEATURES), prior=np.array([1.0, 2.0]), share=np.float64(0.25))
    assert describe(model)["args"]["share"] == 0.25
    save_weights(model, tmp_path / "w")
    assert build(described(model), FEATURES, trust=HERE, weights=tmp_path / "w").prior.tolist() == [1, 2]


def test_an_array_needs_the_weights_file():
    model = Head(FEATURES, trunk=Trunk(FEATURES), prior=torch.ones(2))
    with pytest.raises(ArgumentError, match=r"args\.prior"):
        build(described(model), FEATURES, trust=HERE)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Forgetful(FEATURES), "self.width = width"),
        (Greedy(FEATURES), "settings"),
        (Head(FEATURES, trunk=Trunk(FEATURES), prior=torch.ones(1), names={1, 2}), "names"),
        (Head(FEATURES, trunk=Trunk(FEATURES), prior=torch.ones(1), names={1: 2}), "strings"),
        (type("Local", (nn.Module,), {"__qualname__": "f.<locals>.Local"})(), "top level"),
    ],
)
def test_a_model_that_cannot_be_described_is_told_why(model, says):
    with pytest.raises(ArgumentError, match=says):
        describe(model)


# -- trust -------------------------------------------------------------------------------------------------


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A module that leaves a trace when it is imported."""
    trace = tmp_path / "trace"
    for name in ("evil", "penchant_evil"):
        (tmp_path / f"{name}.py").write_text(
            f"from pathlib import Path\nfrom torch import nn\nPath({str(trace)!r}).touch()\n"
            "class Model(nn.Module):\n    pass\n"
        )
    monkeypatch.syspath_prepend(tmp_path)
    return trace


@pytest.mark.parametrize(
    "description",
    [
        {"class": "evil.Model", "args": {}},
        {"class": "penchant_evil.Model", "args": {}},
        {"class": "train.test_checkpoint.Head", "args": {"trunk": {"class": "evil.Model", "args": {}}}},
        {"class": "train.tiny.Tiny", "args": {"width": [{"x": {"class": "evil.Model", "args": {}}}]}},
    ],
)
def test_a_class_outside_the_trusted_packages_is_not_even_imported(evil, description):
    with pytest.raises(TrustError, match="nothing was imported"):
        build(description, FEATURES, trust=("penchant", "train"))
    assert not evil.exists()
    assert not {"evil", "penchant_evil"} & set(sys.modules)


def test_a_package_that_the_caller_trusts_is_imported(evil):
    assert (
        type(build({"class": "evil.Model", "args": {}}, FEATURES, trust=("penchant", "evil"))).__name__
        == "Model"
    )
    assert evil.exists()
    del sys.modules["evil"]


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("penchant.train.checkpoint.nn", StoreError),  # a module
        ("penchant.train.checkpoint.import_module", StoreError),  # a function
        ("penchant.errors.PenchantError", StoreError),  # a class, and no module
        ("penchant.train.loop.nn.Linear", StoreError),
        ("penchant.__main__.main", StoreError),  # importing that would start the program
        ("penchant.train.nothing.Model", StoreError),
        ("penchant.train.tiny", StoreError),
        ("penchant", StoreError),
        ("os.system", TrustError),
        ("penchant..x", StoreError),
        ("penchant.x;import os", StoreError),
        (3, StoreError),
        (None, StoreError),
    ],
)
def test_a_path_that_is_no_model_class_is_refused(path, error):
    with pytest.raises(error):
        build({"class": path, "args": {}}, FEATURES)


def test_a_class_that_only_passes_through_a_trusted_module_is_refused(monkeypatch):
    import penchant.train.guard as module

    monkeypatch.setattr(module, "Linear", nn.Linear, raising=False)
    with pytest.raises(TrustError, match=r"torch\.nn"):
        build(
            {"class": "penchant.train.guard.Linear", "args": {"in_features": 1, "out_features": 1}}, FEATURES
        )


@pytest.mark.parametrize(
    ("description", "says"),
    [
        ({"class": "train.tiny.Tiny", "args": {"widht": 3}}, "did you mean 'width'"),
        ({"class": "train.tiny.Tiny", "args": {"features": 3}}, "features"),
        ({"class": "train.tiny.Tiny", "args": 3}, "mapping"),
        ({"class": "train.tiny.Tiny"}, "description"),
        ({"class": "train.test_checkpoint.Head", "args": {}}, "does not take"),
    ],
)
def test_arguments_that_do_not_fit_are_named(description, says):
    with pytest.raises(StoreError, match=says):
        build(description, FEATURES, trust=("train",))


# -- weights -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (Trunk(FEATURES, width=3), r"'table.weight' is \(9, 3\) float32 in the file and \(9, 4\) float32"),
        (Trunk(Features(items=8)), r"\(8, 4\)"),
        (Trunk(FEATURES).double(), "float64"),
        (nn.Module(), "'table.weight' is missing"),
        (
            nn.ModuleDict({"table": nn.Embedding(9, 4), "more": nn.Linear(1, 1)}),
            r"'more\.(weight|bias)' is in the file",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_whole(tmp_path, other, says):
    save_weights(other, tmp_path / "w")
    model = Trunk(FEATURES)
    before = weights(model)
    with pytest.raises(StoreError, match=says):
        load_weights(model, tmp_path / "w")
    assert_same(weights(model), before)


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "gone"])
def test_a_file_that_is_not_whole_is_refused(tmp_path, damage):
    path = tmp_path / "w"
    save_weights(Trunk(FEATURES), path)
    whole = path.read_bytes()
    {
        "cut": lambda: path.write_bytes(whole[:-9]),
        "empty": lambda: path.write_bytes(b""),
        "text": lambda: path.write_text("no weights at all, just words"),
        "gone": path.unlink,
    }[damage]()
    with pytest.raises(StoreError, match="weights file"):
        load_weights(Trunk(FEATURES), path)


def test_tied_and_overlapping_weights_come_back_tied(tmp_path):
    def tied():
        model = nn.ModuleDict(
            {"a": nn.Embedding(5, 3), "b": nn.Linear(3, 5, bias=False), "c": nn.Linear(3, 2)}
        )
        model["b"].weight = model["a"].weight
        model["c"].register_buffer("part", model["a"].weight.detach()[1:3])
        return model

    model = tied()
    save_weights(model, tmp_path / "w")
    assert "b.weight" not in load_file(tmp_path / "w")
    copy = tied()
    load_weights(copy, tmp_path / "w")
    assert copy["b"].weight is copy["a"].weight
    assert_same(weights(copy), weights(model))


def test_other_users_may_read_what_is_written(tmp_path):
    (tmp_path / "plain").touch()
    save_weights(Trunk(FEATURES), tmp_path / "w")
    assert (tmp_path / "w").stat().st_mode == (tmp_path / "plain").stat().st_mode


FULL = """
import resource, signal, sys
import torch
from penchant.errors import StoreError
from penchant.train.checkpoint import save_tensors
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    save_tensors({"x": torch.ones(100_000)}, sys.argv[1])
except StoreError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_leaves_the_old_file(tmp_path):
    path = tmp_path / "w"
    save_weights(Trunk(FEATURES), path)
    before = path.read_bytes()
    told = subprocess.run(
        [sys.executable, "-c", FULL, path], capture_output=True, text=True, check=True
    ).stdout
    assert "could not be written" in told
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["w"]
