"""How well lists find their targets: Recall, HitRate, Precision, NDCG, MRR and MAP of every query.

All six are sums over *hits* (a target that stands in its query's list, and where), and hits are few: each
list is sorted, the targets are searched in it, and all that follows costs as much as there are targets.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from penchant.data.batch import Ragged
from penchant.errors import ArgumentError, nearest

_CHUNK = 2**20  # list places looked at in one go: 8 MB of keys


class _Hits(NamedTuple):
    """Targets that stand in their lists, ordered by query and place.

    query [H]; place [H], 0 is the top; nth [H], how many hits of its query stand above; targets [Q], how many
    distinct ones each query has.
    """

    query: NDArray[np.int64]
    place: NDArray[np.int64]
    nth: NDArray[np.int64]
    targets: NDArray[np.int64]


def _hits(lists: Tensor, targets: Ragged) -> _Hits:
    table = lists.detach().cpu().numpy().astype(np.int64, copy=False)
    if table.ndim != 2:
        raise ArgumentError("lists", list(lists.shape), expected="shape [Q, K]")
    queries, length = table.shape
    wanted = _target_keys(targets, queries)
    count = np.bincount(wanted >> 32, minlength=queries)
    if table.size == 0 or wanted.size == 0:
        none = np.zeros(0, np.int64)
        return _Hits(none, none, none, count)
    if (low := int(table.min())) < 0 or int(table.max()) >= 2**31:
        wrong = low if low < 0 else int(table.max())
        raise ArgumentError("lists", wrong, expected="item indices of 0 (no item) to 2**31 - 1")
    bits = length.bit_length()
    rows = max(1, _CHUNK // length)
    bounds = np.searchsorted(wanted, np.arange(0, queries + rows, rows) << 32)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for chunk, first in enumerate(range(0, queries, rows)):
        ordered = (table[first : first + rows] << bits) | np.arange(length)
        ordered.sort(axis=1)
        items = (ordered >> bits) | (np.arange(first, first + len(ordered))[:, None] << 32)
        if ((items[:, 1:] == items[:, :-1]) & (items[:, 1:] & 0xFFFFFFFF > 0)).any():
            raise ArgumentError("lists", "an item twice in one list", expected="lists of distinct items")
        keys, sought = items.reshape(-1), wanted[bounds[chunk] : bounds[chunk + 1]]
        at = np.searchsorted(keys, sought).clip(max=len(keys) - 1)
        at = at[keys[at] == sought]
        found.append((keys[at] >> 32, ordered.reshape(-1)[at] & ((1 << bits) - 1)))
    query, place = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((place, query))
    query, place = query[order], place[order]
    nth = np.arange(len(query)) - np.searchsorted(query, query)
    return _Hits(query, place, nth, count)


def _target_keys(targets: Ragged, queries: int) -> NDArray[np.int64]:
    """Each distinct target of each query as `query << 32 | item`, ascending."""
    values, offsets = (part.detach().cpu().numpy().astype(np.int64, copy=False) for part in targets)
    if offsets.shape != (queries + 1,):
        raise ArgumentError("targets.offsets", list(offsets.shape), expected=f"shape [{queries + 1}], Q + 1")
    lengths = np.diff(offsets)
    if offsets[0] != 0 or offsets[-1] != len(values) or (lengths < 0).any():
        raise ArgumentError("targets.offsets", offsets, expected=f"numbers that rise from 0 to {len(values)}")
    if len(values) and ((low := int(values.min())) < 1 or int(values.max()) >= 2**31):
        wrong = low if low < 1 else int(values.max())
        raise ArgumentError("targets.values", wrong, expected="item indices of 1 to 2**31 - 1 (0 is padding)")
    keys = (np.repeat(np.arange(queries), lengths) << 32) | values
    keys.sort()
    return keys[np.diff(keys, prepend=-1) > 0]


def _per_query(hits: _Hits, gain: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.bincount(hits.query, gain, len(hits.targets))
    return sums.astype(np.float64, copy=False)  # integers where there is no hit


def _found(hits: _Hits) -> NDArray[np.float64]:
    return _per_query(hits, np.ones(len(hits.query)))


def _ndcg(hits: _Hits, cutoff: int) -> NDArray[np.float64]:
    discounts = 1.0 / np.log2(np.arange(2, cutoff + 2))
    ideal = np.concatenate([[0.0], discounts.cumsum()])[np.minimum(hits.targets, cutoff)]
    return _per_query(hits, discounts[hits.place]) / ideal


# Of the hits above the cutoff.
_METRICS: dict[str, Callable[[_Hits, int], NDArray[np.float64]]] = {
    "recall": lambda hits, _: _found(hits) / hits.targets,
    "hit_rate": lambda hits, _: np.minimum(_found(hits), 1.0),
    "precision": lambda hits, cutoff: _found(hits) / cutoff,
    "ndcg": _ndcg,
    "mrr": lambda hits, _: _per_query(hits, (hits.nth == 0) / (hits.place + 1)),
    "map": lambda hits, _: _per_query(hits, (hits.nth + 1) / (hits.place + 1)) / hits.targets,
}
RANKING_METRICS = tuple(_METRICS)


def ranking_metrics(
    lists: Tensor,
    targets: Ragged,
    cutoffs: Sequence[int] = (5, 10, 20),
    *,
    metrics: Sequence[str] = RANKING_METRICS,
) -> dict[str, NDArray[np.float64]]:
    """Measures lists against targets, query by query.

    With rel_i = 1 where place i (from 1) of the list holds a target, k the cutoff, T the distinct targets:

    - recall@k = sum_{i<=k} rel_i / T
    - hit_rate@k = 1 if any rel_i with i <= k, else 0
    - precision@k = sum_{i<=k} rel_i / k, also where the list is shorter than k
    - ndcg@k = sum_{i<=k} rel_i / log2(i + 1), over the same sum for a list that begins with all T targets
    - mrr@k = 1 / (the first i <= k with rel_i = 1), 0 where there is none
    - map@k = sum_{i<=k} rel_i precision@i / T: by T even where T > k, so that it may not reach 1

    Args:
        lists: items, best first; 0 holds a place and is no item. A list may be shorter than a cutoff: what is
            not there is not found.
        targets: the right answers; one named twice counts once.
        cutoffs: list lengths to measure at.
        metrics: which of `RANKING_METRICS`.

    Shapes: lists [Q, K] int64; targets values [T], offsets [Q+1]. Returns [Q] float64 by name ("recall@10"),
        NaN where a query has no target: nobody can answer it, so it is no part of any mean.
    Raises: ArgumentError if a list holds an item twice, a target is 0, offsets do not fit, a cutoff is below
        1 or a metric is unknown.
    Source: the definitions are those of ranx (Bassani 2022), on binary relevance.

    >>> import torch
    >>> targets = Ragged(torch.tensor([5, 7]), torch.tensor([0, 2]))
    >>> found = ranking_metrics(torch.tensor([[7, 3, 5]]), targets, [3])
    >>> {name: round(float(values[0]), 3) for name, values in found.items()}
    {'recall@3': 1.0, 'hit_rate@3': 1.0, 'precision@3': 0.667, 'ndcg@3': 0.92, 'mrr@3': 1.0, 'map@3': 0.833}
    """
    if wrong := [cutoff for cutoff in cutoffs if cutoff < 1]:
        raise ArgumentError("cutoffs", wrong[0], expected="integers of at least 1")
    if unknown := [name for name in metrics if name not in _METRICS]:
        hint = nearest(unknown[0], RANKING_METRICS)
        raise ArgumentError("metrics", unknown[0], expected=f"a ranking metric ({hint})")
    hits = _hits(lists, targets)
    values: dict[str, NDArray[np.float64]] = {}
    for cutoff in cutoffs:
        top = hits.place < cutoff
        above = _Hits(hits.query[top], hits.place[top], hits.nth[top], hits.targets)
        with np.errstate(invalid="ignore"):  # 0 / 0 where there is no target
            for name in metrics:
                values[f"{name}@{cutoff}"] = np.where(hits.targets > 0, _METRICS[name](above, cutoff), np.nan)
    return values


def candidate_recall(candidates: Tensor, targets: Ragged) -> NDArray[np.float64]:
    """The share of its targets that each query still has among its candidates: the most a later stage can
    find.

    Args:
        candidates: items in any order, 0 for none.
        targets: the right answers.

    Shapes: candidates [Q, C] int64; returns [Q] float64, NaN where a query has no target.
    Raises: ArgumentError as `ranking_metrics` does.

    >>> import torch
    >>> targets = Ragged(torch.tensor([9, 3]), torch.tensor([0, 2]))
    >>> candidate_recall(torch.tensor([[4, 9, 0]]), targets).tolist()
    [0.5]
    """
    hits = _hits(candidates, targets)
    with np.errstate(invalid="ignore"):
        return _found(hits) / hits.targets
