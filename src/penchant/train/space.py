"""Where settings are looked for: choices and ranges, one an argument."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, Protocol, TypeAlias

from penchant.errors import ArgumentError


class Dimension(Protocol):
    """Values that an argument may take: `Choice`, `Uniform` or `Whole`."""

    def draw(self, trial: Any, name: str) -> Any:
        """A value, by an Optuna trial."""
        ...

    def holds(self, value: Any) -> bool:
        """Whether `value` is one of them."""
        ...

    def stored(self, value: Any) -> Any:
        """What Optuna keeps for a `value` that is one of them."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        ...


Space: TypeAlias = Mapping[str, Dimension]


def as_json(value: Any) -> Any:
    """`value` with lists for tuples, as it comes back from JSON."""
    return [as_json(part) for part in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True, init=False)
class Choice:
    """One of several values, none nearer to another: `Choice(32, 64, 128)`, `Choice([80, 40], [200])`.

    Args:
        options: JSON values, at least one, none twice.

    Raises: ArgumentError without options, on one given twice, and on one that is no JSON value.
    """

    options: tuple[Any, ...]
    _kept: tuple[Any, ...] = field(init=False, repr=False, compare=False)

    def __init__(self, *options: Any) -> None:
        if not options:
            raise ArgumentError("options", options, expected="at least one value to choose from")
        try:
            texts = [json.dumps(option) for option in options]
        except (TypeError, ValueError):
            raise ArgumentError("options", options, expected="JSON values (numbers, text, lists)") from None
        plain = [as_json(option) for option in options]
        if twice := [option for i, option in enumerate(plain) if option in plain[:i]]:
            raise ArgumentError("options", twice[0], expected="every option once")
        object.__setattr__(self, "options", options)
        simple = [option is None or isinstance(option, bool | int | float | str) for option in options]
        kept = (option if plain else text for option, plain, text in zip(options, simple, texts, strict=True))
        object.__setattr__(self, "_kept", tuple(kept))

    def draw(self, trial: Any, name: str) -> Any:
        """An option."""
        return self.options[self._kept.index(trial.suggest_categorical(name, self._kept))]

    def holds(self, value: Any) -> bool:
        """Whether it is an option; a list and a tuple of the same values are."""
        return as_json(value) in map(as_json, self.options)

    def stored(self, value: Any) -> Any:
        """The option, as text where it is a list or a mapping."""
        return self._kept[[as_json(option) for option in self.options].index(as_json(value))]

    def as_dict(self) -> dict[str, Any]:
        """The options."""
        return {"options": [as_json(option) for option in self.options]}


@dataclass(frozen=True)
class Uniform:
    """A number from `low` to `high`, both among them.

    Args:
        low: the least.
        high: the most.
        log: whether every doubling is as likely, as suits learning rates and penalties.

    Raises: ArgumentError if bounds are not finite or not in order, or not above 0 where `log` is set.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        _check(self.low, self.high, log=self.log, kind=Real, what="a finite number")

    def draw(self, trial: Any, name: str) -> float:
        """A number."""
        return trial.suggest_float(name, float(self.low), float(self.high), log=self.log)

    def holds(self, value: Any) -> bool:
        """Whether it lies inside."""
        real = isinstance(value, Real) and not isinstance(value, bool)
        return real and self.low <= float(value) <= self.high

    def stored(self, value: Any) -> float:
        """The number."""
        return float(value)

    def as_dict(self) -> dict[str, Any]:
        """Bounds and scale."""
        return {"low": float(self.low), "high": float(self.high), "log": self.log}


@dataclass(frozen=True)
class Whole:
    """An integer from `low` to `high`, both among them.

    Args:
        low: the least.
        high: the most.
        log: whether every doubling is as likely.
        step: they are low, low + step, ... (1 with `log`).

    Raises:
        ArgumentError: a bound is no integer, they are not in order, the least is not above 0 where `log` is
            set, or the step is below 1, is not 1 where `log` is set, or does not lead to `high`.
    """

    low: int
    high: int
    log: bool = False
    step: int = 1

    def __post_init__(self) -> None:
        _check(self.low, self.high, log=self.log, kind=Integral, what="an integer")
        if isinstance(self.step, bool) or not isinstance(self.step, Integral) or self.step < 1:
            raise ArgumentError("step", self.step, expected="an integer of at least 1")
        if self.log and self.step != 1:
            raise ArgumentError("step", self.step, expected="1 where log is set")
        if (self.high - self.low) % self.step:
            below = self.high - (self.high - self.low) % self.step
            expected = f"low plus a number of steps, such as {below}"
            raise ArgumentError("high", self.high, expected=expected)

    def draw(self, trial: Any, name: str) -> int:
        """An integer."""
        return trial.suggest_int(name, int(self.low), int(self.high), step=int(self.step), log=self.log)

    def holds(self, value: Any) -> bool:
        """Whether it is one of these."""
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        return whole and self.low <= int(value) <= self.high and not (int(value) - self.low) % self.step

    def stored(self, value: Any) -> int:
        """The integer."""
        return int(value)

    def as_dict(self) -> dict[str, Any]:
        """Bounds, step and scale."""
        return {"low": int(self.low), "high": int(self.high), "log": self.log, "step": int(self.step)}


def _check(low: Any, high: Any, *, log: bool, kind: type, what: str) -> None:
    for name, value in {"low": low, "high": high}.items():
        if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
            raise ArgumentError(name, value, expected=what)
    if not low < high:
        raise ArgumentError("high", high, expected=f"more than low={low!r}")
    if log and not low > 0:
        raise ArgumentError("low", low, expected="more than 0 where log is set")
