"""What a run says while it goes: a bar with examples a second and time left, or plain lines in the log."""

import inspect
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text
from torch import nn

_EVERY = 30.0  # seconds between lines of the log within an epoch
log = logging.getLogger("penchant.train")


def changed(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the arguments `given` that differ from the defaults of `function`.

    >>> def f(*, width=32, depth=2): ...
    >>> changed(f, {"width": 64, "depth": 2})
    {'width': 64}
    """
    parameters = inspect.signature(function).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    return {name: value for name, value in given.items() if _plain(value) != _plain(defaults.get(name))}


def _plain(value: object) -> object:
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def model_line(model: nn.Module, args: Mapping[str, Any] | None) -> str:
    """The model and each argument that differs from its default."""
    name = type(model).__name__
    count = sum(p.numel() for p in model.parameters())
    size = f"{count:,} parameters" if count else "no parameters"
    return f"{name}({_listed(changed(type(model), args or {}))}), {size}"


def fit_line(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Each argument of `fit` that differs from what model and `fit` prefer."""
    return f"fit({_listed({k: v for k, v in settings.items() if v != defaults.get(k)})})"


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


class Screen:
    """Tells of a run.

    Args:
        steps: batches an epoch.
        epochs: at most.
        progress: whether to draw; else, and without a terminal, lines go to the log "penchant.train". Where
            nothing was set up to show that log, they are printed nevertheless, unless this is False.
        console: where to draw; None: standard error.
    """

    def __init__(self, *, steps: int, epochs: int, progress: bool, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        self.steps, self.epochs = steps, epochs
        self._draws = progress and console.is_terminal
        self._prints = self._draws or (progress and not log.hasHandlers())
        self._console = console
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=20),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            _Speed(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TextColumn("{task.fields[valid]}"),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task(
            "",
            total=steps,
            epoch=1,
            epochs=epochs,
            loss=float("nan"),
            valid="",
            speed=0.0,
            left=0.0,
            most=0.0,
        )
        self._begun, self._examples, self._done, self._told = 0.0, 0, 0, 0.0

    def __enter__(self) -> "Screen":
        if self._draws:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._draws:  # else it would write an empty line
            self._bar.stop()

    def say(self, line: str) -> None:
        """A line that stays."""
        if self._prints:
            self._console.print(Text(line), soft_wrap=True)
        else:
            log.info(line)

    def begin(self, epoch: int, consumed: int) -> None:
        """Epoch `epoch` (from 1) goes on after `consumed` batches."""
        self._begun = self._told = time.monotonic()
        self._examples = self._done = 0
        self._bar.update(self._task, epoch=epoch, completed=consumed, valid="")

    def step(self, epoch: int, consumed: int, examples: int, loss: float) -> None:
        """A batch of `examples` is learned."""
        self._examples += examples
        self._done += 1
        now = time.monotonic()
        seconds = max(now - self._begun, 1e-9)
        speed, left = self._examples / seconds, (self.steps - consumed) * seconds / self._done
        most = left + (self.epochs - epoch) * self.steps * seconds / self._done
        if self._draws:
            fields: Any = {"completed": consumed, "loss": loss, "speed": speed, "left": left, "most": most}
            self._bar.update(self._task, **fields)
        elif now - self._told > _EVERY:
            self._told = now
            where = f"epoch {epoch}/{self.epochs}, batch {consumed:,} of {self.steps:,}"
            when = f"epoch done in {clock(left)}, all in {clock(most)} at most"
            self.say(f"{where}: loss {loss:.4f}, {speed:,.0f} examples/s, {when}")

    def validating(self) -> None:
        """The epoch's batches are done."""
        self._bar.update(self._task, valid="validating")

    def end(self, row: Mapping[str, Any], *, metric: str | None, best: bool) -> None:
        """An epoch is done; `row` is its line of the training log."""
        said = [f"epoch {row['epoch']}/{self.epochs}", f"loss {row['loss']:.4f}"]
        if metric is not None:
            said.append(f"{metric} {row['metrics'][metric]:.4f}{' (best)' if best else ''}")
        speed = row["examples"] / max(row["seconds"], 1e-9)
        said.append(f"{row['seconds']:.1f} s, {speed:,.0f} examples/s")
        self.say(", ".join(said))


class _Speed(ProgressColumn):
    """Examples a second, what is left of the epoch, and of all epochs if none is saved by stopping early."""

    max_refresh = 0.25

    def render(self, task: Task) -> Text:
        known = task.fields
        left = f"{clock(known['left'])} left, {clock(known['most'])} in all at most" if known["speed"] else ""
        return Text(f"{known['speed']:,.0f} examples/s  {left}")


def clock(seconds: float) -> str:
    """Seconds for people.

    >>> clock(4.2), clock(75), clock(7384)
    ('4 s', '1:15', '2:03:04')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, hours = whole // 60, whole // 3600
    return f"{hours}:{minutes % 60:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
