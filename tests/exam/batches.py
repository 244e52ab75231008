"""What both halves of the exam need: batches by rows, and gradients by name."""

import dataclasses

import torch

from penchant.data import Batch


def rows_of(batch: Batch, index: list[int]) -> Batch:
    """Examples `index` of a pointwise batch, in that order; a row may stand more than once."""
    rows = torch.tensor(index)
    parts = {
        field.name: value.index_select(0, rows) if isinstance(value, torch.Tensor) else value
        for field in dataclasses.fields(batch)
        if not isinstance(value := getattr(batch, field.name), dict) and field.name != "histories"
    }
    parts["histories"] = batch.histories.rows(rows)
    for name in ("context", "extra"):
        parts[name] = {key: value.index_select(0, rows) for key, value in getattr(batch, name).items()}
    return Batch(**parts)


def gradients(model: torch.nn.Module, value: torch.Tensor) -> dict[str, torch.Tensor]:
    """The dense gradient of a scalar by parameter name; zero where it does not depend on one."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    found = torch.autograd.grad(value, [p for _, p in named], allow_unused=True)
    return {
        name: torch.zeros_like(p) if g is None else (g.to_dense() if g.is_sparse else g)
        for (name, p), g in zip(named, found, strict=True)
    }
