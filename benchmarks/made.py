"""Made logs of any size: as a raw file, for what reads, and as an opened log, for what comes after.

Not of `penchant.world`, whose logs mean something: races over size need exactly so many users, histories of
known lengths (a world's follow from when people come: 1 to 200 events where 56 are the mean) and a log in
next to no time. A million events took `frame` 0.4 CPU seconds, `log` 0.03, and a world with every effect off
but popularity 2.6 (one core of a machine with two); the largest log of the races has 32 times as many. How
fast a world is, `world.py` measures.
"""

from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Generator

from penchant.data import Attributes, DataProfile, Interactions, Vocabulary, offsets_of

TYPES = {"user_id": "token", "item_id": "token", "rating": "float", "timestamp": "float"}


def frame(users: int = 20_000, items: int = 5_000, events: int = 1_000_000, seed: int = 0) -> pl.DataFrame:
    """A table in order of time: power-law items, log-normal activity, times over a year."""
    rng = np.random.default_rng(seed)
    activity = np.cumsum(rng.lognormal(size=users))
    popularity = np.cumsum(rng.permutation(1 / (np.arange(items) + 10)))
    made = pl.DataFrame(
        {
            "user_id": np.searchsorted(activity, rng.random(events) * activity[-1]) + 1,
            "item_id": np.searchsorted(popularity, rng.random(events) * popularity[-1]) + 1,
            "rating": rng.integers(1, 6, events, dtype=np.int8),
            "timestamp": 1_600_000_000 + rng.integers(0, 365 * 86_400, events),
        }
    )
    return made.sort("timestamp", maintain_order=True)


def write_atomic_file(log: pl.DataFrame, path: Path) -> Path:
    """Writes a table as RecBole's atomic file, which all peers' scripts read."""
    log.rename({name: f"{name}:{kind}" for name, kind in TYPES.items()}).write_csv(path, separator="\t")
    return path


def log(events: int, users: int, items: int = 50_000) -> Interactions:
    """Users of between half and one and a half times the mean number of events, at random items."""
    generator = Generator().manual_seed(0)
    mean = events // users
    lengths = torch.randint(mean // 2, mean * 3 // 2 + 1, (users,), generator=generator)
    offsets = torch.cat([torch.zeros(2, dtype=torch.int64), offsets_of(lengths)])
    count = int(offsets[-1])
    return Interactions(
        users=Attributes(Vocabulary(pl.Series(range(users)))),
        catalogue=Attributes(Vocabulary(pl.Series(range(items - 2)))),
        offsets=offsets,
        item=torch.randint(2, items, (count,), generator=generator, dtype=torch.int32),
        time=1_700_000_000 + torch.arange(count),
        profile=DataProfile("made for a benchmark", count, count),
    )
