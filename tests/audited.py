"""What tests of the audit share: batches, leaks planted into them, what was found."""

from dataclasses import replace

import polars as pl
import torch
from torch import Generator

from logs import log_of
from penchant.data import (
    Histories,
)
from penchant.data.split import TRAIN


def whole(examples, *, seed=0):
    """All examples as one batch."""
    return examples.batch(torch.arange(len(examples)), Generator().manual_seed(seed))


def one(found, kind):
    (finding,) = [finding for finding in found.violations if finding.kind is kind]
    return finding


def kinds(found):
    return {finding.kind for finding in found.violations}


def with_histories(batch, rows, split):
    """The batch with log rows `rows[b]` as the history of each example."""
    flat = torch.tensor([row for some in rows for row in some], dtype=torch.long)
    lengths = torch.tensor([len(some) for some in rows])
    log = split.log
    whole_log = Histories(log.offsets, log.item, log.time, log.event, log.history_columns)
    return replace(
        batch, histories=whole_log.take(flat, torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]))
    )


def rows_before(split, *, extra):
    """For every training row, its own history and `extra(row)` rows behind."""
    log, owner = split.log, split.log.user.tolist()
    return [
        [*range(int(log.offsets[owner[row]]), row), *extra(row, owner)] for row in split.train.rows.tolist()
    ]


def later_row(batch, split):
    def next_one(row, owner):
        return [row + 1] if row + 1 < len(owner) and owner[row + 1] == owner[row] else []

    # without the target itself, so that the later row is what is found
    return with_histories(batch, rows_before(split, extra=next_one), split)


def tied_log(order):
    """Users who do four things a second; `order` puts the items of a second in theirs."""
    g = Generator().manual_seed(1)
    rows = [
        [i for _ in range(5) for i in order((torch.randperm(30, generator=g)[:4] + 2).tolist())]
        for _ in range(40)
    ]
    times = [[1_000 + 60 * (n // 4) for n in range(20)] for _ in range(40)]
    log = log_of(rows, times=times, items=32)
    ids = pl.Series(list(range(100, 130)))
    vocabulary = type(log.catalogue.vocabulary)(ids)
    return replace(log, catalogue=replace(log.catalogue, vocabulary=vocabulary))


def everything(split):
    """The split with all rows to train on."""
    return replace(split, part=torch.full_like(split.part, TRAIN))


def solved(model, split):
    model.solve(split)
    return model


def prepared(model, split):
    model.prepare(split)
    return model
