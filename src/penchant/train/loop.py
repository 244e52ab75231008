"""The loop: batch, loss, gradient, update; after every epoch the question whether to go on."""

import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from penchant.data.batch import Batch
from penchant.data.loader import Source, keyed_generator
from penchant.errors import StoreError, TrainingError
from penchant.protocols import Callback, Loss, Weigher
from penchant.train.checkpoint import put_weights, weights_of
from penchant.train.console import Screen
from penchant.train.guard import check_parameters, explain
from penchant.train.optim import clip_gradients
from penchant.train.resume import Run, save_run, write_log
from penchant.train.stopping import Validation, goodness

Precision = Literal["32-true", "bf16-mixed"]
_COST = 20  # within an epoch, a state is not written again before this many times what the last one took
_log = logging.getLogger("penchant.train")


@dataclass(frozen=True)
class Checkpoint:
    """Where a run is kept, so that it can be killed at any moment and go on.

    Attributes:
        folder: of this run alone; log.csv and state/ are made in it.
        every: seconds between states written within an epoch (0: after every step); large ones are written
            less often, so that they take 5 % of the time at most. One is written after every epoch.
    """

    folder: str | Path
    every: float = 60.0


@dataclass(frozen=True)
class Plan:
    """The settings of a run: the arguments of `fit`, else the defaults of the model."""

    learning_rate: float
    weight_decay: float
    epochs: int
    batch_size: int
    patience: int
    metric: str
    clip: float
    seed: int
    precision: Precision


class Objective(nn.Module):
    """The loss of a model as its `forward`: what Fabric and DDP wrap.

    `mark_forward_method("loss")` would do for neither: on one device it goes past autocast without a word,
    and on several Fabric takes the answer apart, which a frozen dataclass refuses. The batch comes in a
    closure, out of reach of casts that would narrow its times and weights.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, batch: Callable[[], Batch]) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """Sum, weight, penalty and parts of the loss."""
        loss: Loss = self.model.loss(batch())
        penalty = loss.penalty if isinstance(loss.penalty, Tensor) else loss.sum.new_tensor(loss.penalty)
        return loss.sum, loss.weight, penalty, dict(loss.parts)


class Loop:
    """Trains until the epochs are over or the metric has stopped to improve.

    Args:
        run: what is trained, from where it is.
        source: this process' batches.
        plan: the settings.
        fabric: devices and precision.
        screen: what is told.
        settings: all that a run must have in common with the one that goes on with it.
        validation: what to choose by, if anything.
        checkpoint: where to keep the run, if anywhere.
        weigher: as `fit` takes it.
        callbacks: likewise.
    """

    def __init__(
        self, run: Run, source: Source, plan: Plan, fabric: Any, screen: Screen, settings: dict[str, Any], *,
        validation: Validation | None, checkpoint: Checkpoint | None, weigher: Weigher | None,
        callbacks: Sequence[Callback],
    ) -> None:  # fmt: skip
        self.run, self.source, self.plan, self.fabric, self.screen = run, source, plan, fabric, screen
        self.settings, self.validation, self.weigher, self.callbacks = (
            settings,
            validation,
            weigher,
            callbacks,
        )
        self.checkpoint = checkpoint if fabric.is_global_zero else None
        self.objective = fabric.setup(Objective(run.model))
        self.interrupts = Interrupts()
        self._saved, self._cost = time.monotonic(), 0.0

    def go(self) -> None:
        """Trains to the end; the model then has its best weights."""
        run, state = self.run, self.run.state
        try:
            with self.interrupts:
                while not state.finished:
                    self._epoch()
        except KeyboardInterrupt as stop:
            self._left(stop)
            raise
        if run.best_weights is not None:
            put_weights(run.model, run.best_weights, "the best epoch")

    def _epoch(self) -> None:
        state, source = self.run.state, self.source
        source.load_state_dict({"epoch": state.epoch, "consumed": state.consumed})
        if self.weigher is not None and state.consumed == 0:
            self._seed("weigher", state.epoch)
            self.run.model.eval()
            self.run.example_weights = self.weigher.weights(self.run.model, source, state.epoch)
        source.weights = self.run.example_weights
        self.run.model.train()
        self.screen.begin(state.epoch + 1, state.consumed)
        begun = time.monotonic()
        spent = state.figures.get("seconds", 0.0)
        with closing(cast(Generator[Batch], iter(source))) as batches:  # closed, its thread ends
            for batch in batches:
                with self.interrupts.held():
                    loss = self._step(batch)
                    state.step, state.consumed = state.step + 1, state.consumed + 1
                    state.figures["seconds"] = spent + time.monotonic() - begun
                self.screen.step(state.epoch + 1, state.consumed, len(batch) * self.fabric.world_size, loss)
                self._save_in_time()
        check_parameters(self.run.model, f"epoch {state.epoch + 1}")
        metrics = self._validate()
        with self.interrupts.held():
            self._close_epoch(metrics, spent + time.monotonic() - begun)
        self._save(log=True)

    def _step(self, batch: Batch) -> float:
        """Learns a batch; its loss. Nothing is changed if a number is not finite."""
        run, plan, fabric = self.run, self.plan, self.fabric
        self._seed("step", run.state.step)
        progress = run.state.step / max(plan.epochs * len(self.source), 1)
        batch = replace(batch, progress=progress).to(fabric.device)
        total, weight, penalty, parts = self.objective(lambda: batch)
        # in one vector, so that there is one message to other processes and one wait for the device
        kind = torch.float32 if fabric.device.type == "mps" else torch.float64
        own = [total, weight, penalty, *(part * weight for part in parts.values())]
        figures = torch.stack([value.detach().to(kind).reshape(()) for value in own])
        whole = fabric.all_reduce(figures, reduce_op="sum")
        divisor = whole[1].clamp(min=torch.finfo(torch.float32).tiny).to(total.dtype)
        # DDP gives the mean of gradients over processes, and what is wanted is sum(sum) / sum(weight)
        mean = total * (fabric.world_size / divisor) + penalty
        run.optimiser.zero_grad(set_to_none=True)
        fabric.backward(mean)
        norm = clip_gradients(run.model.parameters(), plan.clip)
        summed, weighed, penalised, *rest, size = torch.cat([whole, norm.detach().to(whole).view(1)]).tolist()
        penalised /= fabric.world_size
        loss = summed / max(weighed, torch.finfo(torch.float32).tiny) + penalised
        if not (math.isfinite(loss) and math.isfinite(size)):
            where = f"epoch {run.state.epoch + 1}, step {run.state.step + 1}"
            raise explain(run.model, {"sum": total, "weight": weight, "penalty": penalty}, parts, where)
        run.optimiser.step()
        examples = float(len(batch) * fabric.world_size)
        seen = {"sum": summed, "weight": weighed, "penalty": penalised, "steps": 1.0, "examples": examples}
        for name, value in (seen | dict(zip((f"parts.{name}" for name in parts), rest, strict=True))).items():
            run.state.figures[name] = run.state.figures.get(name, 0.0) + value
        return loss

    def _seed(self, stream: str, step: int) -> None:
        """Draws depend on (seed, step) alone: a run that goes on draws what it would have drawn."""
        name = stream if self.fabric.world_size == 1 else f"{stream}/{self.fabric.global_rank}"
        key = keyed_generator(self.plan.seed, name, 0, step).initial_seed()
        torch.default_generator.manual_seed(key)
        if self.fabric.device.type == "cuda":
            torch.cuda.default_generators[self.fabric.device.index].manual_seed(key)
        elif self.fabric.device.type == "mps":
            torch.mps.manual_seed(key)

    def _validate(self) -> dict[str, float]:
        if self.validation is None:
            return {}
        self.screen.validating()
        self.run.model.eval()
        # one process asks, so that all go on or stop together
        metrics = self.validation(self.run.model) if self.fabric.is_global_zero else {}
        metrics, self.validation.metric = self.fabric.broadcast((metrics, self.validation.metric))
        if math.isnan(metrics[self.validation.metric]):  # in all processes, so that none waits for another
            raise TrainingError(
                f"epoch {self.run.state.epoch + 1}: the validation metric {self.validation.metric!r} is nan: "
                "expected a number to choose the best epoch by.\n"
                "  Fix: validate on queries that it is defined on (AUC and GAUC need both labels), or choose "
                "another metric."
            )
        return metrics

    def _close_epoch(self, metrics: dict[str, float], seconds: float) -> None:
        run, state, plan = self.run, self.run.state, self.plan
        figures = state.figures
        weight = max(figures["weight"], torch.finfo(torch.float32).tiny)
        loss = figures["sum"] / weight + figures["penalty"] / figures["steps"]
        row: dict[str, Any] = {
            "epoch": state.epoch + 1,
            "loss": loss,
            "parts": {
                n.removeprefix("parts."): v / weight for n, v in figures.items() if n.startswith("parts.")
            },
            "metrics": metrics,
            "seconds": round(seconds, 3),
            "examples": int(figures["examples"]),
        }
        state.log.append(row)
        state.epoch, state.consumed, state.figures = state.epoch + 1, 0, {}
        run.example_weights = None
        if self.validation is not None:
            value = goodness(self.validation.metric, metrics[self.validation.metric])
            if better := value > state.best_value:
                state.best, state.best_value, state.stale = state.epoch, value, 0
                run.best_weights = {n: t.detach().cpu().clone() for n, t in weights_of(run.model).items()}
            else:
                state.stale += 1
            self.screen.end(row, metric=self.validation.metric, best=better)
        else:
            self.screen.end(row, metric=None, best=False)
        run.model.eval()
        stops = [
            callback(run.model, state.epoch, {"loss": row["loss"], **metrics}) for callback in self.callbacks
        ]
        patient = self.validation is None or state.stale < plan.patience
        state.finished = state.epoch >= plan.epochs or not patient or any(stops)

    # -- what is kept ---------------------------------------------------------------------------------------

    def save_first(self) -> None:
        """Writes the state before any step: a folder that cannot be written is told now."""
        if self.checkpoint is not None:
            self._write(self.checkpoint)

    def _save_in_time(self) -> None:
        if self.checkpoint is None:
            return
        wait = max(self.checkpoint.every, _COST * self._cost) if self.checkpoint.every else 0.0
        if time.monotonic() - self._saved >= wait:
            self._save()

    def _save(self, *, log: bool = False) -> None:
        """Writes the state; a full disk does not end a run, since what was written before still stands."""
        if self.checkpoint is None:
            return
        try:
            check_parameters(self.run.model, f"epoch {self.run.state.epoch + 1}, step {self.run.state.step}")
            self._write(self.checkpoint)
            if log:
                write_log(self.run.state.log, Path(self.checkpoint.folder) / "log.csv")
        except StoreError as error:
            _log.warning("The training goes on without a new checkpoint. %s", error)
            self._saved = time.monotonic()

    def _write(self, checkpoint: Checkpoint) -> None:
        begun = time.monotonic()
        save_run(self.run, Path(checkpoint.folder), self.settings)
        self._saved = time.monotonic()
        self._cost = self._saved - begun

    def _left(self, stop: KeyboardInterrupt) -> None:
        """Says where the run stopped and how it goes on."""
        state = self.run.state
        said = f"Training stopped in epoch {state.epoch + 1} after {state.step:,} steps."
        if self.checkpoint is None:
            said += " Nothing was kept: pass checkpoint= to be able to go on."
        else:
            self._save()
            said += f" It is kept in {self.checkpoint.folder}: the same call of fit goes on from there."
        stop.add_note(said)
        self.screen.say(said)


class Interrupts:
    """Ctrl-C between steps, not within one, so what is written is of one step; a second does not wait."""

    def __init__(self) -> None:
        self._held, self._asked = False, False
        self._before: Any = None

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():  # nobody else may set handlers
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._asked or not self._held:
            raise KeyboardInterrupt
        self._asked = True

    @contextmanager
    def held(self) -> Generator[None]:
        """Ctrl-C waits for the end of this block."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._asked:
            raise KeyboardInterrupt
