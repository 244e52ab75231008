import logging
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from penchant.data import Sequences, Source
from penchant.errors import ArgumentError, StoreError, TrainingError
from penchant.protocols import Loss, is_fitted
from penchant.retrieve import Popularity, SASRec
from penchant.train import fit, load_weights, save_weights
from train.parts import assert_every_part_moves_a_weight, assert_every_tensor_learns
from train.tiny import Line, Rows, assert_same, hits, planted, tiny, weights


@pytest.fixture(scope="module")
def split():
    return planted()


def scripted(values, name="hit"):
    """A validation that answers these values in turn."""
    answers = iter(values)
    return lambda _: {name: next(answers)}


def test_a_planted_taste_is_learned(split):
    model = tiny(split)
    before = hits(model)["hit"]
    assert fit(model, split, valid=hits, epochs=8, patience=8) is model
    assert before < 0.3
    assert model.hit() > 0.8
    assert not model.training
    assert [row["epoch"] for row in model.training_log] == list(range(1, 9))
    first, last = model.training_log[0], model.training_log[-1]
    assert last["loss"] < first["loss"] / 2
    assert first["parts"].keys() == {"softmax", "size"}
    assert first["metrics"].keys() == {"hit", "loss"}
    assert first["examples"] == len(model.source(split, batch_size=1, seed=0).examples)
    assert first["loss"] == pytest.approx(first["parts"]["softmax"] + 0.01 * first["parts"]["size"], rel=1e-4)


def test_same_seed_same_numbers_whatever_the_caller_draws(split):
    runs = []
    for caller in (1, 2):
        model = tiny(split)
        torch.default_generator.manual_seed(caller)
        before = torch.get_rng_state()
        runs.append(weights(fit(model, split, valid=hits, epochs=2)))
        assert torch.equal(torch.get_rng_state(), before)
    assert_same(*runs)
    other = weights(fit(tiny(split), split, valid=hits, epochs=2, seed=1))
    assert not torch.equal(other["turn.weight"], runs[0]["turn.weight"])


def test_weight_two_is_the_row_twice():
    twice = Source(Rows([1, 1, 2, 3, 3], [1.0, 1.0, 0.0, 2.0, 2.0]), batch_size=5)
    heavy = Source(Rows([1, 2, 3], [1.0, 0.0, 2.0], [2.0, 1.0, 2.0]), batch_size=3)
    a, b = (weights(fit(Line(), source, epochs=5)) for source in (twice, heavy))
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=1e-6, rtol=0)


def test_a_batch_without_weight_changes_nothing_but_by_its_penalty():
    model = Line(penalty=0.0)
    before = weights(model)
    fit(model, Source(Rows([1, 2], [1.0, 5.0], [0.0, 0.0]), batch_size=2), epochs=2)
    assert_same(weights(model), before)
    assert model.training_log[0]["loss"] == 0


@pytest.mark.parametrize(
    ("name", "values", "best", "epochs"),
    [
        ("hit", [0.1, 0.5, 0.2, 0.5, 0.9], 2, 4),
        ("log_loss", [0.9, 0.2, 0.5, 0.2, 0.1], 2, 4),
        ("pcoc", [3.0, 1.1, 0.5, 1.2, 1.0], 2, 4),
        ("hit", [0.5, 0.4, 0.3], 1, 3),
        ("hit", [0.1, 0.2, 0.3, 0.4, 0.5], 5, 5),
    ],
)
def test_stopping_early_brings_the_best_weights_back(split, name, values, best, epochs):
    kept = {}

    def keep(model, epoch, metrics):
        assert metrics.keys() == {"loss", name}
        kept[epoch] = weights(model)

    valid = scripted(values, name)
    model = fit(tiny(split), split, valid=valid, metric=name, epochs=5, patience=2, callbacks=[keep])
    assert len(model.training_log) == epochs
    assert_same(weights(model), kept[best])
    assert sorted(kept) == list(range(1, epochs + 1))


def test_without_validation_the_last_weights_are_kept():
    kept = []
    model = fit(
        Line(),
        Source(Rows([1, 2], [1.0, 0.0]), batch_size=1),
        callbacks=[lambda m, *_: kept.append(weights(m))],
    )
    assert len(kept) == 3
    assert_same(weights(model), kept[-1])


def test_a_callback_may_stop_the_training(split):
    model = fit(
        tiny(split), split, valid=hits, epochs=9, patience=9, callbacks=[lambda _, epoch, __: epoch == 2]
    )
    assert len(model.training_log) == 2


def test_an_unknown_metric_is_told_with_those_there_are(split):
    with pytest.raises(ArgumentError, match=r"'hits'.*'hit', 'loss'[\s\S]*did you mean 'hit'"):
        fit(tiny(split), split, valid=hits, metric="hits", epochs=1)


def test_an_unknown_metric_of_a_split_is_told_before_the_first_step(split, monkeypatch):
    monkeypatch.setattr(SASRec, "loss", lambda *_: pytest.fail("a step was made"))
    with pytest.raises(ArgumentError, match=r"'ndgc@5'.*'ndcg@5'"):
        fit(SASRec(split.log.features, width=8), split, metric="ndgc@5")


def test_a_model_is_judged_on_the_valid_part_by_default(split):
    model = fit(SASRec(split.log.features, width=8), split, epochs=1, metric="recall@3")
    assert {"recall@3", "recall@10", "ndcg@10"} <= model.training_log[0]["metrics"].keys()
    assert 0 <= model.training_log[0]["metrics"]["recall@3"] <= 1


def test_a_model_that_cannot_be_asked_queries_says_so(split):
    with pytest.raises(ArgumentError, match="neither retrieve nor score"):
        fit(tiny(split), split)


def test_the_only_metric_there_is_counts(split):
    model = fit(tiny(split), split, valid=scripted([0.3, 0.2, 0.1], "mine"), epochs=9, patience=2)
    assert len(model.training_log) == 3


def test_a_metric_that_is_no_number_ends_the_training_by_its_name(split, tmp_path):
    model = tiny(split)
    with pytest.raises(TrainingError, match=r"epoch 2: the validation metric 'gauc' is nan(.|\n)*Fix:"):
        fit(
            model, split, valid=scripted([0.5, math.nan, 0.9], "gauc"), metric="gauc", checkpoint=tmp_path
        )  # fmt: skip
    resumed = fit(tiny(split), split, valid=scripted([0.7, 0.6, 0.5, 0.4], "gauc"), metric="gauc",
                  checkpoint=tmp_path)  # fmt: skip
    assert [row["metrics"]["gauc"] for row in resumed.training_log][:1] == [0.5]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": 1.5}, "epochs=1.5: expected an integer"),
        ({"epochs": "3"}, "epochs='3'"),
        ({"learning_rate": "1e-3"}, "learning_rate='1e-3': expected a number"),
        ({"patience": 0}, "patience"),
        ({"batch_size": -1}, "batch_size"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"clip": math.nan}, "clip"),
        ({"precision": "16-true"}, "bf16-mixed"),
        ({"device": "gpu"}, "cuda:1"),
        ({"device": "cpu:1"}, "cuda:1"),
        ({"device": "mps"}, "of this machine"),
    ],
)
def test_arguments_out_of_range_are_refused(split, wrong, says):
    with pytest.raises(ArgumentError, match=says):
        fit(tiny(split), split, valid=hits, **wrong)


def test_a_log_is_to_be_split_first(split):
    for model in (tiny(split), Popularity(split.log.features)):
        with pytest.raises(ArgumentError, match=r"split=(.|\n)*Fix: split the log first"):
            fit(model, split.log)


def test_a_checkpoint_is_no_file(split, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file: a file, where a folder was expected"):
        fit(tiny(split), split, valid=hits, checkpoint=tmp_path / "file")


def test_a_model_says_that_it_was_fitted(split, tmp_path):
    solved, learned = Popularity(split.log.features), SASRec(split.log.features, width=8, history=5)
    assert not is_fitted(solved)
    assert not is_fitted(learned)
    solved.solve(split)
    assert is_fitted(solved)
    fresh = tmp_path / "fresh.safetensors"
    save_weights(learned, fresh)
    with pytest.raises(KeyboardInterrupt):
        fit(learned, split, callbacks=[stop], epochs=1)
    assert not is_fitted(learned)
    fit(learned, split, epochs=1)
    assert is_fitted(learned)
    save_weights(learned, tmp_path / "trained.safetensors")
    again = SASRec(split.log.features, width=8, history=5)
    load_weights(again, tmp_path / "trained.safetensors")
    assert is_fitted(again)
    load_weights(again, fresh)
    assert not is_fitted(again)
    assert is_fitted(tiny(split))  # it does not say: it is taken at its word


def stop(*_):
    raise KeyboardInterrupt


def test_a_source_has_its_own_batches_and_no_metric():
    source = Source(Rows([1, 2], [1.0, 0.0]), batch_size=1)
    with pytest.raises(ArgumentError, match="batch_size"):
        fit(Line(), source, batch_size=2)
    with pytest.raises(ArgumentError, match="pass valid="):
        fit(Line(), source, metric="hit")
    with pytest.raises(ArgumentError, match="source and loss"):
        fit(nn.Linear(1, 1), source)


def test_what_is_counted_on_training_rows_is_counted_first(split):
    model = fit(tiny(split), split, valid=hits, epochs=1)
    assert model.prepared == 1
    source = Source(Sequences(split, negatives=10), batch_size=16)
    assert fit(tiny(split), source, epochs=1).prepared == 1


def test_a_closed_form_is_solved_once(split):
    class Mean(nn.Module):
        solved = 0

        def solve(self, split):
            self.solved += len(split.train)

    model = fit(Mean(), split)
    assert model.solved == len(split.train)
    assert model.training_log == []
    assert not model.training
    with pytest.raises(ArgumentError, match="solved, not trained"):
        fit(Mean(), Source(Rows([1], [1.0]), batch_size=1))


def test_a_batch_knows_how_far_the_training_is():
    class Watching(Line):
        def loss(self, batch):
            seen.append(batch.progress)
            return super().loss(batch)

    seen = []
    fit(Watching(), Source(Rows([1, 2, 3], [1.0, 0.0, 1.0]), batch_size=2), epochs=3)
    assert seen == [i / 6 for i in range(6)]


def test_a_weigher_says_what_counts_in_an_epoch():
    class Only:
        def weights(self, model, source, epoch):
            assert not model.training
            asked.append(epoch)
            return torch.tensor([float(epoch == 0), float(epoch == 1), 0.0])

    asked = []
    model = Line(penalty=0.0)
    moved = []
    fit(
        model, Source(Rows([1, 2, 3], [9.0, 9.0, 9.0]), batch_size=3), epochs=2, weigher=Only(),
        callbacks=[lambda m, *_: moved.append(m.table.weight.grad.abs().sum(1).nonzero().flatten().tolist())],
    )  # fmt: skip
    assert asked == [0, 1]
    assert moved == [[1], [2]]


def test_mixed_precision_reaches_the_loss_and_spares_weights_and_batch():
    class Watching(Line):
        def loss(self, batch):
            seen.append(
                (self.head(self.table(batch.target)).dtype, batch.weight.dtype, self.head.weight.dtype)
            )
            return super().loss(batch)

    seen = []
    fit(Watching(), Source(Rows([1, 2], [1.0, 0.0]), batch_size=2), epochs=1, precision="bf16-mixed")
    assert seen == [(torch.bfloat16, torch.float32, torch.float32)]


# -- numbers that are none ---------------------------------------------------------------------------------


class Breaking(Line):
    """Goes wrong in step 3 in one of three ways."""

    def __init__(self, how):
        super().__init__()
        self.how, self.steps = how, 0

    def loss(self, batch):
        self.steps += 1
        loss = super().loss(batch)
        if self.steps != 3:
            return loss
        if self.how == "part":
            bad = self.head.weight.sum() * math.nan
            return replace(loss, sum=loss.sum + bad, parts={**loss.parts, "extra": bad})
        if self.how == "gradient":  # the root of 0 is 0, its slope is not finite
            return replace(loss, penalty=(self.head.bias - self.head.bias.detach()).square().sum().sqrt())
        with torch.no_grad():
            self.table.weight[4, 0] = math.inf
        return super().loss(batch)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("part", r"epoch 2, step 3: the loss part 'extra' is nan"),
        ("gradient", r"epoch 2, step 3: the gradient of 'head.bias'"),
        (
            "parameter",
            r"the loss part 'square' is (nan|inf); the parameter 'table.weight' was not finite before",
        ),
    ],
)
def test_the_first_bad_tensor_is_named_and_nothing_updated(how, says):
    model = Breaking(how)
    source = Source(Rows([4, 2, 3, 4], [1.0, 0.0, 1.0, 0.0]), batch_size=2, shuffle=False)
    kept = []
    with pytest.raises(TrainingError, match=says):
        fit(model, source, epochs=3, callbacks=[lambda m, *_: kept.append(weights(m))])
    if how != "parameter":
        assert_same(weights(model), kept[-1])


def test_a_parameter_that_no_loss_sees_is_found_at_the_end_of_the_epoch():
    class Silent(Line):
        def loss(self, batch):
            with torch.no_grad():
                self.table.weight[4, 0] = math.nan
            return super().loss(batch)

    with pytest.raises(TrainingError, match=r"epoch 1: the parameter 'table.weight'"):
        fit(Silent(), Source(Rows([1, 2], [1.0, 0.0]), batch_size=2))


# -- what is told ------------------------------------------------------------------------------------------


def test_every_setting_that_differs_from_its_default_is_told(split, caplog):
    with caplog.at_level(logging.INFO, logger="penchant.train"):
        fit(tiny(split, width=4, seed=7), split, valid=hits, epochs=1, learning_rate=0.05, clip=1.0, seed=3)
    lines = [record.getMessage() for record in caplog.records]
    count = sum(p.numel() for p in tiny(split, width=4).parameters())
    assert lines[0] == f"Tiny(width=4, seed=7), {count:,} parameters"
    assert lines[1] == "fit(epochs=1, clip=1.0, seed=3)"  # the learning rate is the model's own
    assert lines[2].startswith("epoch 1/1, loss ")
    assert "hit " in lines[2]
    assert "examples/s" in lines[2]


# -- the helper of the exam --------------------------------------------------------------------------------


def test_every_part_of_the_loss_moves_a_weight(split):
    model = tiny(split)
    batch = next(iter(model.source(split, batch_size=8, seed=0)))
    assert_every_part_moves_a_weight(model, batch)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        (lambda model, loss: {"dead": 0.0 * loss.sum}, "move no weight"),
        (lambda model, loss: {"forgotten": model.head.bias.square().sum()}, "not minimised"),
    ],
)
def test_a_part_that_trains_nothing_is_found(parts, says):
    class Idle(Line):
        def loss(self, batch):
            loss = super().loss(batch)
            return Loss(
                loss.sum,
                loss.weight,
                loss.penalty,
                {**loss.parts, "size": self.head.weight.square().sum(), **parts(self, loss)},
            )

    batch = Rows([1, 2, 3], [1.0, 0.0, 3.0]).batch(torch.arange(3), None)
    with pytest.raises(AssertionError, match=says):
        assert_every_part_moves_a_weight(Idle(), batch)


def test_a_tensor_that_learns_nothing_is_found():
    class Spare(Line):
        def __init__(self, *, used):
            super().__init__()
            self.spare, self.used = nn.Parameter(torch.ones(2)), used

        def loss(self, batch):
            loss = super().loss(batch)
            if not self.used:
                return loss
            return Loss(loss.sum + 0.0 * self.spare.sum(), loss.weight, loss.penalty)

    batch = Rows([1, 2, 3], [1.0, 0.0, 3.0]).batch(torch.arange(3), None)
    assert_every_tensor_learns(Line(), batch)
    for used in (False, True):
        with pytest.raises(AssertionError, match=r"learn nothing: \['spare'\]"):
            assert_every_tensor_learns(Spare(used=used), batch)


def test_a_class_is_no_model(split):
    wanted = r"(?s)model='SASRec': expected a model.*make one: SASRec\(log.features\)"
    with pytest.raises(ArgumentError, match=wanted):
        fit(SASRec, split)
