"""The best k of all items for each request: exact, in blocks, under the request's own rules."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from penchant.data.batch import Histories, Ragged, Requests
from penchant.data.vocabulary import FIRST
from penchant.errors import ArgumentError
from penchant.nn.topk import topk
from penchant.protocols import Candidates, Interests

_CHUNK_SCORES = 1 << 19  # scores a block: 2 MiB in float32, so that masks and top-k find them in cache
_CHUNK_SCORES_GPU = 1 << 28
_CHUNK_ROWS = 16  # ... but not fewer rows than a matrix product needs to be efficient


@torch.no_grad()
def search(
    interests: Interests,
    item_vectors: Tensor,
    requests: Requests,
    k: int,
    *,
    known: Tensor | None = None,
    chunk: int | None = None,
) -> Candidates:
    """Items of the largest score: the maximum over a user's interests of (vector . item vector + log prior).

    Args:
        interests: user vectors, one row a request; a user without a valid interest is answered nothing.
        item_vectors: the whole table.
        requests: whose `eligible` and `exclude` are obeyed.
        k: answers wanted; fewer come, padded with item 0, where fewer are allowed.
        known: items that may be answered at all; padding and the unknown item never are. None for all others.
        chunk: requests at a time; None to fit the cache. It bounds memory to chunk x K x V scores.

    Shapes: interests.vectors [B, K, D], item_vectors [V, D], known [V] bool.
    """
    vectors, valid, prior = interests.vectors, interests.valid, interests.log_prior
    count, width = vectors.shape[1:]
    items = item_vectors.T

    def score(begin: int, stop: int) -> Tensor:
        mine = vectors[begin:stop]
        if count == 1:  # one product, nothing to take a maximum of
            found = mine.squeeze(1) @ items  # [b, V]
            if prior is not None:
                found += prior[begin:stop]
            return found if valid is None else found.masked_fill_(~valid[begin:stop], -torch.inf)
        each = (mine.reshape(-1, width) @ items).view(len(mine), count, -1)  # [b, K, V]
        if prior is not None:
            each += prior[begin:stop].unsqueeze(-1)
        if valid is not None:
            each.masked_fill_(~valid[begin:stop].unsqueeze(-1), -torch.inf)
        return each.amax(1)

    if len(vectors) != len(requests):
        raise ArgumentError(
            "interests", list(vectors.shape), expected=f"one row for each of {len(requests)} requests"
        )
    size = chunk if chunk is not None else fitting(item_vectors.shape[0] * count, vectors.device)
    return best(score, item_vectors.shape[0], requests, k, known=known, chunk=size)


def similar(item_vectors: Tensor, items: Tensor, k: int, *, known: Tensor | None = None) -> Candidates:
    """The nearest other items of each of `items` [n], by the cosine of their vectors [V, D]."""
    unit = F.normalize(item_vectors, dim=1)
    return search(Interests(unit.index_select(0, items).unsqueeze(1)), unit, others(items), k, known=known)


def others(items: Tensor) -> Requests:
    """Requests for neighbours of `items` [n]: each excludes the item itself."""
    none = items.new_zeros(len(items) + 1)
    each = Ragged(items, torch.arange(len(items) + 1, device=items.device))
    return Requests(torch.ones_like(items), Histories(none, items[:0]), torch.zeros_like(items), exclude=each)


def fitting(scores: int, device: torch.device) -> int:
    """Requests a block where one has this many scores."""
    whole = _CHUNK_SCORES if device.type == "cpu" else _CHUNK_SCORES_GPU
    return max(_CHUNK_ROWS, whole // max(scores, 1))


@torch.no_grad()
def best(
    score: Callable[[int, int], Tensor],
    size: int,
    requests: Requests,
    k: int,
    *,
    known: Tensor | None = None,
    chunk: int,
) -> Candidates:
    """The k best items of scores that are made block by block.

    Args:
        score: gives the scores [b, V] of requests begin:stop, which this function may overwrite.
        size: V.
        requests: whose `eligible` and `exclude` are obeyed.
        k: answers wanted.
        known: items that may be answered at all, [V] bool.
        chunk: requests at a time.
    """
    for name, value in (("k", k), ("chunk", chunk)):
        if value < 1:
            raise ArgumentError(name, value, expected="an integer of at least 1")
    device = requests.users.device
    eligible, exclude = requests.eligible, requests.exclude
    allowed = torch.ones(size, dtype=torch.bool, device=device) if known is None else known.clone()
    allowed[:FIRST] = False
    if eligible is not None and eligible.dim() == 1:
        allowed &= eligible
    floor = torch.zeros(size, device=device).masked_fill_(~allowed, -torch.inf)
    bounds = None if exclude is None else exclude.offsets.tolist()
    found: list[tuple[Tensor, Tensor]] = []
    for begin in range(0, len(requests), chunk):
        stop = min(begin + chunk, len(requests))
        scores = score(begin, stop)
        scores += floor  # a sum costs a tenth of a masked fill
        if eligible is not None and eligible.dim() == 2:
            scores.masked_fill_(~eligible[begin:stop], -torch.inf)
        if exclude is not None and bounds is not None:
            values = exclude.values[bounds[begin] : bounds[stop]].long()
            lengths = exclude.offsets[begin : stop + 1].diff()
            owner = torch.repeat_interleave(lengths, output_size=len(values))
            scores.view(-1).index_fill_(0, owner * size + values, -torch.inf)
        found.append(topk(scores, k))
    if not found:
        empty = requests.users.new_zeros(0, k)
        return Candidates(empty, empty.float())
    return Candidates(
        torch.cat([item for _, item in found]), torch.cat([value for value, _ in found]).float()
    )
