"""The one order of every user's events: time, then file order (or a seeded hash where that follows an id)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

_PAIRS, _SHARE = (
    100,
    0.95,
)  # tied neighbours, and how many of them ascend, before file order is called an id's


@dataclass(frozen=True)
class Order:
    """How the rows of a file become a log.

    Attributes:
        rows: [K] file rows in the log's order, duplicates left out; None: the file is in that order.
        duplicates: rows left out because the same user, item, time and event stands in an earlier one.
        follows: "ascending" or "descending" where file order within ties followed the item id, else "".
    """

    rows: np.ndarray | None
    duplicates: int = 0
    follows: str = ""


def order_events(
    user: np.ndarray,
    item: np.ndarray,
    event: np.ndarray | None,
    ticks: np.ndarray | None,
    item_ids: pl.Series,
    *,
    seed: int,
) -> Order:
    """Sorts a log by user, time, and file order (or a hash), and finds duplicates.

    Args:
        user: [N] int32 indices.
        item: [N] int32 indices, from 2.
        event: [N] int16 types, or None.
        ticks: [N] int64 times, or None: each user's events stay in file order and none is a duplicate.
        item_ids: external ids in index order: what file order within ties is compared with.
        seed: of the hash.
    """
    rows = sorted_rows(user, ticks)
    if ticks is None or len(user) < 2:
        return Order(rows)
    users, times = take(user, rows), take(ticks, rows)
    same = (users[1:] == users[:-1]) & (times[1:] == times[:-1])  # as the row before, [N-1]
    if not same.any():
        return Order(rows)
    rows = np.arange(len(user)) if rows is None else rows
    # Only rows within ties matter from here on: `tied` are their places in the log's order.
    tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
    run = np.cumsum(~np.insert(same, 0, False)[tied])
    twice = _duplicates(run, item[rows[tied]], None if event is None else event[rows[tied]])
    if twice.any():
        keep = np.ones(len(rows), dtype=bool)
        keep[tied[twice]] = False
        place = np.cumsum(keep) - 1
        rows, tied, run = rows[keep], place[tied[~twice]], run[~twice]
    follows = follows_id(run, item[rows[tied]], item_ids) or ""
    if follows:
        chosen = rows[tied]
        rows[tied] = chosen[_hashed(run, user[chosen], item[chosen], seed)]
    return Order(rows, int(np.count_nonzero(twice)), follows)


def take(values: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
    """The values [N] at `rows`; all of them where that is None."""
    return values if rows is None else np.take(values, rows)


def sorted_rows(user: np.ndarray, ticks: np.ndarray | None) -> np.ndarray | None:
    """Rows [N] in the order of user, time and file order; None where they are in that order already.

    All three are packed into one 64-bit key whose plain sort brings the rows along (np.sort is vectorised,
    np.argsort hardly so); where they need more bits, time and then user is sorted so.
    """
    count = len(user)
    if count < 2:
        return None
    ticks = None if ticks is None or bool((ticks[1:] >= ticks[:-1]).all()) else ticks - ticks.min()
    bits_user, bits_row = int(user.max()).bit_length(), (count - 1).bit_length()
    if ticks is None:
        if bool((user[1:] >= user[:-1]).all()):
            return None
        return _sorted([(user, bits_user)], bits_row)
    keys = [(user, bits_user), (ticks, int(ticks.max()).bit_length())]
    if sum(bits for _, bits in keys) + bits_row <= 63:
        return _sorted(keys, bits_row)
    by_time = _sorted(keys[1:], bits_row)
    return by_time[_sorted([(user[by_time], bits_user)], bits_row)]


def _sorted(keys: list[tuple[np.ndarray, int]], bits_row: int) -> np.ndarray:
    """Rows in the order of `keys`, most significant first, then of the row."""
    if sum(bits for _, bits in keys) + bits_row > 63:
        return np.lexsort([key for key, _ in reversed(keys)])
    packed = np.zeros(len(keys[0][0]), dtype=np.int64)
    for key, bits in keys:
        packed = (packed << bits) | key
    packed = (packed << bits_row) | np.arange(len(packed))
    packed.sort()
    return packed & ((1 << bits_row) - 1)


def _duplicates(run: np.ndarray, item: np.ndarray, event: np.ndarray | None) -> np.ndarray:
    """Rows whose run, item and event stand in an earlier row."""
    keys = {"run": run, "item": item} | ({} if event is None else {"event": event})
    bits = [int(key.max()).bit_length() for key in keys.values()]
    if sum(bits) <= 63:
        packed = np.zeros(len(run), dtype=np.int64)
        for key, width in zip(keys.values(), bits, strict=True):
            packed = (packed << width) | key
        first = pl.Series(packed).is_first_distinct()
    else:
        first = pl.DataFrame(keys).select(pl.struct(pl.all()).is_first_distinct()).to_series()
    return ~first.to_numpy()


def follows_id(run: np.ndarray, item: np.ndarray, item_ids: pl.Series) -> str | None:
    """Whether tied rows go with the item id: "ascending", "descending", or "" for neither.

    Ids are compared as numbers where they are numbers, else as text; text that ends in a number by that too.

    Args:
        run: [n] number of the tie that a row belongs to.
        item: [n] indices, from 2.
        item_ids: external ids in index order.

    Returns: None where there are too few ties to tell.
    """
    neighbours = (run[1:] == run[:-1]) & (item[1:] != item[:-1])
    count = int(np.count_nonzero(neighbours))
    if count < _PAIRS:
        return None
    before, after = item[:-1][neighbours] - 2, item[1:][neighbours] - 2
    for rank in _ranks(item_ids):
        share = np.count_nonzero(rank[after] > rank[before]) / count
        if share >= _SHARE or share <= 1 - _SHARE:
            return "ascending" if share >= _SHARE else "descending"
    return ""


def _ranks(ids: pl.Series) -> Iterator[np.ndarray]:
    """Where each id stands among all of them, in every order that a file may be sorted by."""
    if ids.dtype != pl.String:
        yield _places(ids.to_frame("id"))
        return
    numbers = ids.cast(pl.Int64, strict=False)
    if not numbers.null_count():
        yield _places(numbers.to_frame("id"))
        return
    yield _places(ids.to_frame("id"))
    ends = ids.str.extract_groups(r"^(?<text>.*?)(?<number>\d{1,18})$").struct.unnest()
    if not ends["number"].null_count():  # item_9 before item_10
        yield _places(ends.with_columns(pl.col("number").cast(pl.Int64)))


def _places(keys: pl.DataFrame) -> np.ndarray:
    """The place of each row in the order of all columns."""
    rank = np.empty(len(keys), dtype=np.int64)
    rank[keys.select(pl.arg_sort_by(keys.columns)).to_series().to_numpy()] = np.arange(len(keys))
    return rank


def _hashed(run: np.ndarray, user: np.ndarray, item: np.ndarray, seed: int) -> np.ndarray:
    """The order of tied rows by run, then a hash of (user, item, seed), then file order."""
    packed = (user.astype(np.uint64) << np.uint64(32)) | item.astype(np.uint64)
    start = splitmix64(np.array([seed % 2**64], dtype=np.uint64))
    key = splitmix64(packed ^ start) >> np.uint64(1)
    return np.lexsort([key.astype(np.int64), run])


def splitmix64(values: np.ndarray) -> np.ndarray:
    """A well-mixed 64-bit hash of each of `values` [n] uint64.

    Source: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators", figure 16.
    """
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
