"""A training run on disk: what a later call of `fit` needs to go on as if nothing had happened.

checkpoint/
├── log.csv              an epoch a row
└── state/               replaced as a whole, so what is there is always of one step
    ├── manifest.json    format, settings, place in the run, log, early stopping
    ├── weights.safetensors
    ├── optimiser.safetensors
    ├── best.safetensors         the best weights so far, once there are any
    └── examples.safetensors     weights of examples, where a weigher gave them

Random states are not there: `fit` seeds every step anew from (seed, step).
"""

import csv
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from penchant.data.atomic import atomic_file, atomic_folder
from penchant.data.loader import Source
from penchant.data.provenance import add_json, to_json
from penchant.data.split import Split
from penchant.errors import StoreError, VersionError
from penchant.train.checkpoint import put_weights, read_tensors, save_tensors, weights_of
from penchant.train.optim import RowwiseAdamW

FORMAT = 1
Row = dict[str, Any]


@dataclass
class State:
    """Where a run is.

    Attributes:
        step: steps done.
        epoch: epochs done.
        consumed: batches of the current epoch done.
        figures: sums over the current epoch's steps, by name.
        log: a row an epoch done.
        best: the best epoch (from 1) by the validation metric; 0 where there is none yet.
        best_value: its metric.
        stale: epochs since.
        finished: whether the run has come to its end.
    """

    step: int = 0
    epoch: int = 0
    consumed: int = 0
    figures: dict[str, float] = field(default_factory=dict[str, float])
    log: list[Row] = field(default_factory=list[Row])
    best: int = 0
    best_value: float = float("-inf")
    stale: int = 0
    finished: bool = False


@dataclass
class Run:
    """All that a step may change.

    Attributes:
        model, optimiser: what learns.
        state: where the run is.
        best_weights: the model's, at the best epoch; None where there is none yet.
        example_weights: what the weigher gave for the current epoch.
    """

    model: nn.Module
    optimiser: RowwiseAdamW
    state: State = field(default_factory=State)
    best_weights: dict[str, Tensor] | None = None
    example_weights: Tensor | None = None


def save_run(run: Run, folder: Path, settings: Mapping[str, Any]) -> None:
    """Replaces the state in `folder` by this one, in one step.

    Raises: StoreError if there is no room; the state before stays.
    """
    target = folder / "state"
    with atomic_folder(target) as made:
        save_tensors(weights_of(run.model), made / "weights.safetensors")
        save_tensors(run.optimiser.arrays(run.model), made / "optimiser.safetensors")
        if run.best_weights is not None:
            _keep_best(run, target, made)
        if run.example_weights is not None:
            save_tensors({"examples": run.example_weights}, made / "examples.safetensors")
        manifest = {
            "format": FORMAT,
            "penchant": version("penchant"),
            "torch": torch.__version__,
            "settings": settings,
            "state": asdict(run.state),
            "provenance": to_json(run.model),
        }
        (made / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _keep_best(run: Run, before: Path, made: Path) -> None:
    """Best weights are written once: a later state of the same best epoch links to the file."""
    assert run.best_weights is not None
    old = before / "best.safetensors"
    with suppress(StoreError):  # whoever wrote a manifest that cannot be read, it is about to be replaced
        if old.is_file() and _manifest(before)["state"]["best"] == run.state.best:
            try:
                os.link(old, made / old.name)
            except OSError:  # a file system without links
                shutil.copyfile(old, made / old.name)
            return
    save_tensors(run.best_weights, made / old.name)


def load_run(run: Run, folder: Path, settings: Mapping[str, Any]) -> bool:
    """Brings a run to the state in `folder`.

    Returns: whether there was one.
    Raises: StoreError if it is not whole, or belongs to other settings, another model or other data (the
        error names each difference); VersionError if another format.
    """
    state = folder / "state"
    if not state.exists():
        return False
    manifest = _manifest(state)
    now = json.loads(json.dumps(settings))
    if different := list(differences(manifest["settings"], now)):
        listed = "\n".join(f"  {line}" for line in different)
        raise StoreError(
            f"{state}: this run was started with other settings:\n{listed}\n"
            "  Fix: use the same settings, another folder, or resume=False to start anew in this one."
        )
    put_weights(run.model, read_tensors(state / "weights.safetensors"), f"{state}/weights.safetensors")
    add_json(run.model, manifest.get("provenance"), f"{state}/manifest.json")
    run.optimiser.load_arrays(run.model, read_tensors(state / "optimiser.safetensors"))
    run.state = State(**manifest["state"])
    run.best_weights = read_tensors(state / "best.safetensors") if run.state.best else None
    examples = state / "examples.safetensors"
    run.example_weights = read_tensors(examples)["examples"] if examples.is_file() else None
    return True


def _manifest(folder: Path) -> dict[str, Any]:
    file = folder / "manifest.json"
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        found = manifest["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{file}: not the state of a training run ({error!r}).\n"
            "  Fix: choose another folder, or resume=False."
        ) from error
    if found != FORMAT:
        raise VersionError(folder, found, supported=f"format {FORMAT}")
    return manifest


def differences(then: Any, now: Any, where: str = "") -> Iterator[str]:
    """Every place in which two trees of JSON values differ: "fit.epochs: 5 then, 6 now"."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in [*then, *(key for key in now if key not in then)]:
            yield from differences(then.get(key), now.get(key), f"{where}.{key}" if where else str(key))
    elif then != now:
        yield f"{where}: {then!r} then, {now!r} now"


def fingerprint(source: Source, split: Split | None) -> dict[str, Any]:
    """What tells one set of training data from another."""
    found: dict[str, Any] = {
        "examples": f"{len(source.examples):,} {type(source.examples).__name__}",
        "batch_size": source.batch_size,
        "seed": source.seed,
        "shuffle": source.shuffle,
    }
    return found if split is None else found | rows(split)


def rows(split: Split) -> dict[str, Any]:
    """What tells the rows of one split from those of another."""
    return {"split": split.name, "ties": split.ties, "events": len(split.log), "digest": split.digest}


def write_log(log: list[Row], path: Path) -> None:
    """The log as CSV, an epoch a row, nested names joined by a dot; the file is replaced as a whole."""
    rows = [_flat(row) for row in log]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_file(path) as made:
        made.write_text(text.getvalue(), encoding="utf-8")


def _flat(row: Mapping[str, Any]) -> Row:
    found: Row = {}
    for name, value in row.items():
        found |= {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, Mapping) else {name: value}
    return found
