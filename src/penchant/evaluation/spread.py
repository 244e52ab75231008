"""Fewer questions that say as much: some queries, evenly spread over all."""

from dataclasses import replace

import torch
from torch import Tensor

from penchant.data.batch import Ragged, offsets_of, ranges
from penchant.data.split import Queries


def spread(queries: Queries, count: int) -> Queries:
    """At most `count` queries, evenly spread over all."""
    if len(queries) <= count:
        return queries
    index = torch.arange(count) * len(queries) // count
    parts = {name: getattr(queries, name).index_select(0, index) for name in ("user", "end", "at", "row")}
    given = queries.candidates
    return replace(
        queries,
        **parts,
        targets=_lists(queries.targets, index),
        candidates=None if given is None else _lists(given, index),
    )


def _lists(lists: Ragged, index: Tensor) -> Ragged:
    lengths = lists.lengths.index_select(0, index)
    return Ragged(lists.values[ranges(lists.offsets.index_select(0, index), lengths)], offsets_of(lengths))
