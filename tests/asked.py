"""Ragged rows, histories and requests for tests, from plain lists of items."""

from collections.abc import Iterable, Sequence

import torch

from penchant.data import Histories, Ragged, Requests, offsets_of


def ragged(rows: Iterable[Sequence[int]]) -> Ragged:
    """Lists of items, one a row."""
    rows = list(rows)
    items = torch.tensor([item for row in rows for item in row], dtype=torch.long)
    return Ragged(items, offsets_of(torch.tensor([len(row) for row in rows], dtype=torch.long)))


def histories_of(
    rows: list[list[int]],
    *,
    event: bool = False,
    label: list[list[float]] | None = None,
    begin: int = 1_000_000,
) -> Histories:
    """One history a row from the second `begin` on, a minute an event; `event`: types 2 and 3."""
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
    items = torch.tensor([item for row in rows for item in row], dtype=torch.int32)
    time = torch.tensor([begin + 60 * i for row in rows for i in range(len(row))], dtype=torch.long)
    kind = torch.tensor([2 + i % 2 for row in rows for i in range(len(row))], dtype=torch.int16)
    columns = {} if label is None else {"label": torch.tensor([x for row in label for x in row])}
    return Histories(offsets_of(lengths), items, time, kind if event else None, columns)


def asked(
    rows: list[list[int]],
    *,
    event: bool = False,
    label: list[list[float]] | None = None,
    eligible: torch.Tensor | None = None,
    exclude: list[list[int]] | None = None,
) -> Requests:
    """One anonymous request a row, a day after the last event."""
    hidden = None if exclude is None else ragged(exclude)
    histories = histories_of(rows, event=event, label=label)
    at = torch.full((len(rows),), 2_000_000)
    return Requests(torch.ones(len(rows), dtype=torch.long), histories, at, {}, eligible, hidden)
