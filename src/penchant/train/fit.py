"""`fit`: from a model and a split to a trained model."""

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from penchant.data.interactions import check_numbering
from penchant.data.loader import Source
from penchant.data.provenance import WEIGHTS, Provenance, note, provenance_of
from penchant.data.sources import Pointwise, Sequences
from penchant.data.split import Part, Queries, Split
from penchant.errors import ArgumentError, StoreError, TrainingError
from penchant.protocols import Callback, Defaults, Prepares, Solvable, Trainable, Weigher, mark_fitted
from penchant.train.checkpoint import describe
from penchant.train.console import Screen, fit_line, log, model_line
from penchant.train.loop import Checkpoint, Loop, Plan, Precision
from penchant.train.optim import RowwiseAdamW, groups, sparse_tables
from penchant.train.resume import Run, fingerprint, load_run
from penchant.train.stopping import Valid, Validation, test_rows

Model = TypeVar("Model", bound=nn.Module)
_CHOICE = "the epoch that is kept"  # what is chosen by test rows


def fit(
    model: Model,
    split: Split | Source,
    *,
    valid: Part | Queries | Valid | None = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    patience: int | None = None,
    metric: str | None = None,
    clip: float | None = None,
    seed: int = 0,
    checkpoint: str | Path | Checkpoint | None = None,
    resume: bool = True,
    weigher: Weigher | None = None,
    callbacks: Sequence[Callback] = (),
    device: str = "auto",
    precision: Precision = "32-true",
    progress: bool = True,
) -> Model:
    """Trains a model on the training rows of a split.

    A model in closed form is solved, once. Any other learns by AdamW; after every epoch it is asked how good
    it is, and in the end it has the weights of its best epoch. Same arguments, same device, same numbers,
    however often the run was killed in between. What is None below is as the model's `defaults` have it.

    Args:
        model: what to train; changed, and returned in eval mode with a `training_log` of a row an epoch.
        split: what to learn from; or a `Source` of examples of your own.
        valid: what to choose by: a part of a split (of whose queries 2,000 are asked, evenly spread), queries
            (all are asked), or a function from the model to metrics by name. None: the valid part of `split`;
            nothing where that is a `Source`.
        learning_rate: of AdamW.
        weight_decay: likewise, decoupled; tables, biases and norms do not decay.
        epochs: at most.
        batch_size: examples a step, over all processes.
        patience: epochs without a better metric before stopping.
        metric: the one that counts, e.g. "ndcg@10", "gauc", "log_loss".
        clip: largest norm of the gradient; 0 for none.
        seed: order, negatives, dropout and all else that is drawn depend on it.
        checkpoint: a folder in which the run is kept; see `Checkpoint`.
        resume: whether to go on where a killed run of the same settings left off there.
        weigher: says before each epoch (of the source, from 0) how much every example counts.
        callbacks: told after every epoch (from 1).
        device: "auto", "cpu", "cuda", "cuda:1", "mps". Under `torchrun` every process takes its own.
        precision: "bf16-mixed" computes in bfloat16 where that is safe; weights stay float32.
        progress: whether to draw a bar (on a terminal); else there are lines in the log "penchant.train", and
            on standard error where no handler shows that log. False: in the log alone.

    Raises:
        ArgumentError: an argument cannot be used. A metric that a split's part does not give is told before
            the first step.
        TrainingError: a loss, gradient, parameter or the metric that counts is no number: the error names the
            first. The checkpoint keeps the last good state.
        StoreError: the checkpoint belongs to another run (the error says in what), or cannot be written.
        KeyboardInterrupt: after Ctrl-C, once the step is done and the checkpoint written.
    """
    rows = _rows_of(split)
    if isinstance(model, type):
        raise ArgumentError(
            "model", model.__name__, expected="a model", fix=f"make one: {model.__name__}(log.features)"
        )
    if rows is not None:
        check_numbering(model, rows.log, argument="split")
    if isinstance(model, Solvable):
        return _solved(model, rows)
    if not isinstance(model, Trainable):
        raise ArgumentError(
            "model", type(model).__name__, expected="a model with source and loss, or with solve"
        )
    given: dict[str, Any] = {
        "learning_rate": learning_rate, "weight_decay": weight_decay, "epochs": epochs,
        "batch_size": batch_size, "patience": patience, "metric": metric, "clip": clip,
    }  # fmt: skip
    preferred = preferences(model)
    if isinstance(split, Source):
        if batch_size is not None:
            raise ArgumentError("batch_size", batch_size, expected="None with a Source, which has its own")
        preferred["batch_size"] = split.batch_size
    plan = planned(preferred, given | {"seed": seed, "precision": precision})
    before = provenance_of(model)
    if isinstance(model, Prepares) and rows is not None:
        model.prepare(rows)
    source = (
        split if isinstance(split, Source) else model.source(split, batch_size=plan.batch_size, seed=seed)
    )
    validation = _validation(split, valid, metric, preferred["metric"])
    checkpoint = _kept_in(checkpoint)
    args = _arguments(model)
    settings: dict[str, Any] = {
        "model": {"class": _name(model), "args": args},
        "fit": asdict(plan) | {"weigher": None if weigher is None else _name(weigher)},
        "data": fingerprint(source, rows),
        "validation": validation is not None,
    }
    with _surroundings(device, precision, model) as fabric, mark_fitted(model):
        source.shard(fabric.global_rank, fabric.world_size)
        settings["processes"] = fabric.world_size
        run = Run(model, RowwiseAdamW(groups(model, plan.weight_decay), lr=plan.learning_rate))
        shown = progress and fabric.is_global_zero
        with Screen(steps=len(source), epochs=plan.epochs, progress=shown) as screen:
            loop = Loop(
                run, source, plan, fabric, screen, settings, validation=validation, checkpoint=checkpoint,
                weigher=weigher, callbacks=callbacks,
            )  # fmt: skip
            screen.say(model_line(model, args))
            defaults = preferred | {"seed": 0, "precision": "32-true", "device": "auto", "weigher": None}
            screen.say(fit_line(settings["fit"] | {"device": device}, defaults))
            if checkpoint is not None and resume and load_run(run, Path(checkpoint.folder), settings):
                state = run.state
                screen.say(
                    f"going on in {checkpoint.folder} after {state.epoch} epochs and {state.step:,} steps"
                )
            else:
                loop.save_first()
                if validation is not None and fabric.is_global_zero:
                    model.eval()
                    validation.try_out(model)
            _note_rows(model, before, source)
            _note_choice(model, validation)
            loop.go()
    model.training_log = run.state.log  # type: ignore[assignment]
    return model.eval()


def _rows_of(split: Split | Source) -> Split | None:
    """The split behind what is learned from, if any."""
    if not isinstance(split, Split | Source):
        raise ArgumentError(
            "split", split, expected="a Split or a Source",
            fix="split the log first, as with split_by_time(log) or split_leave_last(log)",
        )  # fmt: skip
    return split if isinstance(split, Split) else getattr(split.examples, "split", None)


def _note_rows(model: nn.Module, before: Mapping[str, Sequence[Provenance]], source: Source) -> None:
    """Says on which rows the weights are about to be learned, beside those that they were learned on before.

    Examples of somebody's own say it themselves, in `provenance`; else nobody knows.

    Args:
        model: what learns.
        before: what it said before it was prepared, which may have replaced it.
        source: what it learns from.
    """
    parts = dict(model.named_modules())
    for name, said in before.items():
        if kept := [one for one in said if one.what in (WEIGHTS, _CHOICE)]:
            note(parts[name], *kept)
    examples: Any = source.examples
    said = [one for one in getattr(examples, "provenance", ()) if one.what == WEIGHTS]
    if not said and type(examples) in (Pointwise, Sequences):  # a subclass may have rows of its own
        said = [Provenance.of(WEIGHTS, examples.split, examples.split.train.rows)]
    note(model, *(said or [Provenance.unknown(WEIGHTS, f"a source of {type(examples).__name__}")]))


def _note_choice(model: nn.Module, validation: Validation | None) -> None:
    """Says where the epoch that is kept is chosen by rows that are to be reported on."""
    if validation is None or validation.queries is None:
        return
    if len(rows := test_rows(validation.queries)):
        note(model, Provenance.of(_CHOICE, validation.queries.split, rows))


def _kept_in(checkpoint: str | Path | Checkpoint | None) -> Checkpoint | None:
    """Where to keep the run; a file in its place is told before there is anything to lose."""
    if checkpoint is None:
        return None
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(checkpoint)
    folder = Path(checkpoint.folder)
    if folder.exists() and not folder.is_dir():
        raise StoreError(
            f"{folder}: a file, where a folder was expected to keep the run in.\n  Fix: name a folder."
        )
    return checkpoint


def _solved(model: Model, rows: Split | None) -> Model:
    if rows is None:
        raise ArgumentError(
            "split", "a Source", expected=f"a Split: {type(model).__name__} is solved, not trained"
        )
    log.info(model_line(model, _arguments(model)))
    assert isinstance(model, Solvable)
    with mark_fitted(model):
        model.solve(rows)
    model.training_log = []  # type: ignore[assignment]
    return model.eval()


def _arguments(model: nn.Module) -> dict[str, Any] | None:
    """The arguments of a model; None for one that does not keep them."""
    try:
        return describe(model)["args"]
    except ArgumentError:
        return None


def _name(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def preferences(model: object) -> dict[str, Any]:
    """How a model (or a class of them) likes to be trained, by argument of `fit`."""
    return asdict(getattr(model, "defaults", Defaults()))


def planned(preferred: Mapping[str, Any], given: Mapping[str, Any]) -> Plan:
    """The settings of a run: what is `given` and not None, else what is `preferred`.

    Raises: ArgumentError if one of them is out of range or no number.
    """
    chosen: dict[str, Any] = {"seed": 0, "precision": "32-true", **preferred}
    plan = Plan(**chosen | {name: value for name, value in given.items() if value is not None})
    for name in ("epochs", "batch_size", "patience"):
        if not isinstance(value := getattr(plan, name), Integral) or value < 1:
            raise ArgumentError(name, value, expected="an integer of at least 1")
    for name in ("learning_rate", "weight_decay", "clip"):
        if not isinstance(value := getattr(plan, name), Real) or not float(value) >= 0:
            raise ArgumentError(name, value, expected="a number of at least 0")
    if plan.precision not in ("32-true", "bf16-mixed"):
        raise ArgumentError("precision", plan.precision, expected="'32-true' or 'bf16-mixed'")
    return plan


def _validation(
    split: Split | Source, valid: Part | Queries | Valid | None, metric: str | None, default: str
) -> Validation | None:
    if valid is None and isinstance(split, Split):
        valid = split.valid
    if valid is None:
        if metric is not None:
            raise ArgumentError(
                "metric", metric, expected="None where there is nothing to validate on", fix="pass valid="
            )
        return None
    return Validation(valid, metric=metric, default=default)


@contextmanager
def _surroundings(device: str, precision: Precision, model: nn.Module) -> Generator[Any]:
    """Device and processes; then the model is back where it was, and the caller's random state."""
    fabric = _fabric(device, precision)
    sparse = sparse_tables(model)
    if fabric.world_size > 1 and sparse:
        raise TrainingError(
            f"the table {sparse[0]!r} has sparse gradients, which several processes cannot add up.\n"
            "  Fix: train in one process, or build the model with dense gradients."
        )
    home = next((p.device for p in model.parameters()), torch.device("cpu"))
    cuda = [fabric.device] if fabric.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        try:
            yield fabric
        finally:
            model.to(home)


def _fabric(device: str, precision: Precision) -> Any:
    """One device; or this process' share of them where `torchrun` started several."""
    from lightning_fabric import Fabric  # more than a second of imports
    from lightning_fabric.strategies.ddp import DDPStrategy

    kind, _, number = device.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (number and not (kind == "cuda" and number.isdigit())):
        raise ArgumentError("device", device, expected="'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'")
    ranks, here = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if ranks > 1 and "TORCHELASTIC_RUN_ID" in os.environ:
        strategy = DDPStrategy(find_unused_parameters=True)  # a loss need not touch every parameter
        fabric = Fabric(
            accelerator=kind, devices=here, num_nodes=ranks // here, strategy=strategy, precision=precision
        )
        fabric.launch()
        return fabric
    devices: Any = [int(number)] if number else 1
    try:
        return Fabric(accelerator=kind, devices=devices, precision=precision)
    except (RuntimeError, ValueError) as error:  # no such device here
        raise ArgumentError("device", device, expected=f"a device of this machine ({error})") from error
