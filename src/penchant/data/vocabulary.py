"""External ids <-> dense indices."""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import polars as pl

from penchant.errors import ArgumentError

PADDING, UNKNOWN, FIRST = 0, 1, 2
_FEW = 256  # below this many ids a binary search each beats one hash join over the whole vocabulary


class Vocabulary:
    """A dictionary from external ids to dense indices: 0 padding, 1 unknown, ids from 2 in the order given.

    It is append-only: `append` never renumbers. It is no statistic: which ids a model may know is for the
    split to say.

    Args:
        ids: unique, non-null integers or strings, in index order.

    Raises: ArgumentError if an id is null or stands twice, or if the ids are neither integers nor strings.

    >>> v = Vocabulary(pl.Series(["b", "a"]))
    >>> len(v), v.index(["a", "zebra"]).tolist(), v.ids([2, 1]).to_list()
    (4, [3, 1], ['b', None])
    """

    def __init__(self, ids: pl.Series) -> None:
        if ids.dtype.is_integer():
            ids = ids.cast(pl.Int64)
        elif ids.dtype != pl.String:
            raise ArgumentError("ids", ids.dtype, expected="integers or strings")
        if ids.null_count():
            raise ArgumentError("ids", None, expected="no null id")
        if ids.n_unique() != len(ids):
            twice = ids.filter(ids.is_duplicated())
            raise ArgumentError("ids", twice[0], expected="every id once")
        self._set(len(ids), ids.dtype, lambda: ids, None)

    def _set(
        self, count: int, dtype: pl.DataType, load: Callable[[], pl.Series], order: np.ndarray | None,
        digest: str | None = None,
    ) -> None:  # fmt: skip
        self._count, self._dtype, self._load, self._stored_order = count, dtype, load, order
        self._stored_digest = digest

    @classmethod
    def trusted(cls, ids: pl.Series) -> "Vocabulary":
        """From ids that are known to be right (Int64 or String, unique, not null): no pass over them."""
        return cls.stored(len(ids), ids.dtype, lambda: ids)

    @classmethod
    def stored(
        cls, count: int, dtype: pl.DataType, load: Callable[[], pl.Series], order: np.ndarray | None = None,
        digest: str | None = None,
    ) -> "Vocabulary":  # fmt: skip
        """From a store, which is not touched before an id is asked for.

        Args:
            count: how many ids.
            dtype: Int64 or String.
            load: reads them.
            order: [count] positions of the ids in ascending order; None: found out when needed.
            digest: see `digest`; None: likewise.
        """
        vocabulary = cls.__new__(cls)
        vocabulary._set(count, dtype, load, order, digest)
        return vocabulary

    def __len__(self) -> int:
        """The number of rows an embedding table needs: all ids, padding and unknown."""
        return self._count + FIRST

    def __repr__(self) -> str:
        return f"Vocabulary({self._count:,} ids, {self._dtype})"

    @property
    def dtype(self) -> pl.DataType:
        """Int64 or String."""
        return self._dtype

    @cached_property
    def all_ids(self) -> pl.Series:
        """The external ids in index order (index 2 first)."""
        return self._load().alias("id")

    @cached_property
    def order(self) -> np.ndarray:
        """Positions of the ids in ascending order, [count]."""
        return self.all_ids.arg_sort().to_numpy() if self._stored_order is None else self._stored_order

    @cached_property
    def digest(self) -> str:
        """The same for the same ids in the same order, wherever they are from."""
        if self._stored_digest is not None:
            return self._stored_digest
        found = hashlib.sha256(f"{self._count} {self._dtype}".encode())
        if self._dtype == pl.String and self._count:
            arrow = self.all_ids.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())  # offsets and bytes
            _, offsets, text = arrow.buffers()
            ends = np.frombuffer(offsets, dtype=np.int64)[arrow.offset : arrow.offset + self._count + 1]
            found.update((ends - ends[0]).data)
            found.update(memoryview(text)[ends[0] : ends[-1]] if text else b"")
        else:
            found.update(np.ascontiguousarray(self.all_ids.to_numpy()).data)
        return found.hexdigest()

    def index(self, ids: Sequence[object] | np.ndarray | pl.Series) -> np.ndarray:
        """Dense indices [n] int64 of external ids; 1 where unknown or null."""
        wanted = pl.Series("id", ids, strict=False)
        if wanted.dtype != self.dtype:
            if wanted.dtype.is_float():  # 7.0 is 7, but 7.5 is nobody
                wanted = wanted.set(wanted != wanted.floor(), None).cast(pl.Int64, strict=False)
            wanted = wanted.cast(self.dtype, strict=False)
        if len(wanted) > _FEW:
            known = pl.DataFrame({"id": self.all_ids, "index": np.arange(FIRST, len(self), dtype=np.int64)})
            found = wanted.to_frame().join(known, on="id", how="left", maintain_order="left")
            return found["index"].fill_null(UNKNOWN).to_numpy()
        return np.array([self._find(value) for value in wanted], dtype=np.int64)

    def _find(self, value: object) -> int:
        if value is None:
            return UNKNOWN
        ids, order = self.all_ids, self.order
        place = bisect_left(range(len(order)), value, key=lambda i: ids[int(order[i])])  # type: ignore[type-var]
        if place == len(order) or ids[int(order[place])] != value:
            return UNKNOWN
        return int(order[place]) + FIRST

    def ids(self, index: Sequence[int] | np.ndarray) -> pl.Series:
        """External ids of dense indices [n]; null for padding and unknown."""
        place = np.asarray(index, dtype=np.int64) - FIRST
        if place.size and place.max() >= self._count:
            raise ArgumentError("index", int(place.max()) + FIRST, expected=f"an index below {len(self)}")
        nothing = place < 0
        if nothing.all():  # also where there are no ids to gather from
            return pl.Series("id", [None] * len(place), dtype=self.dtype)
        return self.all_ids.gather(pl.Series(np.where(nothing, 0, place))).set(pl.Series(nothing), None)

    def append(self, ids: pl.Series) -> "Vocabulary":
        """A vocabulary with the new ids behind the old ones; ids already known are left where they are."""
        fresh = ids.cast(self.dtype).unique(maintain_order=True).drop_nulls().alias("id")
        fresh = fresh.filter(self.index(fresh) == UNKNOWN)
        return Vocabulary.trusted(pl.concat([self.all_ids, fresh])) if len(fresh) else self


def number(ids: pl.Series) -> tuple[np.ndarray, Vocabulary]:
    """The vocabulary of a column in order of first appearance, and the index of every row.

    Args:
        ids: Int64 or String; null is unknown.

    Returns: indices [n] int32 and the vocabulary.

    >>> index, vocabulary = number(pl.Series([7, 3, 7]))
    >>> index.tolist(), vocabulary.all_ids.to_list()
    ([2, 3, 2], [7, 3])
    """
    if ids.null_count():
        known = ids.is_not_null().to_numpy()
        index = np.full(len(ids), UNKNOWN, dtype=np.int32)
        index[known], vocabulary = number(ids.drop_nulls())
        return index, vocabulary
    if ids.dtype == pl.Int64 and len(ids):
        low, high = ids.min(), ids.max()
        assert isinstance(low, int)
        assert isinstance(high, int)
        if high - low < max(4 * len(ids), 1 << 16):
            return _number_dense(ids.to_numpy(), low, high - low + 1)
    encoded = ids.rechunk().to_arrow().dictionary_encode()  # in order of first appearance
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    unique = pl.Series(encoded.dictionary).cast(ids.dtype)
    return codes.astype(np.int32) + np.int32(FIRST), Vocabulary.trusted(unique)


def _number_dense(ids: np.ndarray, low: int, span: int) -> tuple[np.ndarray, Vocabulary]:
    """The same by a table over the whole range of the ids: faster than hashing (benchmarks/pieces.py)."""
    shifted = ids - low
    first = np.full(span, len(ids), dtype=np.int64)
    first[shifted[::-1]] = np.arange(len(ids) - 1, -1, -1)  # the last assignment of an id is its first row
    there = np.flatnonzero(first < len(ids))
    there = there[np.argsort(first[there])]
    index = np.zeros(span, dtype=np.int32)
    index[there] = np.arange(FIRST, FIRST + len(there), dtype=np.int32)
    return index[shifted], Vocabulary.trusted(pl.Series(there + low))
