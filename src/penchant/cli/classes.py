"""Model classes named by a recipe: trusted before they are imported, and nothing but models."""

import re
from collections.abc import Sequence
from importlib import import_module
from inspect import isclass
from typing import Any, TypeGuard

from torch import nn

from penchant.cli.document import Document, walk
from penchant.errors import TrustError, nearest

_HOMES = ("penchant.retrieve", "penchant.rank")  # where short class names are looked up
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def refuse_strangers(document: Document, trusted: Sequence[str]) -> None:
    """Looks at every class path of a document before any is imported.

    Raises: TrustError for the first one outside the trusted packages.
    """
    for keys, path in walk(document.value):
        named = keys and (keys[-1] == "class_path" or (keys[0] == "models" and len(keys) == 2))
        if named and isinstance(path, str) and "." in path and not _within(path, trusted):
            error = TrustError(path, trusted)
            error.add_note(f"  At: {document.path}, {document.where(keys)}")
            raise error


def find_model(path: str, trusted: Sequence[str]) -> type[nn.Module]:
    """The model class at an import path, or penchant's own model of a short name.

    Raises: ValueError that names the nearest model where there is none.
    """
    if not _PATH.fullmatch(path):
        raise ValueError(f"{path!r}: expected an import path such as penchant.retrieve.SASRec")
    if "." not in path:
        models = {name: model for home in _HOMES for name, model in _models(home).items()}
        if path not in models:
            raise ValueError(f"penchant has no model {path!r}; {nearest(path, list(models))}")
        return models[path]
    home, _, name = path.rpartition(".")
    if not _within(path, trusted):
        raise TrustError(path, trusted)
    try:
        found = getattr(import_module(home), name, None)
    except ImportError as error:
        raise ValueError(f"{path!r}: cannot import {home!r} ({error})") from None
    if not _is_model(found) or not _within(f"{found.__module__}.{name}", trusted):
        raise ValueError(f"{home} has no model {name!r}; {nearest(name, list(_models(home)))}")
    return found


def _within(path: str, trusted: Sequence[str]) -> bool:
    return any(path.startswith(f"{package}.") for package in trusted)


def _models(home: str) -> dict[str, type[nn.Module]]:
    """The public models of a module."""
    module = import_module(home)
    public = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    return {name: found for name in public if _is_model(found := getattr(module, name))}


def _is_model(found: Any) -> TypeGuard[type[nn.Module]]:
    return isclass(found) and issubclass(found, nn.Module)
