"""What every model's training must do: each named part and tensor learns, in half precision too."""

import pytest
import torch

from penchant.train import fit


def assert_every_part_moves_a_weight(model, batch):
    """Every part of `model.loss(batch)` that requires a gradient has one, and counts in what is minimised.

    That a part counts is read off the gradients: that of the whole is a sum of those of the parts, each times
    its weight in the loss, and least squares finds these weights.
    """
    loss = model.loss(batch)
    parameters = [p for p in model.parameters() if p.requires_grad]
    whole = _gradient(loss.mean, parameters)
    assert whole.abs().max() > 0, "the loss moves no weight"
    trained = {name: part for name, part in loss.parts.items() if part.requires_grad}
    if not trained:
        return
    gradients = {name: _gradient(part, parameters) for name, part in trained.items()}
    dead = [name for name, gradient in gradients.items() if gradient.abs().max() == 0]
    assert dead == [], f"these parts of the loss move no weight: {dead}"
    scale = torch.stack([gradient.norm() for gradient in gradients.values()])
    columns = torch.stack(list(gradients.values()), 1) / scale  # [parameters, parts]
    shares = torch.linalg.lstsq(columns, whole.unsqueeze(1)).solution.squeeze(1) / whole.norm()
    idle = [name for name, share in zip(gradients, shares.tolist()) if abs(share) < 1e-6]
    assert idle == [], f"these parts are named and not minimised: {idle}"


def assert_bfloat16_learns_alike(made, split):
    """Two epochs in bfloat16, which has 8 bits, come to the loss of two in single precision."""
    losses = [
        fit(made(), split, epochs=2, batch_size=32, precision=precision, progress=False).training_log[-1]
        for precision in ("32-true", "bf16-mixed")
    ]
    assert losses[1]["loss"] == pytest.approx(losses[0]["loss"], rel=0.02)


def assert_every_tensor_learns(model, batch):
    """Every trainable tensor has a gradient of `model.loss(batch)` that is not zero throughout."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    found = torch.autograd.grad(model.loss(batch).mean, [p for _, p in named], allow_unused=True)
    idle = [
        name
        for (name, _), g in zip(named, found)
        if g is None or not (g.coalesce().values() if g.is_sparse else g).any()
    ]
    assert idle == [], f"these tensors are trainable and learn nothing: {idle}"


def _gradient(value, parameters):
    """The gradient of a scalar, flat, in float64."""
    found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    flat = [
        torch.zeros(p.numel()) if g is None else (g.to_dense() if g.is_sparse else g).flatten()
        for p, g in zip(parameters, found)
    ]
    return torch.cat(flat).double()
