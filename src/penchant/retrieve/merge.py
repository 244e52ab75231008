"""One candidate list from several retrievers."""

from collections.abc import Mapping, Sequence
from math import inf
from numbers import Real

import torch

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
        weights: one a retriever, 0 or more and not all 0; all 1 by default.

    Returns: candidates with `origin`, the retriever that counted most for an item (the first of equals).
    Raises: ArgumentError if the weights do not fit the retrievers, or are out of range.

    Source: Cormack et al. 2009 (reciprocal rank fusion, constant 60).
    """
    names = tuple(found)
    if weights is not None:
        check_weights(weights, names)
    if len(names) == 1:
        only = found[names[0]]
        item, score = only.item[:, :k], only.score[:, :k]
        return Candidates(item, score, torch.zeros_like(item), names)
    item = torch.cat([c.item for c in found.values()], 1)  # [B, S]
    widths = [c.item.shape[1] for c in found.values()]
    origin = torch.cat([torch.full((width,), n) for n, width in enumerate(widths)]).to(item.device)  # [S]
    rank = torch.cat([torch.arange(width) for width in widths]).to(item.device)
    weight = item.new_tensor(weights or [1.0] * len(names), dtype=torch.float64)
    value = weight[origin] / (RANK_OFFSET + 1 + rank.double())

    place = value.argsort(descending=True, stable=True).argsort()  # of each column among all
    order = (item * len(place) + place).argsort(dim=1)  # equal items side by side, what counts most first
    item, origin, value = item.gather(1, order), origin[order], value[order]
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


def check_weights(weights: Sequence[float], names: Sequence[str]) -> None:
    """Refuses weights that cannot be used.

    Args:
        weights: how much each retriever counts.
        names: the retrievers.

    Raises: ArgumentError unless there is one number for each, of 0 or more, and not all are 0.
    """
    if isinstance(weights, str) or not isinstance(weights, Sequence) or len(weights) != len(names):
        raise ArgumentError("weights", weights, expected=f"one weight for each of {', '.join(names)}")
    numbers = all(isinstance(w, Real) and not isinstance(w, bool) and 0 <= w < inf for w in weights)
    if not numbers or not any(weights):
        raise ArgumentError("weights", weights, expected="numbers of 0 or more, not all of them 0")
