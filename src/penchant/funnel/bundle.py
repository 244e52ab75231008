"""A funnel on disk: a folder of safetensors, JSON and flat arrays; no code runs when it is read.

bundle/
├── bundle.json     format, versions, the stages and every model's class and constructor arguments
├── weights/        one safetensors file a model
├── log/            the history snapshot with ids, titles and attributes (a log store of its own)
├── card.json       what was trained on what, and how well it does
└── CARD.md         the same for people
"""

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from penchant.data.atomic import atomic_folder
from penchant.data.store import open_log, save_log
from penchant.errors import ArgumentError, StoreError, VersionError
from penchant.funnel.funnel import Funnel
from penchant.train.checkpoint import build, describe, load_weights, save_weights

FORMAT = 1


def save(funnel: Funnel, path: Path, result: Any = None) -> None:
    """See `Funnel.save`."""
    models: dict[str, tuple[str, object]] = {name: ("retrieve", m) for name, m in funnel.retrievers.items()}
    if funnel.ranker is not None:
        models["rank"] = ("rank", funnel.ranker)
    with atomic_folder(path) as folder:
        (folder / "weights").mkdir()
        stages: list[dict[str, Any]] = []
        for number, (name, (role, model)) in enumerate(models.items()):
            if not isinstance(model, nn.Module):
                raise ArgumentError(name, model, expected="an nn.Module: only those can be saved")
            file = f"weights/{number}-{type(model).__name__}.safetensors"
            save_weights(model, folder / file)
            stages.append({"role": role, "name": name, "weights": file, "model": describe(model)})
        save_log(funnel.data, folder / "log")
        card = _card(funnel, result)
        (folder / "card.json").write_text(json.dumps(card, indent=1), encoding="utf-8")
        (folder / "CARD.md").write_text(_card_text(card), encoding="utf-8")
        manifest = {
            "format": FORMAT,
            "penchant": version("penchant"),
            "candidates": funnel.candidates,
            "weights": funnel.weights,
            "blend": funnel.blend,
            "stages": stages,
        }
        (folder / "bundle.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def load(path: str | Path, *, trust: Sequence[str] = ()) -> Funnel:
    """Opens a bundle that `Funnel.save` wrote.

    Args:
        path: the folder.
        trust: packages beside penchant whose model classes may be imported.

    Raises:
        StoreError: the folder is not a whole bundle.
        VersionError: another format.
        TrustError: a model's class lies outside the trusted packages; nothing was imported.
    """
    folder = Path(path)
    manifest = _read(folder)
    trusted = ("penchant", *trust)
    log = open_log(folder / "log")
    retrievers: dict[str, Any] = {}
    ranker: Any = None
    for stage in manifest["stages"]:
        file = _inside(folder, stage["weights"])
        model = build(stage["model"], log.features, trust=trusted, weights=file)
        load_weights(model, file)
        model.eval()
        if stage["role"] == "rank":
            ranker = model
        else:
            retrievers[stage["name"]] = model
    return Funnel(
        retrieve=list(retrievers.values()),
        rank=ranker,
        data=log,
        candidates=manifest["candidates"],
        weights=manifest["weights"],
        blend=manifest["blend"],
        names=list(retrievers),
    )


def _read(folder: Path) -> dict[str, Any]:
    file = folder / "bundle.json"
    if not file.is_file():
        raise StoreError(
            f"{folder}: no bundle here (bundle.json is missing).\n"
            "  Fix: give the folder that Funnel.save wrote."
        )
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        found = manifest["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{file}: not a bundle manifest ({error!r}).") from None
    if found != FORMAT:
        raise VersionError(folder, found, supported=f"format {FORMAT}")
    try:
        sound = all(stage["role"] in ("retrieve", "rank") for stage in manifest["stages"])
        sound &= all(isinstance(stage["model"]["class"], str) for stage in manifest["stages"])
        sound &= isinstance(manifest["candidates"], int) and isinstance(manifest["blend"], int | float)
        files = [stage["weights"] for stage in manifest["stages"]]
    except (KeyError, TypeError) as error:
        raise StoreError(f"{file}: not a bundle manifest ({error!r}).") from None
    if not sound:
        raise StoreError(f"{file}: not a bundle manifest (a stage or a number is not as it should be).")
    for name in files:
        _inside(folder, name)
    return manifest


def _inside(folder: Path, name: str) -> Path:
    """A file of the bundle; a name that leads out of it is refused."""
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise StoreError(f"{folder}: the file name {name!r} leads out of the bundle.")
    if not file.is_file():
        raise StoreError(f"{folder}: {name} is missing; the bundle is not whole.")
    return file


def _card(funnel: Funnel, result: Any) -> dict[str, Any]:
    models = [*funnel.retrievers.values(), *([funnel.ranker] if funnel.ranker is not None else [])]
    return {
        "funnel": repr(funnel),
        "versions": {
            "penchant": version("penchant"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "models": [describe(model) for model in models if isinstance(model, nn.Module)],
        "parameters": {
            type(m).__name__: sum(p.numel() for p in m.parameters())
            for m in models
            if isinstance(m, nn.Module)
        },
        "data": funnel.data.profile.as_dict(),
        "evaluation": None if result is None else result.as_dict(),
    }


def _card_text(card: dict[str, Any]) -> str:
    data, versions = card["data"], card["versions"]
    lines = [
        "# Model card",
        "",
        f"`{card['funnel']}`, written by penchant {versions['penchant']} (torch {versions['torch']}).",
        "",
        "## Data",
        "",
        f"{data['source']}: {data['kept']:,} of {data['read']:,} events kept, "
        f"{data['users']:,} users, {data['items']:,} items.",
        *(f"- dropped {count:,}: {reason}" for reason, count in data["dropped"].items()),
        *(f"- {note}" for note in data["notes"]),
        "",
        "## Models",
        "",
    ]
    for model in card["models"]:
        arguments = ", ".join(f"{name}={value!r}" for name, value in model["args"].items())
        name = model["class"].rsplit(".", 1)[-1]
        lines.append(f"- `{name}({arguments})`, {card['parameters'][name]:,} parameters")
    lines += ["", "## Evaluation", ""]
    evaluation = card["evaluation"]
    if evaluation is None:
        lines.append("None was given when the bundle was saved.")
    else:
        lines.append(
            "Setting: " + "; ".join(f"{key} {value}" for key, value in evaluation["setting"].items()) + "."
        )
        lines.append("")
        for system in evaluation["systems"]:
            shown = [f"{name} {m['value']:.4f}" for name, m in system["metrics"].items()]
            lines.append(f"- {system['name']}: " + ", ".join(shown))
    return "\n".join(lines) + "\n"
