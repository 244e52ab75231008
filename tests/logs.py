"""Small logs for tests, made in memory without the reader."""

import polars as pl
import torch
from hypothesis import strategies as st
from torch import Generator

from penchant.data import Attributes, Categories, DataProfile, Interactions, Vocabulary, offsets_of


def log_of(
    histories: list[list[int]],
    *,
    times: list[list[int]] | None = None,
    labels: list[list[float]] | None = None,
    items: int | None = None,
    genres: list[list[int]] | None = None,
    has_time: bool = True,
) -> Interactions:
    """A log from one list of item indices (from 2) a user; user u's index is u + 2.

    `times` default to 1,000,000 + 60 s an event; `genres[i]` are label indices (from 2) of item i + 2.
    """
    count = items or max((i for h in histories for i in h), default=2) + 1
    lengths = torch.tensor([0, 0, *map(len, histories)])
    flat = [
        t
        for n, h in enumerate(histories)
        for t in (times[n] if times else [1_000_000 + 60 * i for i in range(len(h))])
    ]
    if not has_time:
        flat = [i for h in histories for i in range(len(h))]
    categories = {}
    if genres is not None:
        table = [[], [], *genres]
        categories["genres"] = Categories(
            torch.tensor([g for row in table for g in row], dtype=torch.int32),
            offsets_of(torch.tensor([len(row) for row in table])),
            Vocabulary(pl.Series([f"g{i}" for i in range(2, 1 + max(g for row in table for g in row) + 1)])),
        )
    catalogue = Attributes(Vocabulary(pl.Series([f"i{i}" for i in range(2, count)])), categories)
    n = int(lengths.sum())
    return Interactions(
        users=Attributes(Vocabulary(pl.Series([f"u{u + 2}" for u in range(len(histories))]))),
        catalogue=catalogue,
        offsets=offsets_of(lengths),
        item=torch.tensor([i for h in histories for i in h], dtype=torch.int32),
        time=torch.tensor(flat, dtype=torch.int64),
        profile=DataProfile("made in a test", n, n),
        has_time=has_time,
        label=torch.tensor([x for row in labels for x in row]) if labels else None,
    )


def random_log(
    users: int = 40,
    items: int = 30,
    *,
    mean: int = 12,
    seed: int = 0,
    labels: bool = False,
    taste: float = 0.0,
) -> Interactions:
    """Users with 2 to 2 * mean events over `items` items at random; with `taste`, item i tends to be followed
    by i + 1."""
    g = Generator().manual_seed(seed)
    histories: list[list[int]] = []
    for _ in range(users):
        n = int(torch.randint(3, 2 * mean, (1,), generator=g))
        row = [int(torch.randint(2, items + 2, (1,), generator=g))]
        for _ in range(n - 1):
            follow = float(torch.rand(1, generator=g)) < taste
            row.append(
                (row[-1] - 1) % items + 2 if follow else int(torch.randint(2, items + 2, (1,), generator=g))
            )
        histories.append(row)
    start = torch.randint(0, 10_000_000, (users,), generator=g).tolist()
    times = [
        [10_000_000 + s + 3_600 * i for i in range(len(h))] for s, h in zip(start, histories, strict=True)
    ]
    outcome = [[float(torch.rand(1, generator=g) < 0.6) for _ in h] for h in histories] if labels else None
    genres = [[2 + i % 4] for i in range(items)]
    return log_of(histories, times=times, labels=outcome, items=items + 2, genres=genres)


@st.composite
def event_frames(draw: st.DrawFn, *, ties: bool = True) -> pl.DataFrame:
    """Event tables with columns u, i, t: few users and items, so that repeats, duplicates and ties are
    frequent.

    Without `ties` no two events share their second.
    """
    count = draw(st.integers(1, 40))
    start = draw(st.sampled_from([0, 1_600_000_000]))
    offsets = st.integers(0, 8 if ties else 10_000)
    ids = st.integers(0, 5) | st.sampled_from([-3, 10**12])
    return pl.DataFrame(
        {
            "u": draw(st.lists(ids, min_size=count, max_size=count)),
            "i": draw(st.lists(ids, min_size=count, max_size=count)),
            "t": draw(st.lists(offsets, min_size=count, max_size=count, unique=not ties)),
        }
    ).with_columns(pl.col("t") + start)
