"""Stopping where a number is none, with the name of the first tensor at fault."""

from collections.abc import Iterable, Mapping

import torch
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


def explain(model: nn.Module, parts: Mapping[str, Tensor], where: str) -> TrainingError:
    """What went wrong in a step whose loss or gradient is not finite; nothing was updated.

    Args:
        model: after the backward pass.
        parts: the loss by part, the whole ("loss") last.
        where: which step.
    """
    # a part that nobody was to see (weight 0) may be nan of itself, so parts count only where the loss is bad
    bad_loss = not finite(parts["loss"])
    part = first_bad(parts.items()) if bad_loss else None
    gradient = first_bad((name, p.grad) for name, p in model.named_parameters())
    parameter = first_bad(model.named_parameters())
    if part is not None:
        what = (
            f"the loss part {part!r} is {_shown(parts[part])}"
            if part != "loss"
            else f"the loss is {_shown(parts[part])}"
        )
    elif gradient is not None:
        what = f"the gradient of {gradient!r} holds a number that is not finite"
    else:
        what = "the gradients are too large to be measured"
    if parameter is not None:
        what += f"; the parameter {parameter!r} was not finite before this step"
    return TrainingError(f"{where}: {what}. Nothing was updated.\n  Fix: {_FIX}.")


def check_parameters(model: nn.Module, where: str) -> None:
    """Raises TrainingError where a parameter is not finite: such weights are not worth keeping."""
    bad = first_bad(model.named_parameters())
    if bad is not None:
        raise TrainingError(
            f"{where}: the parameter {bad!r} holds a number that is not finite.\n  Fix: {_FIX}."
        )


def _shown(value: Tensor) -> str:
    found = value.detach().float()
    return (
        str(float(found))
        if found.numel() == 1
        else f"not finite in {int((~torch.isfinite(found)).sum())} places"
    )
