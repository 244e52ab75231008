import errno
import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from penchant.data import Source
from penchant.errors import StoreError, TrainingError, VersionError
from penchant.train import Checkpoint, fit
from train.tiny import Line, Rows, assert_same, hits, planted, tiny, weights

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def split():
    return planted(30)


def rows(n=7):
    return Source(Rows([i % 5 for i in range(n)], [float(i % 3) for i in range(n)]), batch_size=2)


def state_of(folder):
    return json.loads((folder / "state" / "manifest.json").read_text())["state"]


def test_killed_at_random_steps_and_resumed_it_ends_at_the_same_weights(tmp_path):
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    command = [sys.executable, Path(__file__).with_name("killed.py"), tmp_path, "1"]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) >= 2, "it was hardly ever killed in mid-run"
    assert_same(load_file(tmp_path / "resumed.safetensors"), load_file(tmp_path / "unbroken.safetensors"))
    log = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in log] == ["epoch", "1", "2", "3", "4"]


class Stop(Exception):
    """What a test ends a run with."""


def stopping_at(step, how):
    """A `Line` in whose step `step` something happens."""

    class Stopping(Line):
        steps = 0

        def loss(self, batch):
            self.steps += 1
            if self.steps == step:
                how()
            return super().loss(batch)

    Stopping.__qualname__ = "Line"  # the same model to the checkpoint
    Stopping.__module__ = Line.__module__
    return Stopping()


def test_ctrl_c_ends_after_the_step_and_the_same_call_goes_on(tmp_path, caplog):
    before = signal.getsignal(signal.SIGINT)  # a job in the background ignores it
    unbroken = fit(Line(), rows(), epochs=3)
    model = stopping_at(6, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt) as stop:
        fit(model, rows(), epochs=3, checkpoint=tmp_path)
    assert "epoch 2 after 6 steps" in stop.value.__notes__[0]
    assert "the same call of fit goes on" in stop.value.__notes__[0]
    assert (state_of(tmp_path)["step"], state_of(tmp_path)["consumed"]) == (6, 2)
    assert signal.getsignal(signal.SIGINT) is before
    with caplog.at_level(logging.INFO, logger="penchant.train"):
        resumed = fit(Line(), rows(), epochs=3, checkpoint=tmp_path)
    assert "after 1 epochs and 6 steps" in caplog.text
    assert_same(weights(resumed), weights(unbroken))
    strip = [{k: v for k, v in row.items() if k != "seconds"} for row in resumed.training_log]
    assert strip == [{k: v for k, v in row.items() if k != "seconds"} for row in unbroken.training_log]


def test_ctrl_c_during_validation_loses_nothing(tmp_path, split):
    unbroken = fit(tiny(split), split, valid=hits, epochs=2)
    answers = []

    def interrupted(model):
        answers.append(0)
        if len(answers) == 2:
            signal.raise_signal(signal.SIGINT)
        return hits(model)

    with pytest.raises(KeyboardInterrupt):
        fit(tiny(split), split, valid=interrupted, epochs=2, checkpoint=tmp_path)
    assert state_of(tmp_path)["epoch"] == 1
    assert_same(
        weights(fit(tiny(split), split, valid=hits, epochs=2, checkpoint=tmp_path)), weights(unbroken)
    )


def test_ctrl_c_without_a_checkpoint_says_how_to_have_one():
    model = stopping_at(2, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt) as stop:
        fit(model, rows())
    assert "pass checkpoint=" in stop.value.__notes__[0]


def test_a_finished_run_is_not_run_again(tmp_path, split):
    done = fit(tiny(split), split, valid=hits, epochs=2, checkpoint=tmp_path)
    again = fit(tiny(split), split, valid=lambda _: pytest.fail("asked again"), epochs=2, checkpoint=tmp_path)
    assert_same(weights(again), weights(done))
    assert again.training_log == done.training_log


def test_a_run_that_may_not_resume_starts_anew(tmp_path, split):
    done = fit(tiny(split), split, valid=hits, epochs=2, checkpoint=tmp_path)
    again = fit(tiny(split), split, valid=hits, epochs=1, checkpoint=tmp_path, resume=False)
    assert len(again.training_log) == 1
    assert again.training_log[0]["loss"] == done.training_log[0]["loss"]
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 2


def test_the_best_weights_are_kept_over_a_break(tmp_path, split):
    answers = iter([0.1, 0.9, 0.2])
    kept = {}

    def keep(model, epoch, _):
        kept[epoch] = weights(model)
        if epoch == 3:
            raise Stop

    kept_in = Checkpoint(tmp_path, every=0)
    with pytest.raises(Stop):
        fit(
            tiny(split), split, valid=lambda _: {"hit": next(answers)}, epochs=6, checkpoint=kept_in,
            callbacks=[keep],
        )  # fmt: skip
    answers = iter([0.2, 0.3, 0.3])
    model = fit(tiny(split), split, valid=lambda _: {"hit": next(answers)}, epochs=6, checkpoint=tmp_path)
    assert len(model.training_log) == 4, "patience counts on"
    assert_same(weights(model), kept[2])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: (tiny(s), s, {"learning_rate": 0.2}), "fit.learning_rate: 0.05 then, 0.2 now"),
        (lambda s: (tiny(s), s, {"epochs": 7}), "fit.epochs: 1 then, 7 now"),
        (lambda s: (tiny(s, width=4), s, {}), "model.args.width: 8 then, 4 now"),
        (lambda s: (tiny(s), planted(29), {}), "data.digest"),
        (lambda s: (tiny(s), planted(30, seed=1), {}), "data.digest"),
        (lambda s: (tiny(s), replace(s, usable=s.train.rows), {}), "data.digest"),
        (lambda s: (tiny(s), replace(s, ties="exclude"), {}), "data.ties: 'order' then, 'exclude' now"),
        (lambda s: (tiny(s), s, {"seed": 9}), "data.seed: 0 then, 9 now"),
        (
            lambda s: (Line(), rows(), {"valid": None}),
            "model.class: 'train.tiny.Tiny' then, 'train.tiny.Line' now",
        ),
    ],
)
def test_a_run_of_other_settings_is_refused_and_what_differs_named(tmp_path, split, change, says):
    fit(tiny(split), split, valid=hits, epochs=1, checkpoint=tmp_path)
    before = state_of(tmp_path)
    model, data, settings = change(split)
    with pytest.raises(StoreError) as refused:
        fit(model, data, **{"valid": hits, "epochs": 1, "checkpoint": tmp_path, **settings})
    assert says in str(refused.value)
    assert "resume=False" in str(refused.value)
    assert state_of(tmp_path) == before


def test_a_state_of_another_format_or_half_a_state_is_refused(tmp_path):
    fit(Line(), rows(), epochs=1, checkpoint=tmp_path)
    manifest = tmp_path / "state" / "manifest.json"
    written = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(written | {"format": 99}))
    with pytest.raises(VersionError, match="99"):
        fit(Line(), rows(), epochs=1, checkpoint=tmp_path)
    manifest.write_text("{")
    with pytest.raises(StoreError, match="not the state"):
        fit(Line(), rows(), epochs=1, checkpoint=tmp_path)
    manifest.write_text(json.dumps(written))
    (tmp_path / "state" / "weights.safetensors").unlink()
    with pytest.raises(StoreError, match="no such weights file"):
        fit(Line(), rows(), epochs=1, checkpoint=tmp_path)


def test_a_checkpoint_holds_no_pickle(tmp_path, split):
    fit(tiny(split), split, valid=hits, epochs=1, checkpoint=tmp_path)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    state = {f"state/{name}.safetensors" for name in ("weights", "optimiser", "best")}
    assert names == {"log.csv", "state/manifest.json", *state}


def test_the_log_is_a_table(tmp_path, split):
    model = fit(tiny(split), split, valid=hits, epochs=2, checkpoint=tmp_path)
    header, *lines = (tmp_path / "log.csv").read_text().splitlines()
    assert header == "epoch,loss,parts.softmax,parts.size,metrics.hit,metrics.loss,seconds,examples"
    assert [float(line.split(",")[1]) for line in lines] == [row["loss"] for row in model.training_log]


# -- a disk that is full -----------------------------------------------------------------------------------


@pytest.fixture
def full(monkeypatch):
    """`full(n)`: the disk takes no more from the n-th weights file on, half of which it has taken."""

    def after(count):
        from penchant.train import resume

        real, calls = resume.save_tensors, []

        def save(tensors, path):
            calls.append(path)
            if len(calls) < count:
                return real(tensors, path)
            Path(path).write_bytes(b"\x00" * 100)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(resume, "save_tensors", save)

    return after


def test_a_full_disk_keeps_the_old_checkpoint_and_the_training_goes_on(tmp_path, full, caplog):
    unbroken = fit(Line(), rows(), epochs=3)
    full(6)  # weights and optimiser at the start, after epoch 1, and the weights after epoch 2
    model = fit(Line(), rows(), epochs=3, checkpoint=tmp_path)
    assert_same(weights(model), weights(unbroken))
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == 2
    assert "No space left on device" in warned[0]
    assert "untouched" in warned[0]
    assert state_of(tmp_path)["epoch"] == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["log.csv", "state"]


def test_a_disk_that_is_full_from_the_start_is_told_before_the_first_step(tmp_path, full):
    full(1)
    with pytest.raises(StoreError, match="could not be written"):
        fit(stopping_at(1, lambda: pytest.fail("a step was made")), rows(), checkpoint=tmp_path)
    assert not (tmp_path / "state").exists()


def test_what_was_kept_after_a_full_disk_goes_on_to_the_same_numbers(tmp_path, full, monkeypatch):
    unbroken = fit(Line(), rows(), epochs=3)
    full(6)
    with pytest.raises(Stop):
        fit(stopping_at(11, lambda: (_ for _ in ()).throw(Stop())), rows(), epochs=3, checkpoint=tmp_path)
    monkeypatch.undo()
    assert_same(weights(fit(Line(), rows(), epochs=3, checkpoint=tmp_path)), weights(unbroken))


def test_a_number_that_is_none_leaves_the_last_good_state(tmp_path):
    class Breaking(Line):
        steps = 0

        def loss(self, batch):
            self.steps += 1
            loss = super().loss(batch)
            return replace(loss, sum=loss.sum * torch.nan) if self.steps == 6 else loss

    with pytest.raises(TrainingError, match="epoch 2, step 6"):
        fit(Breaking(), rows(), epochs=3, checkpoint=Checkpoint(tmp_path, every=0))
    assert state_of(tmp_path)["step"] == 5
    kept = load_file(tmp_path / "state" / "weights.safetensors")
    assert all(tensor.isfinite().all() for tensor in kept.values())
