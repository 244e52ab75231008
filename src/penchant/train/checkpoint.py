"""Models as data: class and arguments as JSON, weights as safetensors.

Nothing that is read back can name code outside the packages that the caller trusts, and nothing is unpickled.
"""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from penchant.data.atomic import atomic_file
from penchant.data.interactions import Features
from penchant.data.provenance import put_json, to_json
from penchant.errors import ArgumentError, StoreError, TrustError, nearest
from penchant.protocols import is_fitted

Description = dict[str, Any]

_KEYS = {"class", "args"}
_ARRAY = "array"  # {"array": "args.x"}: an argument that lies in the weights file
_PREFIX = "args."
_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)


def describe(model: nn.Module) -> Description:
    """The configuration of a model: its class and the arguments of its constructor, as JSON values.

    Every argument but `features` is read from the attribute of the same name. A module among them is
    described likewise, an array stands in the weights file.

    Returns: {"class": "penchant.rank.din.DIN", "args": {"width": 32, ...}}, what `build` takes.
    Raises: ArgumentError if an argument is not kept as an attribute, or is no JSON value, module or array.
    """
    return _described(model, "", {})


def _described(model: nn.Module, where: str, arrays: dict[str, Tensor]) -> Description:
    kind = type(model)
    if "<locals>" in kind.__qualname__ or "." in kind.__qualname__:
        raise ArgumentError(
            "model", kind.__qualname__, expected="a class that a module defines at its top level"
        )
    args: dict[str, Any] = {}
    for name in _parameters(kind):
        if name == "features":
            continue
        if not hasattr(model, name):
            raise ArgumentError(
                name, "(not kept)", expected=f"{kind.__name__} to keep it as an attribute of the same name",
                fix=f"write self.{name} = {name} in its __init__",
            )  # fmt: skip
        args[name] = _as_json(getattr(model, name), f"{where}{name}", arrays)
    return {"class": f"{kind.__module__}.{kind.__qualname__}", "args": args}


def _parameters(kind: type[nn.Module]) -> dict[str, inspect.Parameter]:
    """The arguments of a model class by name."""
    if kind.__init__ is nn.Module.__init__:
        return {}
    found = dict(inspect.signature(kind).parameters)
    for name, parameter in found.items():
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise ArgumentError(
                name,
                f"(of {kind.__name__})",
                expected="arguments with names of their own: they are the configuration",
            )
    return found


def _as_json(value: object, where: str, arrays: dict[str, Tensor]) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor | np.ndarray):
        arrays[where] = torch.as_tensor(value)
        return {_ARRAY: _PREFIX + where}
    if isinstance(value, nn.Module):
        return _described(value, f"{where}.", arrays)
    if isinstance(value, Mapping):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise ArgumentError(where, wrong[0], expected="a mapping whose keys are strings")
        return {key: _as_json(part, f"{where}.{key}", arrays) for key, part in value.items()}
    if isinstance(value, Sequence):
        return [_as_json(part, f"{where}.{i}", arrays) for i, part in enumerate(value)]
    raise ArgumentError(where, value, expected="a JSON value, a module or an array")


def build(
    description: Mapping[str, Any],
    features: Features,
    *,
    trust: Sequence[str] = ("penchant",),
    weights: str | Path | None = None,
) -> nn.Module:
    """The model of a description, with fresh weights: `load_weights` fills them.

    Args:
        description: what `describe` gave; it may come from anywhere.
        features: the model's first argument.
        trust: packages (or modules) whose classes may be imported.
        weights: the weights file, needed where an argument is an array.

    Raises:
        TrustError: a class lies outside `trust`. Nothing outside of it is imported, whatever is written.
        StoreError: the description is not whole, or does not fit the class.
    """
    if set(description) != _KEYS:
        raise StoreError(f"a description is {{'class': ..., 'args': ...}}, not {description!r:.200}")
    for path in _classes(description):  # all of them before the first import
        if not any(path.startswith(f"{package}.") for package in trust):
            raise TrustError(path, trust)
    return _built(description, features, trust, None if weights is None else Path(weights))


def _classes(value: object) -> Iterator[str]:
    """The class paths of a description, nested ones too."""
    if isinstance(value, Mapping):
        if set(value) == _KEYS:
            path = value["class"]
            if not (isinstance(path, str) and _PATH.fullmatch(path)) or "__" in path:
                raise StoreError(f"{path!r} is not the path of a class, such as 'penchant.rank.din.DIN'")
            yield path
            value = value["args"]
            if not isinstance(value, Mapping):
                raise StoreError(f"{path}: args must be a mapping, not {value!r}")
        for part in value.values():
            yield from _classes(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _classes(part)


def _built(value: Any, features: Features, trust: Sequence[str], weights: Path | None) -> Any:
    def inner(part: Any) -> Any:
        return _built(part, features, trust, weights)

    if isinstance(value, list | tuple):
        return [inner(part) for part in value]
    if not isinstance(value, Mapping):
        return value
    if set(value) == {_ARRAY}:
        if weights is None:
            raise ArgumentError(
                "weights", None, expected=f"the weights file: it holds the argument {value[_ARRAY]!r}"
            )
        return _read(weights, [value[_ARRAY]])[value[_ARRAY]]
    if set(value) != _KEYS:
        return {key: inner(part) for key, part in value.items()}
    kind = _resolved(value["class"], trust)
    known = _parameters(kind)
    for name in value["args"]:
        if name not in known or name == "features":
            raise StoreError(f"{value['class']} has no argument {name!r} ({nearest(name, list(known))})")
    args = {name: inner(part) for name, part in value["args"].items()}
    try:
        return kind(features, **args) if "features" in known else kind(**args)
    except TypeError as error:
        raise StoreError(f"{value['class']} does not take these arguments: {error}") from error


def _resolved(path: str, trust: Sequence[str]) -> type[nn.Module]:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name, None)
    except ImportError as error:
        raise StoreError(f"{path}: {error}.\n  Fix: install the package that defines it.") from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise StoreError(f"{path} is not a module class")
    if not any(f"{found.__module__}.".startswith(f"{package}.") for package in trust):
        raise TrustError(f"{found.__module__}.{found.__qualname__}", trust)  # only passing through
    return found


# -- weights ---------------------------------------------------------------------------------------------


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Writes parameters, persistent buffers and arrays among the arguments as one safetensors file.

    It notes where the model was not fitted, and on which rows its statistics were counted.

    Raises: StoreError if it cannot be written; what stood there before stays, whole.
    """
    arrays: dict[str, Tensor] = {}
    with suppress(ArgumentError):  # a model that cannot be described has weights all the same
        _described(model, "", arrays)
    named = {**weights_of(model), **{_PREFIX + name: array for name, array in arrays.items()}}
    note = {} if is_fitted(model) else {"fitted": "no"}
    if (counted := to_json(model)) is not None:
        note["provenance"] = counted
    save_tensors(named, path, note=note or None)


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Fills parameters and buffers from what `save_weights` wrote; checks all before it fills the first.

    The model is then fitted if the one that was saved was, and knows on which rows it was counted.

    Raises: StoreError that names the first tensor that is missing, left over, of another shape or type.
    """
    put_weights(model, {k: t for k, t in _read(Path(path)).items() if not k.startswith(_PREFIX)}, str(path))
    with safe_open(Path(path), framework="pt") as file:
        note: dict[str, str] = file.metadata() or {}
    put_json(model, note.get("provenance"), str(path))
    if hasattr(model, "fitted"):
        model.fitted = note.get("fitted") != "no"  # type: ignore[assignment]


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, not copied; what is tied stands under its first name."""
    found: dict[str, Tensor] = {}
    seen: set[tuple[Any, ...]] = set()
    for name, tensor in model.state_dict().items():
        if not isinstance(tensor, Tensor):
            raise ArgumentError(name, tensor, expected="a state of tensors alone (no get_extra_state)")
        key = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride()) if tensor.numel() else (name,)
        if key not in seen:
            seen.add(key)
            found[name] = tensor
    return found


def put_weights(model: nn.Module, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Fills a model as `load_weights` does; `origin` says in errors where the tensors come from."""
    own = weights_of(model)
    fix = "build the model with the arguments and the features that it was saved with"

    def refused(what: str) -> StoreError:
        return StoreError(f"{origin}: does not fit {type(model).__name__}: {what}.\n  Fix: {fix}.")

    for name, tensor in own.items():
        if name not in tensors:
            raise refused(f"{name!r} is missing in the file")
        there, here = tensors[name], tensor
        if (there.shape, there.dtype) != (here.shape, here.dtype):
            a, b = (f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}" for t in (there, here))
            raise refused(f"{name!r} is {a} in the file and {b} in the model")
    for name in tensors:
        if name not in own:
            raise refused(f"{name!r} is in the file and not in the model")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def save_tensors(
    tensors: Mapping[str, Tensor], path: str | Path, *, note: dict[str, str] | None = None
) -> None:
    """Writes a safetensors file, whole or not at all; tensors may share memory and lie on any device."""
    ready: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, tensor in tensors.items():
        here = tensor.detach().cpu().contiguous()
        storage = here.untyped_storage()
        if here.numel() and (storage.data_ptr() in storages or storage.nbytes() != here.nbytes):
            here = here.clone()  # safetensors refuses views
        storages.add(here.untyped_storage().data_ptr())
        ready[name] = here
    with atomic_file(path) as made:
        mode = made.stat().st_mode
        try:
            save_file(ready, made, note)  # makes a file of its own, for the owner alone
            made.chmod(mode)
        except SafetensorError as error:
            raise StoreError(
                f"{path}: could not be written ({error}).\n  Fix: make room, or choose another disk."
            ) from error


def _read(path: Path, names: Sequence[str] | None = None) -> dict[str, Tensor]:
    """The tensors of a file, or those of these `names`."""
    if not path.is_file():
        raise StoreError(f"{path}: no such weights file")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in (file.keys() if names is None else names)}
    except (SafetensorError, OSError) as error:
        raise StoreError(f"{path}: not a whole weights file ({error})") from error


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises: StoreError if there is none, or not a whole one.
    """
    return _read(Path(path))
