"""Embedding tables that know which rows were trained."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from penchant.data.provenance import Provenance
from penchant.data.split import Split
from penchant.data.vocabulary import FIRST, UNKNOWN


class ItemTable(nn.Module):
    """One vector an item; items that no training row holds read the unknown row.

    Args:
        items: V, padding (row 0, always zero) and unknown (row 1) included.
        width: D.
        std: of the initial weights.
        sparse: gradients as touched rows only: the cost of a step does not grow with V. Not under exact
            softmax.
        generator: what the initial weights are drawn from.
    """

    known: Tensor
    provenance: tuple[Provenance, ...] = ()

    def __init__(
        self, items: int, width: int, *, std: float, generator: Generator, sparse: bool = False
    ) -> None:
        super().__init__()
        self.sparse = sparse
        self.weight = nn.Parameter(torch.empty(items, width))
        self.register_buffer("known", torch.arange(items) >= FIRST)
        with torch.no_grad():
            nn.init.normal_(self.weight, std=std, generator=generator)
            self.weight[0] = 0.0

    def prepare(self, split: Split) -> None:
        """Remember which items occur in training rows."""
        self.known.copy_(split.seen_items)
        self.provenance = (Provenance.of("known items", split, split.train.rows),)

    def rows(self, items: Tensor) -> Tensor:
        """The rows that `items` read: their own, 1 for an item not known, 0 for padding; int64."""
        items = items.long()
        known = self.known.index_select(0, items.reshape(-1)).view(items.shape)
        return torch.where(known, items, items.clamp(max=UNKNOWN))

    def forward(self, items: Tensor) -> Tensor:
        """Vectors [..., D] of `items` [...]; zero, without gradient, for padding."""
        return F.embedding(self.rows(items), self.weight, padding_idx=0, sparse=self.sparse)


class CategoryTable(nn.Module):
    """The mean of the label vectors of a multi-label attribute; zero where an item has no label.

    Args:
        table: labels [V, M] of every item, 0 where there are fewer than M.
        labels: number of labels, padding and unknown included.
        width: D.
        std: of the initial weights.
        generator: what they are drawn from.
    """

    table: Tensor

    def __init__(self, table: Tensor, labels: int, width: int, *, std: float, generator: Generator) -> None:
        super().__init__()
        self.register_buffer("table", table, persistent=False)  # an attribute table: stored once a bundle
        self.weight = nn.Parameter(torch.empty(labels, width))
        with torch.no_grad():
            nn.init.normal_(self.weight, std=std, generator=generator)
            self.weight[0] = 0.0

    def forward(self, items: Tensor) -> Tensor:
        """[..., D] of `items` [...]."""
        most = self.table.shape[1]
        labels = self.table.index_select(0, items.reshape(-1)).view(*items.shape, most)  # [..., M]
        vectors = F.embedding(labels, self.weight, padding_idx=0)  # [..., M, D]
        return vectors.sum(-2) / (labels > 0).sum(-1, keepdim=True).clamp(min=1)
