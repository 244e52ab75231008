"""`tune`: the best settings of one model or several, by the validation part, each with as many trials."""

import inspect
import logging
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text
from torch import nn

from penchant.data.split import Part, Queries, Split
from penchant.errors import ArgumentError, TrainingError, nearest
from penchant.protocols import Solvable
from penchant.train.checkpoint import describe
from penchant.train.fit import fit, planned, preferences
from penchant.train.resume import rows
from penchant.train.space import Choice, Space, Uniform, Whole
from penchant.train.stopping import Valid, Validation, goodness, test_rows
from penchant.train.study import Asked, Study, Trial, storage
from penchant.train.tuned import Searched, Tuned, is_json

Make = Callable[..., nn.Module]
TUNED_FIT = ("learning_rate", "weight_decay", "epochs", "batch_size", "patience", "clip")
_GIVEN_FIT = (*TUNED_FIT, "metric", "seed", "weigher", "callbacks", "device", "precision")
_NAME = re.compile(r"\w[\w .-]*")
_log = logging.getLogger("penchant.tune")


class Search(NamedTuple):
    """A model to be tuned.

    Attributes:
        make: its class; or a function of `features` and keyword arguments, as `partial(SASRec, depth=1)` is.
        space: arguments of it, and of `fit`, with where to look: `Choice`, `Uniform` or `Whole`.
        fit: arguments of `fit` for this model, besides those of all.
    """

    make: Make
    space: Space
    fit: Mapping[str, Any] = {}


def tune(
    models: Make | Mapping[str, Search | tuple[Make, Space]],
    split: Split,
    space: Space | None = None,
    *,
    trials: int,
    metric: str | None = None,
    seed: int = 0,
    study: str | Path | None = None,
    valid: Part | Queries | Valid | None = None,
    progress: bool = True,
    **fit: Any,
) -> Tuned:
    """Looks for the settings with the best validation metric, with as many trials for every model.

    The first trial of a model is its own settings, so what is found is at least as good as them, on the
    queries that it is chosen by; the others are drawn by Optuna's TPE sampler. Nothing but the training and
    validation parts of the split is asked. Same arguments, same trials, however often the search was killed
    in between. Settings that were tried before are not tried again: the trial has the same answer.

    Args:
        models: a model class with its `space`; or several by name, each a `Search` or a pair of class and
            space.
        split: what to learn from and to choose by.
        space: of a single model: arguments of its constructor and of `fit` with where to look, such as
            `{"width": Choice(32, 64), "learning_rate": Uniform(1e-4, 1e-2, log=True)}`.
        trials: of each model. One that fails (a loss that is no number, no memory left, settings that the
            model refuses) counts; it is recorded, and the search goes on.
        metric: what to choose by; None: each model's own.
        seed: of the draws, of the models and of their training.
        study: a folder to keep the search in: a killed one goes on there, in the middle of a training too,
            and a finished one goes on with a larger number of trials.
        valid: as `fit` takes it, without test rows; None: the valid part of `split`.
        progress: whether to draw a bar (on a terminal), else to print a line a trial.
        fit: further arguments of `fit`, the same in all trials: epochs, device, ...; one that `space` has
            too is where the search begins.

    Raises:
        ArgumentError: an argument that there is not, or cannot be used.
        StoreError: the study belongs to another search (the error says in what), or another process is at it.
        MissingExtraError: without the extra "tune".
    """
    _check(split, trials, fit, valid)
    searches = _searches(models, space)
    # a search for several models checks all of them before the first one learns
    jobs = [
        _Job(name, search, split, dict(fit), valid=valid, metric=metric, seed=seed)
        for name, search in searches.items()
    ]
    folder = None if study is None else Path(study)
    with storage(folder) as kept, _Screen(jobs, trials, progress=progress) as screen:
        studies = {
            job.name: Study(
                job.name, job.space, job.defaults, seed=seed, kept=kept, facts=job.facts(rows(split))
            )
            for job in jobs
        }
        for job in jobs:
            job.metric = job.wanted or studies[job.name].metric or job.metric
        for number in range(1, trials + 1):  # in turns: at any time all have had as many
            for job in jobs:
                done = studies[job.name].done
                if len(done) < number:
                    _try(job, studies[job.name], done, folder, screen)
                else:
                    screen.tell(job, done[number - 1], done[: number - 1], again=True)
        found = {job.name: tuple(studies[job.name].done[:trials]) for job in jobs}
    return Tuned({job.name: job.searched(found[job.name]) for job in jobs}, split.name)


def _check(split: Split, trials: Any, fit: Mapping[str, Any], valid: Part | Queries | Valid | None) -> None:
    if not isinstance(split, Split):
        raise ArgumentError("split", split, expected="a Split, whose valid part the settings are chosen by")
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
        raise ArgumentError("trials", trials, expected="an integer of at least 1")
    asked = valid() if isinstance(valid, Part) else valid
    if isinstance(asked, Queries) and len(test_rows(asked)):
        raise ArgumentError(
            "valid", valid, expected="no test rows: what is chosen by them cannot be reported on them",
            fix="pass split.valid, or queries of it",
        )  # fmt: skip
    for name, value in fit.items():
        if name not in _GIVEN_FIT:
            raise ArgumentError(name, value, expected=f"an argument of fit ({nearest(name, _GIVEN_FIT)})")


def _searches(models: Any, space: Any) -> dict[str, Search]:
    """What to search, by name."""
    if not isinstance(models, Mapping):
        if not callable(models) or isinstance(models, nn.Module):
            expected = "a model class with its space=, or a mapping of names to (class, space)"
            raise ArgumentError("models", models, expected=expected)
        if not isinstance(space, Mapping):
            raise ArgumentError("space", space, expected="a mapping of arguments to Choice, Uniform or Whole")
        make: Any = models
        plain = make.func if isinstance(make, partial) else make
        return {getattr(plain, "__name__", type(plain).__name__): Search(make, space)}
    if space is not None:
        raise ArgumentError("space", space, expected="None where several models each have their own")
    if not models:
        raise ArgumentError("models", models, expected="at least one model")
    found: dict[str, Search] = {}
    for name, entry in models.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ArgumentError("models", name, expected="names of letters, digits, '_', '.', '-' and spaces")
        if not isinstance(entry, tuple) or len(entry) not in (2, 3) or not isinstance(entry[1], Mapping):
            raise ArgumentError(f"models[{name!r}]", entry, expected="a Search, or a pair (class, space)")
        found[name] = Search(*entry)
    return found


class _Job:
    """A model to be tuned and all that is the same in its trials; built and checked before the first."""

    def __init__(
        self, name: str, search: Search, split: Split, given: dict[str, Any], *,
        valid: Part | Queries | Valid | None, metric: str | None, seed: int,
    ) -> None:  # fmt: skip
        self.name, self.make, self.space, self.split = name, search.make, dict(search.space), split
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        known = {n: p for n, p in inspect.signature(search.make).parameters.items() if p.kind in kinds}
        own = [n for n in known if n not in ("features", "seed")]
        self.takes_features = "features" in known
        bound = isinstance(search.make, partial) and "seed" in search.make.keywords
        self.model: dict[str, Any] = {"seed": seed} if "seed" in known and not bound else {}
        self.fit: dict[str, Any] = {"seed": seed} | given | dict(search.fit)
        for key in search.fit:
            if key not in _GIVEN_FIT:
                expected = f"an argument of fit ({nearest(key, _GIVEN_FIT)})"
                raise ArgumentError(f"models[{name!r}].fit", key, expected=expected)
        self.valid = valid
        self.constructor = tuple(n for n in self.space if n in own)
        model = self.build({})
        self.solved = isinstance(model, Solvable)
        self.described = self._described(model)
        preferred = preferences(model)
        self.wanted: str | None = self.fit.pop("metric", None) or metric
        self.metric: str = self.wanted or preferred["metric"]  # else the only one that `valid` gives
        tunable = [*own, *(() if self.solved else TUNED_FIT)]
        for key, dimension in self.space.items():
            self._check(key, dimension, tunable)
        if not self.solved:
            planned(preferred, {n: v for n, v in self.fit.items() if n in (*TUNED_FIT, "precision")})
        self.defaults = {
            n: known[n].default if n in self.constructor else self.fit.get(n, preferred.get(n))
            for n in self.space
        }

    def _check(self, key: str, dimension: Any, tunable: Sequence[str]) -> None:
        if key not in tunable:
            what = "solved, not trained: no argument of fit matters" if self.solved else "trained"
            expected = f"arguments of {self.name} or of fit ({nearest(key, tunable)}); it is {what}"
            raise ArgumentError("space", key, expected=expected)
        if not isinstance(dimension, Choice | Uniform | Whole):
            raise ArgumentError(f"space[{key!r}]", dimension, expected="a Choice, Uniform or Whole")

    def build(self, settings: Mapping[str, Any]) -> nn.Module:
        """The model with those settings that are its own."""
        given = dict(self.model) | {n: v for n, v in settings.items() if n in self.constructor}
        if self.takes_features:
            given["features"] = self.split.log.features
        model = self.make(**given)
        if not isinstance(model, nn.Module):
            raise ArgumentError(f"models[{self.name!r}]", model, expected="a function that makes a model")
        return model

    def _described(self, model: nn.Module) -> Any:
        try:
            return describe(model)
        except ArgumentError:  # it does not keep its arguments
            return f"{type(model).__module__}.{type(model).__qualname__}"

    def facts(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """What all calls that go on with the same study have in common."""
        asked = self.valid
        said: Any = None if asked is None else _name(asked)
        if isinstance(asked, Queries):
            said = {"queries": len(asked), "sum": int(asked.row.sum()), **rows(asked.split)}
        elif isinstance(asked, Part):
            said = {"part": asked.name, **rows(asked.split)}
        fixed = {n: v if is_json(v) else _name(v) for n, v in self.fit.items() if n != "device"}
        return {
            "model": self.described, "fit": fixed, "metric": self.metric,
            "space": {n: {"kind": type(d).__name__, **d.as_dict()} for n, d in self.space.items()},
            "data": dict(data), "valid": said,
        }  # fmt: skip

    def value(self, settings: Mapping[str, Any], checkpoint: Path | None) -> float:
        """Trains with these settings; the metric at the best epoch."""
        model = self.build(settings)
        if self.solved:
            fit(model, self.split, progress=False)
            part = self.split.valid if self.valid is None else self.valid
            ask = Validation(part, metric=self.wanted, default=self.metric)
            found = [ask(model)]
            self.metric = ask.metric
        else:
            given = self.fit | {n: v for n, v in settings.items() if n not in self.constructor}
            given |= {"valid": self.valid, "metric": self.wanted, "checkpoint": checkpoint}
            log: Any = fit(model, self.split, progress=False, **given).training_log
            found = [row["metrics"] for row in log]
            self.metric = self.metric if self.metric in found[0] else next(iter(found[0]))
        return max((metrics[self.metric] for metrics in found), key=self.good)

    def good(self, value: float) -> float:
        """The metric as a number of which more is better."""
        return goodness(self.metric, value)

    def searched(self, trials: tuple[Trial, ...]) -> Searched:
        """The trials with what led to them."""
        return Searched(
            self.name, self.metric, self.space, trials, self.model, self.fit,
            self.constructor,
        )  # fmt: skip


def _try(job: _Job, study: Study, done: Sequence[Trial], folder: Path | None, screen: "_Screen") -> None:
    """One trial more."""
    asked = study.ask()
    screen.begin(job, asked)
    if (before := next((t for t in done if t.settings == asked.shown), None)) is not None:
        good = float("nan") if before.value is None else job.good(before.value)
        trial = study.tell(asked, value=before.value, good=good, seconds=0.0, error=before.error)
        screen.tell(job, trial, done)
        return
    kept = None if folder is None else folder / "checkpoints" / f"{job.name}-{asked.number:04}"
    began = time.perf_counter()
    value, error = None, None
    try:
        value = job.value(asked.settings, kept)
    except (TrainingError, torch.OutOfMemoryError) as failure:
        error = str(failure) or type(failure).__name__
    except ArgumentError as refused:
        if asked.number == 1 or refused.name not in job.space:
            raise  # wrong whatever is drawn
        error = str(refused)
    good = float("nan") if value is None else job.good(value)
    study.metric = job.metric
    trial = study.tell(asked, value=value, good=good, seconds=time.perf_counter() - began, error=error)
    if kept is not None:
        shutil.rmtree(kept, ignore_errors=True)
    screen.tell(job, trial, done)


def _name(thing: object) -> str:
    """What a function or the class of a thing is called."""
    return str(getattr(thing, "__qualname__", type(thing).__qualname__))


class _Screen:
    """A bar on terminals, and a line a trial that stays: printed, or in the log "penchant.tune"."""

    def __init__(self, jobs: Sequence[_Job], trials: int, *, progress: bool) -> None:
        console = Console(stderr=True)
        self._console, self._trials = console, trials
        self._draws = progress and console.is_terminal
        self._prints = self._draws or (progress and not _log.hasHandlers())
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("{task.fields[now]}"), console=console, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("trials", total=trials * len(jobs), now="")

    def __enter__(self) -> "_Screen":
        if self._draws:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._draws:
            self._bar.stop()

    def begin(self, job: _Job, asked: Asked) -> None:
        """A trial begins."""
        self._bar.update(self._task, now=f"{job.name}: {listed(asked.shown)}")

    def tell(self, job: _Job, trial: Trial, before: Sequence[Trial], *, again: bool = False) -> None:
        """A trial is done, now or (`again`) in an earlier call."""
        self._bar.advance(self._task)
        if again:
            return
        metric = job.metric
        where = f"{job.name}, trial {trial.number}/{self._trials}"
        if trial.value is None:
            self._say(f"{where}: failed ({(trial.error or '').splitlines()[0]}); {listed(trial.settings)}")
            return
        good = [goodness(metric, t.value) for t in before if t.value is not None]
        best = " (best)" if goodness(metric, trial.value) > max(good, default=float("-inf")) else ""
        own = "its own settings: " if trial.number == 1 else ""
        self._say(
            f"{where}: {metric} {trial.value:.4f}{best}; {own}{listed(trial.settings)}, {trial.seconds:.1f} s"
        )

    def _say(self, line: str) -> None:
        if self._prints:
            self._console.print(Text(line), soft_wrap=True)
        else:
            _log.info(line)


def listed(settings: Mapping[str, Any]) -> str:
    """Settings for people: "width 64, learning_rate 0.0032".

    >>> listed({"width": 64, "learning_rate": 0.00316227766})
    'width 64, learning_rate 0.003162'
    """
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in settings.items()
    )
