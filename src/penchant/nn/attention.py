"""Causal self-attention over packed sequences."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from penchant.data.batch import offsets_of, ranges

_RATIO = 1.5  # longest to shortest sequence of a bucket
_SHORT = 8  # below this length, buckets cost more than padding


@dataclass(frozen=True, eq=False)
class Bucket:
    """Neighbouring sequences of like length, as a rectangle.

    Attributes:
        rows: packed rows that they have.
        count, length: sequences, and rows of the longest.
        source: [count * length] which of those rows each cell of the rectangle shows; a padding cell shows
            any. None where all are equally long: the rows are the rectangle.
        cell: [rows] where each row stands in the rectangle; None likewise.
    """

    rows: int
    count: int
    length: int
    source: Tensor | None
    cell: Tensor | None


@dataclass(frozen=True, eq=False)
class Packing:
    """The order in which a model goes through packed sequences: longest first, cut into buckets.

    All that works row by row (norms, products, losses) never sees padding; attention alone pads, inside a
    bucket whose longest sequence is at most 1.5 times (or 8 rows) as long as its shortest.

    Attributes:
        row: [T] the given row that each packed row is; None where the given order is kept.
        back: [T] the packed row that each given row is; None likewise.
        place: [T] position of each packed row in its sequence, from 0.
        order: [B'] the given number of each packed sequence; those without events are left out.
        newest: [B'] the packed row of its newest event.
        buckets: neighbours in that order.
    """

    row: Tensor | None
    back: Tensor | None
    place: Tensor
    order: Tensor
    newest: Tensor
    buckets: tuple[Bucket, ...]

    @classmethod
    def of(cls, offsets: Tensor) -> "Packing":
        """The packing of sequences `offsets[b]:offsets[b+1]`, [B+1]."""
        given = offsets.diff()
        order = torch.argsort(given, descending=True, stable=True)[: int((given > 0).sum())]
        lengths = given.index_select(0, order)
        starts = offsets_of(lengths)
        place = ranges(torch.zeros_like(lengths), lengths)
        if torch.equal(given[: len(lengths)], lengths):
            row = back = None
        else:
            row = ranges(offsets[:-1].index_select(0, order), lengths)
            back = torch.empty_like(row)
            back[row] = torch.arange(len(row), device=row.device)
        buckets = _buckets(lengths.tolist(), starts.tolist(), place)
        return cls(row, back, place, order, starts[1:] - 1, tuple(buckets))

    def pack(self, values: Tensor) -> Tensor:
        """Given rows [T, ...] as packed ones."""
        return values if self.row is None else values.index_select(0, self.row)

    def unpack(self, values: Tensor) -> Tensor:
        """Packed rows [T, ...] as given ones."""
        return values if self.back is None else values.index_select(0, self.back)


def causal_attention(
    query: Tensor, key_value: Tensor, packing: Packing, heads: int, dropout: float = 0.0
) -> Tensor:
    """Scaled dot-product attention of each row over itself and what came before it in its sequence.

    Args:
        query: packed rows.
        key_value: their keys, then their values.
        packing: which rows belong together.
        heads: how many, each of D / heads columns.
        dropout: share of attention weights that are set to 0, the others being scaled up; on a CPU it rules
            out the fused computation.

    Shapes: query [T, D], key_value [T, 2D]; returns [T, D].
    """
    sizes = [b.rows for b in packing.buckets]  # `split`: slices would each fill a gradient of all rows
    pieces = zip(packing.buckets, query.split(sizes), key_value.split(sizes), strict=True)
    parts = [_rectangle(q, kv, bucket, heads, dropout) for bucket, q, kv in pieces]
    return parts[0] if len(parts) == 1 else torch.cat([query[:0], *parts])


def last_attention(query: Tensor, key_value: Tensor, packing: Packing, heads: int) -> Tensor:
    """As `causal_attention`, for the newest row of each sequence alone.

    Shapes: query [B', D], one row a sequence with events, longest first; key_value [T, 2D]; returns [B', D].
    """
    buckets, parts = packing.buckets, list[Tensor]()
    queries, pairs = query.split([b.count for b in buckets]), key_value.split([b.rows for b in buckets])
    for b, mine, pair in zip(buckets, queries, pairs, strict=True):
        key, value = _pad(pair, b).view(b.count, b.length, 2, heads, -1).permute(2, 0, 3, 1, 4)
        mask = None
        if b.cell is not None:  # hides the cells behind a shorter sequence's end
            mask = torch.zeros(b.count * b.length, dtype=torch.bool, device=query.device)
            mask = mask.index_fill_(0, b.cell, value=True).view(b.count, 1, 1, b.length)
        asked = mine.view(b.count, 1, heads, -1).transpose(1, 2)
        found = F.scaled_dot_product_attention(asked, key, value, attn_mask=mask)
        parts.append(found.transpose(1, 2).reshape(b.count, -1))
    return parts[0] if len(parts) == 1 else torch.cat([query[:0], *parts])


def cached_attention(
    query: Tensor, cache: Tensor, owner: Tensor, offset: Tensor, place: Tensor, heads: int
) -> Tensor:
    """Attention of new rows over cached ones: each looks at its sequence's rows up to its own place.

    Args:
        query: the new rows.
        cache: keys, then values, of all rows, those of the new ones included.
        owner: the sequence of each new row.
        offset: its number among the new rows of its sequence.
        place: its place in the cache.
        heads: how many.

    Shapes: query [T', D], cache [B, L, 2D], owner, offset, place [T']; returns [T', D].
    """
    if not len(query):
        return query
    users, window = cache.shape[:2]
    most = int(offset.max()) + 1
    cell = owner * most + offset
    q = query.new_zeros(users * most, query.shape[1]).index_copy(0, cell, query).view(users, most, heads, -1)
    upto = place.new_zeros(users * most).index_copy(0, cell, place).view(users, 1, most, 1)
    mask = (
        torch.arange(window, device=place.device) <= upto
    )  # [B, 1, N, L]; a cell without a row looks at place 0
    key, value = cache.view(users, window, 2, heads, -1).permute(2, 0, 3, 1, 4)
    found = F.scaled_dot_product_attention(q.transpose(1, 2), key, value, attn_mask=mask)
    return found.transpose(1, 2).reshape(users * most, -1).index_select(0, cell)


def _buckets(lengths: list[int], starts: list[int], place: Tensor) -> list[Bucket]:
    """Cuts sequences, longest first, where they become too short for the rectangle: one step a bucket."""
    found: list[Bucket] = []
    first = 0
    while first < len(lengths):
        longest = lengths[first]
        least = 1 if longest <= _SHORT else longest / _RATIO
        low, high = first + 1, len(lengths)  # the first sequence that is shorter than `least`
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if lengths[middle] >= least else (low, middle)
        begin, end, count = starts[first], starts[low], low - first
        source = cell = None
        if lengths[low - 1] < longest:
            owner = torch.repeat_interleave(place.new_tensor(lengths[first:low]), output_size=end - begin)
            cell = owner * longest + place[begin:end]
            source = place.new_zeros(count * longest).index_copy_(
                0, cell, torch.arange(end - begin, device=place.device)
            )
        found.append(Bucket(end - begin, count, longest, source, cell))
        first = low
    return found


def _rectangle(query: Tensor, key_value: Tensor, bucket: Bucket, heads: int, dropout: float) -> Tensor:
    """Attention inside one bucket: right padding means that no real row looks at a padding cell."""
    count, length = bucket.count, bucket.length
    q = _pad(query, bucket).view(count, length, heads, -1).transpose(1, 2)  # [n, H, L, D/H]
    k, v = _pad(key_value, bucket).view(count, length, 2, heads, -1).permute(2, 0, 3, 1, 4)
    found = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropout)
    found = found.transpose(1, 2).reshape(count * length, -1)
    return found if bucket.source is None else _Move.apply(found, bucket.cell, bucket.source)  # type: ignore[no-any-return]


def _pad(rows: Tensor, bucket: Bucket) -> Tensor:
    return rows if bucket.source is None else _Move.apply(rows, bucket.source, bucket.cell)  # type: ignore[no-any-return]


def gather_once(rows: Tensor, index: Tensor) -> Tensor:
    """Rows [n, D] at ascending, distinct `index` [m]: the gradient is moved, not summed up."""
    if len(index) == len(rows):
        return rows
    return _Move.apply(rows, index, None)  # type: ignore[no-any-return]


class _Move(Function):
    """Rows to cells or back. As each row has one cell, a gradient is moved instead of summed up."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor, back: Tensor | None) -> Tensor:
        ctx.save_for_backward(index, back)
        ctx.rows = len(values)
        return values.index_select(0, index)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        index, back = ctx.saved_tensors
        if back is not None and len(back) <= len(index):  # rows went to cells: padding cells have no say
            return grad.index_select(0, back), None, None
        return grad.new_zeros(ctx.rows, grad.shape[1]).index_copy_(0, index, grad), None, None
