"""A device that is not there: its tensors behave as those of a GPU would.

Inside `pretended()` the device `ELSEWHERE` holds tensors whose numbers are really on the CPU. As on a true
one, an operation that mixes them with tensors at home is an error, and so is asking them for numpy.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

ELSEWHERE = torch.device("cuda", 7)
_MOVES = (torch.Tensor.to, torch.Tensor.cpu)
_READS = (torch.Tensor.tolist, torch.Tensor.item, torch.Tensor.__repr__, torch.Tensor.__format__)


class Elsewhere(torch.Tensor):
    """A tensor on the pretended device."""

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """The same as at home, if nothing at home takes part."""
        kwargs = dict(kwargs or {})
        if func == torch.Tensor.device.__get__:  # a new wrapper at every look
            return ELSEWHERE
        if func == torch.Tensor.is_cuda.__get__:
            return True
        if func is torch.Tensor.numpy:
            raise TypeError("can't convert cuda:7 device type tensor to numpy")
        if func is torch.Tensor.copy_:  # goes across devices
            with torch._C.DisableTorchFunctionSubclass():
                func(*_mapped(args, _home), **_mapped(kwargs, _home))
            return args[0]
        if func not in _MOVES and any(_at_home(value) for value in _flat((args, kwargs))):
            raise RuntimeError(f"{getattr(func, '__name__', func)}: expected all tensors on one device")
        went = _destination(func, args, kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            found = func(*_mapped(args, _home), **_mapped(kwargs, _home))
        return found if went == "cpu" or func in _READS else _mapped(found, _away)


class _Pretence(TorchFunctionMode):
    """Answers for the pretended device where no tensor on it takes part: factories, and moves from home."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if any(isinstance(value, Elsewhere) for value in _flat((args, kwargs))):
            return func(*args, **kwargs)
        if _destination(func, args, kwargs) != "elsewhere":
            return func(*args, **kwargs)
        return _mapped(func(*_mapped(args, _home), **_mapped(kwargs, _home)), _away)


@contextmanager
def pretended() -> Generator[torch.device]:
    """While it lasts, `ELSEWHERE` can be moved to and made tensors on."""
    with _Pretence():
        yield ELSEWHERE


def _destination(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    """Where the result is asked to be: "cpu", "elsewhere", or None where nothing is said."""
    if func is torch.Tensor.cpu:
        return "cpu"
    named = [v for v in (*args[1:], kwargs.get("device")) if isinstance(v, str | torch.device)]
    return None if not named else "elsewhere" if _is_there(named[0]) else "cpu"


def _at_home(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not isinstance(value, Elsewhere) and value.dim() > 0


def _home(value: Any) -> Any:
    if isinstance(value, Elsewhere):
        return value.as_subclass(torch.Tensor)
    return torch.device("cpu") if _is_there(value) else value


def _is_there(value: Any) -> bool:
    return isinstance(value, str | torch.device) and str(value) == str(ELSEWHERE)


def _away(value: Any) -> Any:
    return value.as_subclass(Elsewhere) if isinstance(value, torch.Tensor) else value


def _flat(value: Any) -> Generator[Any]:
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        for one in value:
            yield from _flat(one)
    else:
        yield value


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping):
        return {name: _mapped(one, change) for name, one in value.items()}
    if isinstance(value, list):
        return [_mapped(one, change) for one in value]
    if isinstance(value, tuple):
        found = [_mapped(one, change) for one in value]
        return type(value)(*found) if hasattr(value, "_fields") else type(value)(found)
    return change(value)
