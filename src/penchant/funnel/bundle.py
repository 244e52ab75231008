"""A funnel on disk: a folder of safetensors, JSON and flat arrays; no code runs when it is read.

bundle/
├── bundle.json     format, versions, digests, the stages with every model's class and constructor arguments
├── weights/        one safetensors file a model
├── log/            the history snapshot with ids, titles and attributes (a log store of its own)
├── card.json       what was trained on what, and how well it does
└── CARD.md         the same for people
"""

import hashlib
import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: PLC2701 - the documented name

from penchant.data.atomic import atomic_folder
from penchant.data.interactions import Features, Interactions
from penchant.data.store import open_log, save_log
from penchant.errors import ArgumentError, PenchantError, StoreError, VersionError
from penchant.evaluation.lines import copies
from penchant.funnel.funnel import Funnel
from penchant.funnel.rules import Rules
from penchant.train.checkpoint import build, describe, load_weights, save_weights

FORMAT = 1
RULED = 2  # the same with standing rules, which a reader of format 1 would not obey
_ROLES = ("retrieve", "rank")
_LOG = "log/manifest.json"  # which knows the digests of the log's files
_ROOM = 2**30  # bytes that a model may make beside what its weights account for: tables, masks
_EACH = 2**18  # of these for any tensor, however small: a depth of a million is refused in seconds
_FIX = "it is not whole, or somebody changed it.\n  Fix: save the funnel again."


def save(funnel: Funnel, path: Path, result: Any = None) -> None:
    """See `Funnel.save`."""
    models = _models(funnel)
    with atomic_folder(path) as folder:
        (folder / "weights").mkdir()
        stages: list[dict[str, Any]] = []
        for number, (role, name, model) in enumerate(models):
            file = f"weights/{number}-{type(model).__name__}.safetensors"
            save_weights(model, folder / file)
            stages.append({"role": role, "name": name, "weights": file, "model": describe(model)})
        save_log(funnel.data, folder / "log")
        card = _card(funnel, models, result)
        (folder / "card.json").write_text(json.dumps(card, indent=1), encoding="utf-8")
        (folder / "CARD.md").write_text(_card_text(card), encoding="utf-8")
        manifest = {
            "format": RULED if funnel.rules else FORMAT,
            "penchant": version("penchant"),
            "candidates": funnel.candidates,
            "weights": funnel.weights,
            "blend": funnel.blend,
            **({"rules": funnel.rules.as_json()} if funnel.rules else {}),
            "stages": stages,
            "files": {
                name: _digest(folder / name) for name in (_LOG, *(stage["weights"] for stage in stages))
            },
        }
        (folder / "bundle.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _models(funnel: Funnel) -> list[tuple[str, str, nn.Module]]:
    """Role, name and model of every stage."""
    models: list[tuple[str, str, object]] = [("retrieve", name, m) for name, m in funnel.retrievers.items()]
    if funnel.ranker is not None:
        models.append(("rank", type(funnel.ranker).__name__, funnel.ranker))
    modules = [(role, name, model) for role, name, model in models if isinstance(model, nn.Module)]
    for _, name, model in models:
        if not isinstance(model, nn.Module):
            raise ArgumentError(name, model, expected="an nn.Module: only those can be saved")
    return modules


def load(path: str | Path, *, trust: Sequence[str] = ()) -> Funnel:
    """Opens a bundle that `Funnel.save` wrote.

    Args:
        path: the folder.
        trust: packages beside penchant whose model classes may be imported.

    Every byte of the weights is compared with what was written; of the log, sizes and ranges, as it may be
    large: `penchant.data.verify(path / "log")` reads all of it.

    Raises:
        StoreError: the folder is not a whole bundle, or somebody changed it.
        VersionError: another format.
        TrustError: a model's class lies outside the trusted packages; nothing was imported.
        ArgumentError: `trust` is no list.
    """
    if isinstance(trust, str):
        raise ArgumentError("trust", trust, expected="a list of packages", fix=f"pass trust=[{trust!r}]")
    folder = Path(path)
    manifest = _read(folder)
    log = open_log(folder / "log")
    _check_log(log, folder / "log")
    models = {role: dict[str, Any]() for role in _ROLES}
    for stage in manifest["stages"]:
        model = _model(stage, log.features, ("penchant", *trust), folder / stage["weights"])
        models[stage["role"]][stage["name"]] = model
    retrievers = models["retrieve"]
    try:
        return Funnel(
            retrieve=list(retrievers.values()),
            rank=next(iter(models["rank"].values()), None),
            data=log,
            candidates=manifest["candidates"],
            weights=manifest["weights"],
            blend=manifest["blend"],
            names=list(retrievers),
            rules=Rules.from_json(manifest["rules"]) if manifest["format"] == RULED else None,
        )
    except ArgumentError as error:
        raise _broken(folder, str(error)) from None


def _model(stage: dict[str, Any], features: Features, trust: Sequence[str], file: Path) -> nn.Module:
    """A stage's model with its weights."""
    try:
        with _Budget(_ROOM + 8 * file.stat().st_size):
            model = build(stage["model"], features, trust=trust, weights=file)
    except PenchantError as error:
        if isinstance(error, ArgumentError):
            raise _broken(file.parent.parent, f"stage {stage['name']!r}: {error}") from None
        raise
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, ValueError) as error:
        raise _broken(file.parent.parent, f"stage {stage['name']!r} cannot be built ({error!r})") from error
    load_weights(model, file)
    return model.eval()


class _Budget(TorchDispatchMode):
    """Refuses tensors larger than any model of these weights makes, before there is memory for them."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: to skip it, torch would import its compiler, for seconds; nothing is compiled here."""
        return False

    def __init__(self, room: int) -> None:
        super().__init__()
        self.left = room

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        names = [argument.name for argument in func._schema.arguments]
        given = dict(zip(names, args, strict=False)) | (kwargs or {})
        size = next((given[name] for name in ("size", "end", "n", "steps") if name in given), None)
        if isinstance(given.get("self"), Tensor) and not func._schema.name.startswith("aten::new_"):
            size = None  # this one computes; what it is given was counted
        if size is not None:
            self.left -= 4 * int(prod(size) if isinstance(size, Sequence) else size) + _EACH
            if self.left < 0:
                raise MemoryError(f"a tensor of {size}, and its weights are few")
        return func(*args, **(kwargs or {}))


def _check_log(log: Interactions, folder: Path) -> None:
    """Refuses a log whose indices point out of its tables."""
    offsets = log.offsets
    sound = int(offsets[0]) == 0 and bool((offsets.diff() >= 0).all())
    tables = [("item", log.item, len(log.catalogue))]
    if log.event is not None and log.events is not None:
        tables.append(("event", log.event, len(log.events)))
    tables += [(name, log.columns[name], len(labels)) for name, labels in log.column_labels.items()]
    wrong = [] if sound else ["offsets"]
    for name, column, size in tables:
        if len(column) and not (int(column.min()) > 0 and int(column.max()) < size):
            wrong.append(name)
    if wrong:
        raise StoreError(f"{folder}: {wrong[0]!r} holds numbers that are out of range; {_FIX}")


def _read(folder: Path) -> dict[str, Any]:
    file = folder / "bundle.json"
    if not file.is_file():
        log = (folder / "manifest.json").is_file()
        what = "a log, and no bundle" if log else "no bundle here"
        raise StoreError(
            f"{folder}: {what} (bundle.json is missing).\n"
            "  Fix: give the folder that Funnel.save or `penchant train` wrote."
        )
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        found = manifest["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{file}: not a bundle manifest ({error!r}).") from None
    if found not in (FORMAT, RULED):
        raise VersionError(folder, found, supported=f"formats {FORMAT} and {RULED}")
    try:
        complaint = _complaint(manifest)
    except (KeyError, TypeError, AttributeError) as error:
        complaint = repr(error)
    if complaint:
        raise StoreError(f"{file}: not a bundle manifest ({complaint}).")
    for name in (_LOG, *(stage["weights"] for stage in manifest["stages"])):
        if _digest(_inside(folder, name)) != manifest["files"].get(name):
            raise _broken(folder, f"{name} is not what was written")
    return manifest


def _complaint(manifest: dict[str, Any]) -> str:
    """What is wrong with a manifest; "" for nothing."""
    stages, weights = manifest["stages"], manifest["weights"]
    if (manifest["format"] == RULED) != ("rules" in manifest):
        return f"'rules' belong to format {RULED}, and to no other"
    if not isinstance(manifest["files"], dict) or not isinstance(stages, list):
        return "'files' or 'stages' is not what it should be"
    names: list[tuple[str, str]] = []
    for stage in stages:
        if stage["role"] not in _ROLES or not isinstance(stage["model"]["class"], str):
            return f"a stage is not as it should be: {stage!r:.200}"
        if not isinstance(stage["name"], str) or not isinstance(stage["weights"], str):
            return f"a stage is not as it should be: {stage!r:.200}"
        names.append((stage["role"], stage["name"]))
    if twice := next((name for n, name in enumerate(names) if name in names[:n]), None):
        return f"two stages are called {twice[1]!r}"
    if sum(role == "rank" for role, _ in names) > 1:
        return "there are two rankers"
    numbers = [manifest["candidates"], manifest["blend"], *([] if weights is None else weights)]
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        return "a number is not as it should be"
    return ""


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _broken(folder: Path, what: str) -> StoreError:
    return StoreError(f"{folder}: {what}; {_FIX}")


def _inside(folder: Path, name: str) -> Path:
    """A file of the bundle; a name that leads out of it is refused."""
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise StoreError(f"{folder}: the file name {name!r} leads out of the bundle.")
    if not file.is_file():
        raise StoreError(f"{folder}: {name} is missing; the bundle is not whole.")
    return file


def _card(funnel: Funnel, models: list[tuple[str, str, nn.Module]], result: Any) -> dict[str, Any]:
    return {
        "funnel": repr(funnel),
        "versions": {
            "penchant": version("penchant"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "models": [{"stage": f"{role}:{name}"} | describe(model) for role, name, model in models],
        "parameters": {
            f"{role}:{name}": sum(p.numel() for p in model.parameters()) for role, name, model in models
        },
        "rules": funnel.rules.as_json() if funnel.rules else None,
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
        count = card["parameters"][model["stage"]]
        lines.append(f"- {model['stage']}: `{name}({arguments})`, {count:,} parameters")
    lines += ["", "## Evaluation", ""]
    evaluation = card["evaluation"]
    if evaluation is None:
        lines.append("None was given when the bundle was saved.")
    else:
        lines.append(
            "Setting: " + "; ".join(f"{key} {value}" for key, value in evaluation["setting"].items()) + "."
        )
        lines.append("")
        systems = evaluation["systems"]
        same = copies([{name: m["value"] for name, m in system["metrics"].items()} for system in systems])
        for system in systems:
            shown = [f"{name} {m['value']:.4f}" for name, m in system["metrics"].items() if name not in same]
            lines.append(f"- {system['name']}: " + ", ".join(shown))
        pairs = {name.split("@")[0]: other.split("@")[0] for name, other in same.items()}
        lines += [""] * bool(pairs) + [
            f"{name} is the same as {other} here." for name, other in pairs.items()
        ]
    return "\n".join(lines) + "\n"
