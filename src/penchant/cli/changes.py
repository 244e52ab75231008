"""`--set KEY=VALUE`: settings of a recipe changed from the command line."""

import re
from collections.abc import Mapping
from typing import Any

from penchant.cli.document import Document, parse_value
from penchant.errors import RecipeError, nearest

MODEL_KEYS = ("class_path", "init_args", "fit", "name", "tune")


def apply(document: Document, change: str) -> None:
    """Changes a setting: "split.leave_last.k=2", "models.SASRec.width=32", "models[0].fit.epochs=5".

    Raises: RecipeError if the change is not of that form or the recipe has no such place.
    """
    by = f"--set {change}"
    key, sign, value = change.partition("=")
    if not sign or not key.strip():
        raise RecipeError(f"{by}: expected KEY=VALUE, such as models.SASRec.width=32.")
    keys: list[str | int] = [
        int(word) if word.isdecimal() else word for word in re.split(r"[.\[\]]+", key.strip()) if word
    ]
    if keys[0] in ("model", "models"):
        keys = _model_keys(document, keys, by)
    document.change(tuple(keys), parse_value(value), by=by)


def _model_keys(document: Document, keys: list[str | int], by: str) -> list[str | int]:
    """`models.SASRec.width` and `model.width` as `models[1].init_args.width`."""
    models = document.value.get("models")
    if not isinstance(models, list):
        raise RecipeError(f"{by}: {document.path} has no list of models.")
    names = [name_of(model) for model in models]
    rest = keys[1:] if keys[0] == "model" else keys[2:]
    if keys[0] == "model" and len(models) == 1:
        number = 0
    elif keys[0] == "model":
        raise RecipeError(f"{by}: which one? Write models.NAME...; models: {', '.join(names)}.")
    elif len(keys) > 1 and keys[1] in names:
        number = names.index(str(keys[1]))
    elif len(keys) > 1 and keys[1] in range(len(models)):
        number = int(keys[1])
    else:
        wanted = str(keys[1]) if len(keys) > 1 else ""
        raise RecipeError(f"{by}: no model {wanted!r}; {nearest(wanted, names)}.")
    if isinstance(models[number], str):
        models[number] = {"class_path": models[number]}
    if rest and rest[0] not in MODEL_KEYS:
        rest = ["init_args", *rest]
    return ["models", number, *rest]


def name_of(model: Any) -> str:
    """What a recipe calls a model of its list."""
    if isinstance(model, Mapping):
        model = model.get("name") or model.get("class_path")
    return str(model).rpartition(".")[2]
