"""A log that holds every kind of thing that a ranker can read."""

from dataclasses import replace

import polars as pl
import torch

from logs import log_of
from penchant.data import Attributes, Categories, Features, Interactions, Vocabulary, offsets_of
from penchant.data.batch import Requests


def labels_of(rows: list[list[int]]) -> Categories:
    """Multi-label categories from label indices (from 2) a row."""
    flat = torch.tensor([label for row in rows for label in row], dtype=torch.int32)
    names = [f"l{i}" for i in range(2, int(flat.max()) + 1)]
    return Categories(
        flat, offsets_of(torch.tensor([len(row) for row in rows])), Vocabulary(pl.Series(names))
    )


def rich_log(users: int = 6, items: int = 9) -> Interactions:
    """Users of 8 events over items 2 to 8, with labels, types, columns, and attributes of both."""
    g = torch.Generator().manual_seed(0)
    rows = torch.randint(2, items, (users, 8), generator=g).tolist()
    log = log_of(rows, items=items, labels=[[float(i % 3 > 0) for i in range(8)]] * users)
    n = len(log)
    year = torch.tensor([torch.nan, torch.nan, 1990, 1995, 2000, torch.nan, 2010, 2000, 1999][:items])
    age = torch.tensor([torch.nan, torch.nan, 20, 30, 40, torch.nan, 60, 35])
    genres = labels_of([[], [], [2, 3], [2], [4], [], [3, 4], [2, 3, 4], [4]])
    catalogue = replace(log.catalogue, categories={"genres": genres}, numbers={"year": year})
    people = Attributes(
        log.users.vocabulary,
        {"job": labels_of([[], [], [2], [3], [2], [4], [], [3]])},
        {"age": age},
    )
    columns = {"hour": torch.rand(n, generator=g) * 24, "device": (2 + torch.arange(n) % 3).to(torch.int32)}
    return replace(
        log,
        users=people,
        catalogue=catalogue,
        event=(2 + torch.arange(n) % 2).to(torch.int16),
        events=Vocabulary(pl.Series(["view", "buy"])),
        columns=columns,
        column_labels={"device": Vocabulary(pl.Series(["phone", "desk", "tv"]))},
    )


def requests_of(log: Interactions, ends: list[int]) -> Requests:
    """User u + 2 of the log asked before its event `ends[u]`."""
    users = torch.arange(2, 2 + len(ends))
    starts = log.offsets.index_select(0, users)
    stops = starts + torch.tensor(ends)
    row = stops.clamp(max=len(log) - 1)
    context = {name: column.index_select(0, row) for name, column in log.columns.items()}
    return Requests(users, log.histories(starts, stops), log.time.index_select(0, row), context)


def bare(features: Features) -> Features:
    """The sizes alone, as someone without the store has them."""
    return Features(items=features.items, users=features.users)
