"""The trials of one model: Optuna draws them and keeps them, so that a killed search goes on as if unbroken.

study/
├── journal.jsonl     Optuna's journal: a line a change, appended
├── lock              held by the process that searches here
└── checkpoints/      the runs of trials that have not come to their end
"""

import json
import math
import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from penchant.data.loader import keyed_generator
from penchant.errors import MissingExtraError, StoreError
from penchant.train.resume import differences
from penchant.train.space import Space, as_json

if sys.platform != "win32":
    import fcntl

_JOURNAL = "journal.jsonl"
_LEFT = "abandoned"  # a trial whose process was killed: another one takes its place


@dataclass(frozen=True)
class Trial:
    """What came of some settings.

    Attributes:
        number: from 1, which is the model's own defaults.
        settings: by argument, as JSON values.
        value: the metric at the best epoch; None where it failed.
        seconds: what it took; 0 where the same settings had been tried before.
        state: "complete" or "failed".
        error: why it failed.
    """

    number: int
    settings: Mapping[str, Any]
    value: float | None
    seconds: float
    state: Literal["complete", "failed"]
    error: str | None = None


def need_optuna() -> Any:
    """The package; MissingExtraError without the extra "tune"."""
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("optuna", "tune") from error
    return optuna


@contextmanager
def storage(folder: Path | None) -> Generator[Any]:
    """Where Optuna keeps trials: in a folder, for this process alone, or in memory.

    Raises: StoreError if another process searches there, or if what is there is no journal.
    """
    optuna = need_optuna()
    loud = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # what it says of each trial, we say
    try:
        if folder is None:
            yield optuna.storages.InMemoryStorage()
            return
        if folder.exists() and not folder.is_dir():
            raise StoreError(f"{folder}: a file, where a folder was expected.\n  Fix: name a folder.")
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            yield _journal(optuna, folder / _JOURNAL)
    finally:
        optuna.logging.set_verbosity(loud)


def _journal(optuna: Any, file: Path) -> Any:
    journal = optuna.storages.journal
    file.with_name(f"{file.name}.lock").unlink(missing_ok=True)  # left by a killed process: we are alone
    if file.is_file() and (text := file.read_bytes()) and not text.endswith(b"\n"):
        with file.open("r+b") as torn:  # killed in the middle of a line
            torn.truncate(text.rfind(b"\n") + 1)
    try:
        return journal.JournalStorage(journal.JournalFileBackend(str(file)))
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{file}: not the journal of a study ({error!r}).\n  Fix: choose another folder."
        ) from error


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Keeps other processes out: they would take a trial under way for one that was killed."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    try:
        if sys.platform != "win32":
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(
                    f"{folder}: another process searches here.\n"
                    "  Fix: wait for its end, or name another folder."
                ) from None
        yield
    finally:
        os.close(descriptor)


class Study:
    """The trials of one model.

    The draws of a trial depend on the seed, the model's name and the trials before it, on nothing else: so a
    search that was killed and goes on, or goes on to a larger number, tries what an unbroken one would.

    Args:
        name: of the model.
        space: where to look.
        defaults: the model's own values of the same arguments.
        seed: of the draws.
        kept: a storage.
        facts: JSON values that all calls of this study must have in common.

    Raises: StoreError if the storage holds a study of this name with other facts; it names each difference.
    """

    def __init__(
        self, name: str, space: Space, defaults: Mapping[str, Any], *, seed: int, kept: Any,
        facts: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self.name, self.space, self.defaults, self.seed = name, space, defaults, seed
        self._optuna = need_optuna()
        self._study = self._optuna.create_study(
            storage=kept, study_name=name, direction="maximize", load_if_exists=True
        )
        now = json.loads(json.dumps(facts))
        then = self._study.user_attrs.get("facts")
        if then is None:
            self._study.set_user_attr("facts", now)
        elif listed := "\n".join(f"  {line}" for line in differences(then, now)):
            raise StoreError(
                f"the study of {name!r} was started with other settings:\n{listed}\n"
                "  Fix: use the same settings, or another folder."
            )
        for trial in self._study.get_trials(deepcopy=False, states=(self._state.RUNNING,)):
            kept.set_trial_user_attr(trial._trial_id, _LEFT, True)
            self._study.tell(trial.number, state=self._state.FAIL)

    @property
    def _state(self) -> Any:
        return self._optuna.trial.TrialState

    @property
    def metric(self) -> str | None:
        """What the values are of, once there is one."""
        return self._study.user_attrs.get("metric")

    @metric.setter
    def metric(self, name: str) -> None:
        if self.metric != name:
            self._study.set_user_attr("metric", name)

    @property
    def done(self) -> list[Trial]:
        """All trials that have come to their end, in order."""
        states = (self._state.COMPLETE, self._state.FAIL)
        found = [
            trial.user_attrs
            for trial in self._study.get_trials(deepcopy=False, states=states)
            if _LEFT not in trial.user_attrs
        ]
        return [
            Trial(
                number, told["settings"], told.get("value"), told["seconds"],
                "failed" if told.get("error") else "complete", told.get("error"),
            )
            for number, told in enumerate(found, 1)
        ]  # fmt: skip

    def ask(self) -> "Asked":
        """The settings of the next trial: first the model's own, then what Optuna's TPE sampler draws."""
        count = len(self.done)
        draws = keyed_generator(self.seed, f"tune/{self.name}", 0, count).initial_seed() % 2**32
        self._study.sampler = self._optuna.samplers.TPESampler(
            seed=draws, multivariate=False, constant_liar=False
        )
        fixed = {n: d.stored(self.defaults[n]) for n, d in self.space.items() if d.holds(self.defaults[n])}
        if count == 0 and not self._study.get_trials(deepcopy=False, states=(self._state.WAITING,)):
            self._study.enqueue_trial(fixed)
        trial = self._study.ask()
        drawn = {
            name: dimension.draw(trial, name)
            for name, dimension in self.space.items()
            if count or name in fixed
        }
        settings = {name: drawn.get(name, self.defaults[name]) for name in self.space}
        return Asked(count + 1, settings if count else {}, _shown(settings), trial)

    def tell(
        self, asked: "Asked", *, value: float | None, good: float, seconds: float, error: str | None
    ) -> Trial:
        """Keeps what came of a trial; `good` is the metric as a number of which more is better."""
        failed = value is None or not math.isfinite(good)
        error = error or (f"the metric is {value}" if failed else None)
        value = None if failed else value
        seconds = round(seconds, 3)
        for key, told in {
            "settings": asked.shown, "value": value, "seconds": seconds, "error": error
        }.items():  # fmt: skip
            asked.trial.set_user_attr(key, told)
        if failed:
            self._study.tell(asked.trial, state=self._state.FAIL)
        else:
            self._study.tell(asked.trial, good)
        return Trial(asked.number, asked.shown, value, seconds, "failed" if failed else "complete", error)


@dataclass(frozen=True)
class Asked:
    """A trial to be made.

    Attributes:
        number: from 1.
        settings: what to set; nothing where the model's own values are tried.
        shown: the same as JSON values, the model's own among them.
        trial: Optuna's.
    """

    number: int
    settings: Mapping[str, Any]
    shown: Mapping[str, Any]
    trial: Any


def _shown(settings: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        try:
            found[name] = json.loads(json.dumps(as_json(value)))
        except (TypeError, ValueError):
            found[name] = repr(value)
    return found
