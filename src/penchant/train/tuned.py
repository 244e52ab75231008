"""What a search for settings found: the trials of every model, and the best of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from penchant.errors import ArgumentError, TrainingError, nearest
from penchant.train.space import Space, as_json
from penchant.train.stopping import goodness
from penchant.train.study import Trial


@dataclass(frozen=True)
class Best:
    """The best settings of a model: `fit(SASRec(log.features, **best.model), split, **best.fit)`.

    Attributes:
        model: arguments of its constructor, those that were tuned and its seed.
        fit: arguments of `fit`.
        metric: the validation metric.
        value: what it came to; an optimistic figure, as it is the best of several on the same queries.
        default: what the model's own settings came to; None where they failed.
        trial: which trial it was; the first of equals.
    """

    model: Mapping[str, Any]
    fit: Mapping[str, Any]
    metric: str
    value: float
    default: float | None
    trial: int


@dataclass(frozen=True, eq=False)
class Searched:
    """The trials of one model.

    Attributes:
        name: what it is called.
        metric: the validation metric.
        space: where was looked.
        trials: in order; the first is the model's own settings.
        model, fit: arguments that were the same in all trials.
        constructor: which of the tuned arguments are the constructor's.
    """

    name: str
    metric: str
    space: Space
    trials: tuple[Trial, ...]
    model: Mapping[str, Any] = field(default_factory=dict[str, Any])
    fit: Mapping[str, Any] = field(default_factory=dict[str, Any])
    constructor: tuple[str, ...] = ()

    @property
    def best(self) -> Best | None:
        """The best settings; None where every trial failed."""
        values = [t.value for t in self.trials if t.value is not None]
        if not values:
            return None
        top = max(values, key=lambda value: goodness(self.metric, value))  # the first of equals
        trial = next(t for t in self.trials if t.value == top)
        chosen = trial.settings if trial.number > 1 else {}  # the model's own need not be said
        return Best(
            model=dict(self.model) | {n: v for n, v in chosen.items() if n in self.constructor},
            fit=dict(self.fit) | {n: v for n, v in chosen.items() if n not in self.constructor},
            metric=self.metric, value=top, default=self.trials[0].value, trial=trial.number,
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        best = self.best
        return {
            "metric": self.metric,
            "space": {name: dimension.as_dict() for name, dimension in self.space.items()},
            "fit": {n: v for n, v in self.fit.items() if is_json(v)},
            "best": None if best is None else {
                "trial": best.trial, "value": best.value, "default": best.default,
                "model": dict(best.model), "fit": {n: v for n, v in best.fit.items() if is_json(v)},
            },
            "trials": [
                {"number": t.number, "settings": dict(t.settings), "value": t.value, "seconds": t.seconds,
                 "state": t.state, "error": t.error}
                for t in self.trials
            ],
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Tuned:
    """What `tune` found.

    Attributes:
        models: the trials of every model, by name.
        split: the split, in words.
    """

    models: Mapping[str, Searched]
    split: str

    def best(self, model: str | None = None) -> Best:
        """The best settings of a model; of the only one where no name is given.

        Raises: ArgumentError for a name that was not tuned; TrainingError where every trial failed.
        """
        if model is None and len(self.models) == 1:
            model = next(iter(self.models))
        if model is None or model not in self.models:
            hint = nearest(str(model), list(self.models))
            raise ArgumentError("model", model, expected=f"the name of a tuned model ({hint})")
        searched = self.models[model]
        if searched.best is None:
            raise TrainingError(
                f"{model}: all {len(searched.trials)} trials failed; the first: {searched.trials[0].error}"
            )
        return searched.best

    @property
    def trials(self) -> pl.DataFrame:
        """A row a trial: model, number, every setting, metric, value, seconds, state, error.

        Settings of several types, and lists, stand as JSON text; null where a model has no such setting.
        """
        names = list(dict.fromkeys(name for s in self.models.values() for name in s.space))
        rows = [(model, s, t) for model, s in self.models.items() for t in s.trials]
        columns: dict[str, pl.Series] = {
            "model": pl.Series([model for model, _, _ in rows], dtype=pl.String),
            "number": pl.Series([t.number for _, _, t in rows], dtype=pl.Int64),
        }
        for name in names:
            columns[name] = _column([t.settings.get(name) for _, _, t in rows])
        return pl.DataFrame(
            columns
            | {
                "metric": pl.Series([s.metric for _, s, _ in rows], dtype=pl.String),
                "value": pl.Series([t.value for _, _, t in rows], dtype=pl.Float64),
                "seconds": pl.Series([t.seconds for _, _, t in rows], dtype=pl.Float64),
                "state": pl.Series([t.state for _, _, t in rows], dtype=pl.String),
                "error": pl.Series([t.error for _, _, t in rows], dtype=pl.String),
            }
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON values: what the report draws."""
        return {"split": self.split, "models": {name: s.as_dict() for name, s in self.models.items()}}


def is_json(value: object) -> bool:
    """Whether a value stands in JSON as it is."""
    return value is None or isinstance(value, bool | int | float | str)


def _column(values: Sequence[Any]) -> pl.Series:
    """Values of one type as they are, integers among numbers as numbers, all else as JSON text."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1 and kinds <= {bool, int, float, str}:
        return pl.Series(values)
    if kinds == {int, float}:
        return pl.Series(values, dtype=pl.Float64, strict=False)
    return pl.Series([None if value is None else json.dumps(as_json(value)) for value in values])
