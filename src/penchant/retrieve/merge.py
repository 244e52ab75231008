"""One candidate list from several retrievers."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from penchant.errors import ArgumentError
from penchant.nn.topk import topk
from penchant.protocols import Candidates

RANK_OFFSET = 60.0


def merge(found: Mapping[str, Candidates], k: int, *, weights: Sequence[float] | None = None) -> Candidates:
    """The best k of what several retrievers found, each item once, by weighted reciprocal ranks.

    An item's score is the sum over retrievers of weight / (60 + rank): scores of different models are never
    compared, only their orders. A single retriever's list and scores come back as they are.

    Args:
        found: each retriever's candidates [B, k_r], by name.
        k: how many to keep.
        weights: one a retriever; all 1 by default.

    Returns: candidates with `origin`, the retriever that ranked an item highest (the first of equals).

    Source: Cormack et al. 2009 (reciprocal rank fusion, constant 60).
    """
    names = tuple(found)
    if weights is not None and len(weights) != len(names):
        raise ArgumentError("weights", weights, expected=f"one weight for each of {', '.join(names)}")
    if len(names) == 1:
        only = found[names[0]]
        item, score = only.item[:, :k], only.score[:, :k]
        return Candidates(item, score, torch.zeros_like(item), names)
    item = torch.cat([c.item for c in found.values()], 1)  # [B, S]
    origin = _columns([torch.full((c.item.shape[1],), n) for n, c in enumerate(found.values())], item)
    rank = _columns([torch.arange(c.item.shape[1]) for c in found.values()], item)
    weight = item.new_tensor(weights or [1.0] * len(names), dtype=torch.float64)
    value = weight[origin] / (RANK_OFFSET + 1 + rank.double())

    order = (item * (int(rank.max()) + 1) + rank).argsort(
        dim=1, stable=True
    )  # equal items side by side, best rank first
    item, origin, value = item.gather(1, order), origin.gather(1, order), value.gather(1, order)
    first = torch.ones_like(item, dtype=torch.bool)
    first[:, 1:] = item[:, 1:] != item[:, :-1]
    group = first.long().cumsum(1) - 1
    total = torch.zeros_like(value).scatter_add_(1, group, value).gather(1, group)
    score, place = topk(total.float().masked_fill(~first | (item == 0), -torch.inf), k)
    empty = score == -torch.inf
    return Candidates(
        item.gather(1, place).masked_fill(empty, 0),
        score,
        origin.gather(1, place).masked_fill(empty, 0),
        names,
    )


def _columns(parts: list[Tensor], like: Tensor) -> Tensor:
    return torch.cat(parts).to(like.device).expand_as(like)
