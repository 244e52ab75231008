"""Our training step, as `fit` takes it: what is timed wherever ours trains."""

from torch import nn

from penchant.data import Batch
from penchant.train.optim import RowwiseAdamW, clip_gradients, groups


class Learner:
    """A model in training and its optimiser.

    Args:
        model: prepared.
        learning_rate: of AdamW, without weight decay.
    """

    def __init__(self, model: nn.Module, learning_rate: float = 1e-3) -> None:
        self.model = model.train()
        self.optimiser = RowwiseAdamW(groups(model, 0.0), lr=learning_rate)

    def step(self, batch: Batch) -> None:
        """Loss, gradients, clipping and update."""
        self.optimiser.zero_grad()
        self.model.loss(batch).mean.backward()
        clip_gradients(self.model.parameters(), 5.0)
        self.optimiser.step()
