"""Stopping where a number is none, with the name of the first tensor at fault."""

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from penchant.errors import TrainingError

_FIX = "lower learning_rate or clip, or look for extreme values in the data"


def finite(tensor: Tensor) -> bool:
    """Whether all numbers of a tensor, dense or of rows, are finite."""
    values = tensor.detach()
    if values.is_sparse:
        values = values.coalesce().values()
    # the sum takes no memory; it may overflow though all is well, so a bad one is looked into
    return bool(values.sum().isfinite()) or bool(values.isfinite().all())


def first_bad(tensors: Iterable[tuple[str, Tensor | None]]) -> str | None:
    """The name of the first tensor that is not finite."""
    return next((name for name, tensor in tensors if tensor is not None and not finite(tensor)), None)


def explain(
    model: nn.Module, whole: Mapping[str, Tensor], parts: Mapping[str, Tensor], where: str
) -> TrainingError:
    """What went wrong in a step whose loss or gradient is not finite; no weight was updated.

    Args:
        model: after the backward pass.
        whole: what the loss is made of: its sum, weight and penalty.
        parts: its parts by name.
        where: which step.
    """
    # a part may be nan by right (the mean of nothing), so parts are at fault only where the whole is bad
    bad = first_bad(whole.items())
    part = first_bad(parts.items()) if bad else None
    gradient = first_bad((name, p.grad) for name, p in model.named_parameters())
    parameter = first_bad(model.named_parameters())
    if part is not None:
        what = f"the loss part {part!r} is {_shown(parts[part])}"
    elif bad is not None:
        what = f"the {bad} of the loss is {_shown(whole[bad])}"
    elif gradient is not None:
        what = f"the gradient of {gradient!r} holds a number that is not finite"
    else:
        what = "the gradients are too large to be measured"
    if parameter is not None:
        what += f"; the parameter {parameter!r} was not finite before this step"
    return TrainingError(f"{where}: {what}. No weight was updated.\n  Fix: {_FIX}.")


def check_parameters(model: nn.Module, where: str) -> None:
    """Raises TrainingError where a parameter is not finite: such weights are not worth keeping."""
    bad = first_bad(model.named_parameters())
    if bad is not None:
        raise TrainingError(
            f"{where}: the parameter {bad!r} holds a number that is not finite.\n  Fix: {_FIX}."
        )


def _shown(value: Tensor) -> str:
    return str(float(value.detach()))
