"""What most people chose: the baseline that every other retriever has to beat."""

import torch
from torch import Tensor, nn

from penchant.data.batch import SECONDS_A_DAY, Requests
from penchant.data.interactions import Features, require_features
from penchant.data.provenance import Provenance
from penchant.data.split import Split
from penchant.errors import ArgumentError
from penchant.protocols import Candidates, Interests
from penchant.retrieve.search import search


class Popularity(nn.Module):
    """Ranks items by how many training positives they have, old ones counting less if wanted.

    It answers unknown users and empty histories as it answers everybody.

    Args:
        features: what the store holds.
        half_life_days: an event this old counts half of one at the end of training; None: all count 1.

    Raises: ArgumentError if the half-life is not above 0, or is given for a log without times.
    """

    history = 0  # events read
    fitted = False
    provenance: tuple[Provenance, ...] = ()
    weight: Tensor

    def __init__(self, features: Features, *, half_life_days: float | None = None) -> None:
        super().__init__()
        require_features(features)
        if half_life_days is not None and not half_life_days > 0:
            raise ArgumentError(
                "half_life_days", half_life_days, expected="a number of days above 0, or None"
            )
        if half_life_days is not None and not features.has_time:
            raise ArgumentError("half_life_days", half_life_days, expected="None, as the log has no times")
        self.features, self.half_life_days = features, half_life_days
        self.register_buffer("weight", torch.zeros(features.items))  # [V]

    def solve(self, split: Split) -> None:
        """Count the training positives of `split`."""
        rows, log = split.train.targets, split.log
        decay = None
        if self.half_life_days is not None:
            time = log.time.index_select(0, rows)
            age = (time.max() - time).double() / SECONDS_A_DAY
            decay = torch.exp2(-age / self.half_life_days)
        counted = torch.bincount(log.item.index_select(0, rows), decay, minlength=len(self.weight))
        self.weight.copy_(counted)
        self.provenance = (Provenance.of("positives an item", split, rows),)
        self.fitted = True

    def encode(self, requests: Requests) -> Interests:
        """The same interest for everybody, [B, 1, 1]."""
        return Interests(self.weight.new_ones(len(requests), 1, 1))

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        """(Decayed) counts as vectors of width 1, [n, 1] or [V, 1]."""
        return (self.weight if items is None else self.weight.index_select(0, items)).unsqueeze(1)

    def retrieve(self, requests: Requests, k: int, dials: None = None) -> Candidates:
        """The most popular items; one without a training positive is never answered."""
        return search(self.encode(requests), self.item_vectors(), requests, k, known=self.weight > 0)
