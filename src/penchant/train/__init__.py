"""Training: one loop for every model, an optimiser for large tables, runs that can be killed and go on."""

from penchant.train.checkpoint import build, describe, load_weights, save_weights
from penchant.train.fit import fit
from penchant.train.loop import Checkpoint
from penchant.train.optim import RowwiseAdamW, clip_gradients
from penchant.train.space import Choice, Uniform, Whole
from penchant.train.tune import Search, tune
from penchant.train.tuned import Best, Searched, Tuned

__all__ = [
    "Best",
    "Checkpoint",
    "Choice",
    "RowwiseAdamW",
    "Search",
    "Searched",
    "Tuned",
    "Uniform",
    "Whole",
    "build",
    "clip_gradients",
    "describe",
    "fit",
    "load_weights",
    "save_weights",
    "tune",
]
