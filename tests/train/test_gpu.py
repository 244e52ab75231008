"""On a GPU with the whole log in its memory: what comes out agrees with a CPU."""

import pytest
import torch

from logs import random_log
from penchant.data import split_leave_last
from penchant.evaluation import evaluate
from penchant.rank import DIN
from penchant.retrieve import SASRec
from penchant.train import fit

pytestmark = pytest.mark.gpu

MODELS = {
    "softmax": lambda features: SASRec(features, width=16, history=10, dropout=0.0),
    "sampled": lambda features: SASRec(features, width=16, history=10, dropout=0.0, objective="sampled"),
    "bce": lambda features: SASRec(features, width=16, history=10, dropout=0.0, objective="bce"),
    "DIN": lambda features: DIN(features, width=8, history=10),
}


@pytest.fixture(scope="module")
def split():
    return split_leave_last(random_log(users=300, items=60, seed=1, taste=0.7))


def fitted(kind, split, **settings):
    model = MODELS[kind](split.log.features)
    return fit(model, split, epochs=3, batch_size=32, progress=False, **settings)


@pytest.mark.parametrize("kind", MODELS)
def test_training_with_the_log_on_the_device_agrees_with_a_cpu(kind, split):
    here, there = fitted(kind, split, device="cpu"), fitted(kind, split.to("cuda"), device="cuda")
    losses = [[row["loss"] for row in model.training_log] for model in (here, there)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    again = fitted(kind, split.to("cuda"), device="cuda")
    assert [row["loss"] for row in again.training_log] == losses[1]  # same device, same numbers


@pytest.mark.parametrize("kind", MODELS)
def test_bfloat16_on_the_device_learns_what_float32_does(kind, split):
    exact = fitted(kind, split.to("cuda"), device="cuda")
    narrow = fitted(kind, split.to("cuda"), device="cuda", precision="bf16-mixed")
    assert narrow.training_log[-1]["loss"] == pytest.approx(exact.training_log[-1]["loss"], rel=0.03)
    assert all(p.dtype == torch.float32 for p in narrow.parameters())


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_on_the_device_answers_what_it_answers_on_a_cpu(kind, split):
    model = fitted(kind, split, device="cpu")
    here = evaluate(model, split.test, bootstrap=0)
    there = evaluate(model.to("cuda"), split.to("cuda").test, bootstrap=0)
    for a, b in zip(here.systems, there.systems, strict=True):
        for name, estimate in a.metrics.items():
            assert b.metrics[name].value == pytest.approx(estimate.value, abs=2e-3), name
