"""`tune`: equal budgets, validation only, and a killed search that ends where an unbroken one ends."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl
import pytest
import torch
from torch import nn

from logs import random_log
from penchant.data import split_leave_last
from penchant.data.split import Split
from penchant.errors import ArgumentError, MissingExtraError, StoreError, TrainingError
from penchant.retrieve import EASE, Popularity, SASRec
from penchant.train import Checkpoint, Choice, Search, Uniform, Whole, fit, tune
from penchant.train.stopping import Validation
from train.tiny import Tiny, hits, planted

optuna = pytest.importorskip("optuna")
module = sys.modules["penchant.train.tune"]

TESTS = Path(__file__).parents[1]
L2 = {"l2": Uniform(0.1, 1_000, log=True)}
TINY = {"width": Choice(4, 8), "learning_rate": Uniform(1e-3, 0.1, log=True)}
QUICK = {"valid": hits, "epochs": 1, "progress": False}


@pytest.fixture(scope="module")
def split():
    return split_leave_last(random_log(40, 30, taste=0.8))


@pytest.fixture(scope="module")
def small():
    return planted(20)


def settings_of(tuned):
    return tuned.trials.drop("seconds").to_dicts()


# -- what is found ------------------------------------------------------------------------------------------


def test_the_first_trial_is_the_model_s_own_and_the_best_is_no_worse(split):
    tuned = tune(EASE, split, L2, trials=12, progress=False)
    trials = tuned.trials
    own = fit(EASE(split.log.features), split)
    value = Validation(split.valid, metric="ndcg@10", default="")(own)["ndcg@10"]
    assert (trials["l2"][0], trials["value"][0]) == (500.0, value)
    best = tuned.best()
    assert best.value == trials["value"].max() >= value == best.default
    assert len(trials) == 12
    assert trials["l2"].n_unique() == 12
    assert trials["l2"].is_between(0.1, 1_000).all()


def test_the_best_settings_give_the_best_value_again(small):
    tuned = tune(Tiny, small, TINY, trials=4, seed=3, valid=hits, epochs=2, progress=False)
    best = tuned.best("Tiny")
    assert (best.metric, best.fit["epochs"], best.fit["seed"], best.model["seed"]) == ("hit", 2, 3, 3)
    again = fit(Tiny(small.log.features, **best.model), small, valid=hits, progress=False, **best.fit)
    assert max(row["metrics"]["hit"] for row in again.training_log) == best.value


def test_every_model_has_as_many_trials_and_its_own_arguments(split):
    several = {
        "ridge": (EASE, L2),
        "recent": Search(Popularity, {"half_life_days": Whole(1, 64, log=True)}),
        "short": Search(partial(SASRec, width=8, depth=1), {"history": Choice(5, 10)}, {"epochs": 1}),
    }
    tuned = tune(several, split, trials=3, progress=False, batch_size=64)
    assert tuned.trials.group_by("model", maintain_order=True).len().rows() == [
        ("ridge", 3), ("recent", 3), ("short", 3),
    ]  # fmt: skip
    first = tuned.trials.filter(number=1)
    assert first["l2"].to_list() == [500, None, None]
    assert first["half_life_days"].to_list() == [None, None, None]  # by default nothing decays: out of range
    assert first["history"].to_list() == [None, None, 50]  # likewise
    rest = tuned.trials.filter(model="recent").slice(1)
    assert all(value == int(value) and 1 <= value <= 64 for value in rest["half_life_days"])
    assert tuned.best("short").fit["batch_size"] == 64
    with pytest.raises(ArgumentError, match="did you mean 'ridge'"):
        tuned.best("rigde")
    assert json.loads(json.dumps(tuned.as_dict(), allow_nan=False))["models"]["ridge"]["best"]["default"]


def test_what_is_given_to_fit_and_looked_for_is_where_it_begins(small):
    tuned = tune(Tiny, small, TINY, trials=3, learning_rate=0.02, **QUICK)
    assert tuned.trials["learning_rate"][0] == 0.02
    assert tuned.trials["learning_rate"].n_unique() == 3
    again = fit(Tiny(small.log.features), small, learning_rate=0.02, **QUICK)
    assert tuned.trials["value"][0] == again.training_log[0]["metrics"]["hit"]


def test_lower_is_better_where_the_metric_is_an_error(small):
    def loss(model):
        return {"loss": 1 - model.hit()}

    tuned = tune(Tiny, small, TINY, trials=4, metric="loss", valid=loss, epochs=1, progress=False)
    assert tuned.best().value == tuned.trials["value"].min() < tuned.trials["value"].max()


def test_of_equals_the_first_is_best(split):
    tuned = tune(Tiny, split, TINY, trials=3, valid=lambda _: {"hit": 0.5}, epochs=1, progress=False)
    assert tuned.best().trial == 1
    assert tuned.best().model == {"seed": 0}  # the model's own need no saying


def test_settings_that_come_again_are_not_tried_again(split, monkeypatch):
    asked = []
    real = module.fit
    monkeypatch.setattr(module, "fit", lambda *a, **k: asked.append(k) or real(*a, **k))
    tuned = tune(EASE, split, {"l2": Choice(500.0, 5.0)}, trials=8, progress=False)
    assert len(asked) == 2
    assert len(tuned.trials) == 8
    assert tuned.trials.group_by("l2").agg(n=pl.col("value").n_unique())["n"].to_list() == [1, 1]
    assert tuned.trials.filter(seconds=0).height >= 6


def test_options_may_be_lists(split):
    class Sized(EASE):
        def __init__(self, features, *, sizes=(80, 40)):
            assert len(sizes) < 3
            super().__init__(features, l2=float(sum(sizes)))
            self.sizes = sizes

    tuned = tune(Sized, split, {"sizes": Choice([80, 40], [20])}, trials=4, progress=False)
    assert tuned.trials["sizes"].to_list()[0] == "[80, 40]"
    assert set(tuned.trials["sizes"]) == {"[80, 40]", "[20]"}


# -- what is asked ------------------------------------------------------------------------------------------


class Sealed(Split):
    """A split whose test part must not be opened."""

    @property
    def test(self):
        raise AssertionError("the test part was asked for")


def test_the_test_part_is_never_asked_for(split):
    sealed = Sealed(split.log, split.part, split.clock, split.name, split.cuts, split.ties)
    with pytest.raises(AssertionError):
        sealed.test  # noqa: B018
    several = {"EASE": (EASE, L2), "SASRec": (partial(SASRec, width=4), {"history": Choice(5, 50)})}
    open_ones = tune(several, split, trials=2, epochs=1, progress=False)
    assert settings_of(tune(several, sealed, trials=2, epochs=1, progress=False)) == settings_of(open_ones)


@pytest.mark.parametrize("asked", ["part", "queries", "cut"])
def test_nothing_is_chosen_by_test_rows(split, asked):
    valid = {"part": split.test, "queries": split.test(), "cut": split.test(at="cut")}[asked]
    with pytest.raises(ArgumentError, match=r"(?s)valid=.*no test rows.*Fix: pass split.valid"):
        tune(partial(SASRec, width=4), split, {"history": Choice(5, 50)}, trials=1, valid=valid)


def test_what_happens_in_test_rows_changes_no_trial(split):
    tested = split.part == 3
    item = split.log.item.clone()
    item[tested] = item[tested][torch.randperm(int(tested.sum()))]
    assert not torch.equal(item, split.log.item)
    other = split_leave_last(replace(split.log, item=item))
    assert torch.equal(other.part, split.part)
    several = {"EASE": (EASE, L2), "SASRec": (partial(SASRec, width=4), {"history": Choice(5, 50)})}
    one, two = (tune(several, s, trials=3, epochs=1, progress=False) for s in (split, other))
    assert settings_of(one) == settings_of(two)


# -- going on -----------------------------------------------------------------------------------------------


def test_same_arguments_same_trials_and_another_seed_others(small):
    one, two, three = (tune(Tiny, small, TINY, trials=4, seed=s, **QUICK) for s in (0, 0, 1))
    assert settings_of(one) == settings_of(two)
    assert one.trials["learning_rate"][1] != three.trials["learning_rate"][1]


def test_a_study_goes_on_to_a_larger_number_and_tries_what_one_call_would(split, tmp_path):
    """Beyond the ten random trials that TPE begins with, so that draws depend on what came before."""
    whole = tune(EASE, split, L2, trials=16, progress=False)
    for trials in (1, 5, 12, 16):
        parts = tune(EASE, split, L2, trials=trials, study=tmp_path, progress=False)
        assert len(parts.trials) == trials
    assert settings_of(parts) == settings_of(whole)
    fewer = tune(EASE, split, L2, trials=5, study=tmp_path, progress=False)
    assert settings_of(fewer) == settings_of(whole)[:5]


class Killed(BaseException):
    """What ends a process without a word."""


@pytest.mark.parametrize("trial", [1, 2, 5])
def test_a_trial_that_was_killed_is_done_again(small, tmp_path, monkeypatch, trial):
    whole = tune(Tiny, small, TINY, trials=6, **QUICK)
    real, asked = module.fit, []

    def dying(*args, **more):
        asked.append(1)
        if len(asked) == trial:
            raise Killed
        return real(*args, **more)

    monkeypatch.setattr(module, "fit", dying)
    with pytest.raises(Killed):
        tune(Tiny, small, TINY, trials=6, study=tmp_path, **QUICK)
    monkeypatch.setattr(module, "fit", real)
    assert settings_of(tune(Tiny, small, TINY, trials=6, study=tmp_path, **QUICK)) == settings_of(whole)


def test_a_half_trained_trial_goes_on_from_its_checkpoint(small, tmp_path, monkeypatch):
    """Killed in the second epoch of the second trial: the next call does not learn its first epoch again."""
    real, epochs = module.fit, []

    def going(model, split, *, checkpoint, stop, **more):
        def count(_model, epoch, _metrics):
            epochs.append(epoch)
            if stop and epoch == 2 and "0002" in str(checkpoint):
                raise Killed

        kept = Checkpoint(checkpoint, every=0)
        return real(model, split, checkpoint=kept, callbacks=[count], **more)

    more = {"valid": hits, "epochs": 3, "patience": 3, "progress": False, "study": tmp_path}
    monkeypatch.setattr(module, "fit", partial(going, stop=True))
    with pytest.raises(Killed):
        tune(Tiny, small, TINY, trials=3, **more)
    assert epochs == [1, 2, 3, 1, 2]
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["Tiny-0002"]
    monkeypatch.setattr(module, "fit", partial(going, stop=False))
    tuned = tune(Tiny, small, TINY, trials=3, **more)
    assert epochs[5:] == [2, 3, 1, 2, 3]  # the epoch under way again, not the first
    monkeypatch.setattr(module, "fit", real)
    assert settings_of(tuned) == settings_of(tune(Tiny, small, TINY, trials=3, **more | {"study": None}))
    assert not list((tmp_path / "checkpoints").iterdir())


KILLED = """
import sys
from train.test_tune import *
torch.set_num_threads(2)  # as here: sums depend on it
split = split_leave_last(random_log(40, 30, taste=0.8))
several = {"EASE": (EASE, L2), "Tiny": (Tiny, TINY)}
def slow(model):
    time.sleep(0.1)
    return known(model)
slow.__qualname__ = "known"
tune(several, split, trials=8, study=sys.argv[1], **QUICK | {"valid": slow})
"""


def known(model):
    """A validation for both."""
    return hits(model) if isinstance(model, Tiny) else {"hit": float(model.weight.abs().mean())}


def test_killed_for_real_it_ends_as_unbroken(split, tmp_path):
    several = {"EASE": (EASE, L2), "Tiny": (Tiny, TINY)}
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    journal = tmp_path / "journal.jsonl"
    with subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], env=env) as child:
        while child.poll() is None and not (journal.is_file() and journal.read_bytes().count(b"\n") > 50):
            time.sleep(0.002)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL, "it was over before it was killed"
    with journal.open("ab") as torn:
        torn.write(b'{"op_code":')  # as one that was killed in the middle of a line leaves it
    (lock := tmp_path / "journal.jsonl.lock").unlink(missing_ok=True)
    lock.symlink_to(journal)  # as one that was killed while it wrote leaves it
    resumed = tune(several, split, trials=8, study=tmp_path, **QUICK | {"valid": known})
    assert settings_of(resumed) == settings_of(tune(several, split, trials=8, **QUICK | {"valid": known}))


def test_a_study_of_other_settings_is_refused_by_name(split, tmp_path):
    tune(EASE, split, L2, trials=1, study=tmp_path, progress=False)
    for change, told in {
        "space.l2.high": {"space": {"l2": Uniform(0.1, 500, log=True)}},
        "fit.seed": {"seed": 1},
        "metric": {"metric": "recall@10"},
    }.items():
        with pytest.raises(StoreError, match=f"{change}: .* then, .* now"):
            tune(EASE, split, **{"space": L2, **told}, trials=1, study=tmp_path, progress=False)
    other = split_leave_last(random_log(41, 30, taste=0.8))
    with pytest.raises(StoreError, match=r"data\.digest"):
        tune(EASE, other, L2, trials=1, study=tmp_path, progress=False)


def test_two_processes_do_not_search_in_one_folder(split, tmp_path):
    from penchant.train.study import storage

    with storage(tmp_path), pytest.raises(StoreError, match="another process searches here"):
        tune(EASE, split, L2, trials=1, study=tmp_path, progress=False)


def test_what_is_no_journal_is_told(split, tmp_path):
    (tmp_path / "journal.jsonl").write_text("notes\nof mine\n")
    with pytest.raises(StoreError, match="not the journal of a study"):
        tune(EASE, split, L2, trials=1, study=tmp_path, progress=False)
    with pytest.raises(StoreError, match="a file, where a folder was expected"):
        tune(EASE, split, L2, trials=1, study=tmp_path / "journal.jsonl", progress=False)


# -- what fails ---------------------------------------------------------------------------------------------


class Fragile(EASE):
    """Refuses some settings, and breaks with others."""

    def __init__(self, features, *, l2=500.0, parts=1):
        if parts == 3:
            raise ArgumentError("parts", parts, expected="a divisor of 4")
        super().__init__(features, l2=l2)
        self.parts = parts

    def solve(self, split):
        if self.parts == 2:
            raise TrainingError("the loss is nan")
        super().solve(split)


def test_trials_that_fail_count_and_are_told(split, caplog):
    caplog.set_level("INFO", "penchant.tune")
    space = {"parts": Choice(1, 2, 3), "l2": Uniform(1, 900)}
    tuned = tune(Fragile, split, space, trials=12, progress=False)
    failed = tuned.trials.filter(state="failed")
    assert len(tuned.trials) == 12
    assert set(failed["parts"]) == {2, 3}
    assert failed["value"].is_null().all()
    assert {error.split("\n")[0] for error in failed["error"]} == {
        "the loss is nan", "parts=3: expected a divisor of 4.",
    }  # fmt: skip
    assert (tuned.trials.filter(state="complete")["parts"] == 1).all()
    assert tuned.best().model.get("parts", 1) == 1
    assert sum("failed (the loss is nan)" in record.message for record in caplog.records) > 0


def test_where_all_fail_there_is_no_best(split):
    tuned = tune(partial(Fragile, parts=2), split, L2, trials=2, progress=False)
    with pytest.raises(TrainingError, match="all 2 trials failed; the first: the loss is nan"):
        tuned.best()
    assert tuned.as_dict()["models"]["Fragile"]["best"] is None


def test_a_metric_that_is_no_number_fails_the_trial(split):
    tuned = tune(EASE, split, L2, trials=2, metric="m", valid=lambda _: {"m": math.nan}, progress=False)
    assert tuned.trials["error"].to_list() == ["the metric is nan"] * 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"trials": 0}, "trials=0: expected an integer of at least 1"),
        ({"trials": True}, "trials=True"),
        ({"split": None}, "split=None: expected a Split"),
        ({"models": {}, "space": None}, "models={}: expected at least one model"),
        ({"models": 3}, "models=3: expected a model class"),
        ({"space": None}, "space=None: expected a mapping"),
        ({"space": {"widht": Choice(1)}}, "space='widht': .*did you mean 'width'"),
        ({"space": {"epohcs": Choice(1)}}, "did you mean 'epochs'"),
        ({"space": {"seed": Whole(1, 3)}}, "space='seed'"),
        ({"space": {"metric": Choice("a")}}, "space='metric'"),
        ({"space": {"width": [1, 2]}}, r"space\['width'\]=\[1, 2\]: expected a Choice, Uniform or Whole"),
        ({"epohcs": 3}, "epohcs=3: expected an argument of fit .did you mean 'epochs'"),
        ({"epochs": 0}, "epochs=0"),
        ({"models": {"a": (Tiny, TINY)}}, "space=.*: expected None"),
        ({"models": {"a/b": (Tiny, TINY)}, "space": None}, "models='a/b'"),
        ({"models": {"a": Tiny}, "space": None}, r"models\['a'\]=.*expected a Search"),
        ({"models": {"a": Search(Tiny, {}, {"epoch": 1})}, "space": None}, r"models\['a'\].fit='epoch'"),
        ({"models": EASE, "space": {"epochs": Choice(1)}}, "solved, not trained"),
        ({"metric": "hti"}, "metric='hti'"),
        ({"models": lambda features: 3, "space": {}}, "expected a function that makes a model"),
    ],
)
def test_arguments_are_refused_before_anything_is_kept(small, change, told):
    given = {"models": Tiny, "split": small, "space": TINY, "trials": 1, **QUICK} | change
    with pytest.raises(ArgumentError, match=told):
        tune(given.pop("models"), given.pop("split"), given.pop("space"), **given)


def test_without_optuna_the_extra_is_named(split, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"penchant\[tune\]"):
        tune(EASE, split, L2, trials=1, progress=False)


def test_progress_is_told_line_by_line(split, capsys, monkeypatch):
    monkeypatch.setattr(module._log, "hasHandlers", lambda: False)  # as in a program that shows no log
    tune(EASE, split, L2, trials=2)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("EASE, trial 1/2: ndcg@10 0.")
    assert "its own settings: l2 500" in lines[0]
    assert len(lines) == 2


class Frozen(nn.Module):
    """A model that is neither trained nor solved."""


def test_what_fit_refuses_is_told(split):
    with pytest.raises(ArgumentError, match="a model with source and loss"):
        tune(lambda features: Frozen(), split, {}, trials=1, progress=False)
