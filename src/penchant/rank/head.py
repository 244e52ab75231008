"""What stands on top of every ranker: the network from pairs to logits, and the loss of a batch of pairs."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from penchant.data.batch import Batch
from penchant.nn.mlp import MLP, Activation, BatchNorm
from penchant.protocols import Loss


class Head(nn.Module):
    """BatchNorm, then Linear and activation for each of `hidden`, then Linear to one logit.

    Args:
        inputs: width of what is known of a (user, candidate) pair.
        hidden: widths of the hidden layers; none: a linear head.
        activation: of the hidden layers.
        batch_norm: whether the inputs are normalised.
        dropout: behind each hidden layer.
        generator: what the weights are drawn from.

    Shapes: [B, C, inputs] to logits [B, C].
    Source: the code of Zhou et al. 2019 (DIEN), script/model.py: 200 and 80 units, there with two softmax
        outputs (the same function as one logit) and a normalisation that never learnt its statistics.
    """

    def __init__(
        self, inputs: int, hidden: Sequence[int], *, activation: Activation, batch_norm: bool, dropout: float,
        generator: Generator,
    ) -> None:  # fmt: skip
        super().__init__()
        self.norm = BatchNorm(inputs) if batch_norm else nn.Identity()
        self.layers = MLP(inputs, hidden, 1, activation=activation, dropout=dropout, generator=generator)

    def forward(self, pairs: Tensor, present: Tensor | None = None) -> Tensor:
        """Logits [B, C]; where `present` [B, C] is given, absent pairs touch no statistics and get 0."""
        if present is None:
            rows: Tensor = self.layers(self.norm(pairs.flatten(0, 1)))
            return rows.view(pairs.shape[:2])
        rows = self.layers(self.norm(pairs[present]))
        return rows.new_zeros(present.shape).masked_scatter(present, rows)


def present_of(items: Tensor) -> Tensor | None:
    """Where items [B, C] hold a candidate, bool; None where every place does, the usual case."""
    present = items > 0
    return None if bool(present.all()) else present


class Pairs(NamedTuple):
    """The (user, candidate) pairs of a training batch: each target, then the negatives drawn for it.

    Attributes:
        items: [B, 1 + M] int64, 0 where there is no pair.
        labels: [B, 1 + M] float32.
        weights: [B, 1 + M] float32, 0 where there is no pair.
    """

    items: Tensor
    labels: Tensor
    weights: Tensor


def pairs_of(batch: Batch) -> Pairs:
    """The pairs that a pointwise batch asks about; one encoding of its users serves them all."""
    label = torch.ones_like(batch.weight) if batch.label is None else batch.label
    items, labels, weights = batch.target.unsqueeze(1), label.unsqueeze(1), batch.weight.unsqueeze(1)
    if "negatives" in batch.extra:
        good = batch.extra["negatives_weight"]
        negatives = batch.extra["negatives"].masked_fill(good == 0, 0)
        items = torch.cat([items, negatives], 1)
        labels = F.pad(labels, (0, negatives.shape[1]))
        weights = torch.cat([weights, weights * good], 1)
    return Pairs(items, labels, weights)


def cross_entropy(logits: Tensor, pairs: Pairs) -> Loss:
    """Binary cross-entropy of logits [B, 1 + M]; half-precision ones are widened first."""
    logits = logits.to(torch.promote_types(logits.dtype, pairs.labels.dtype))
    labels = pairs.labels.to(logits.dtype)
    each = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return Loss(sum=(pairs.weights * each).sum(), weight=pairs.weights.sum())
