"""Histories and requests for tests, from plain lists of items."""

import torch

from penchant.data import Histories, Ragged, Requests, offsets_of


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
    hidden = None
    if exclude is not None:
        flat = torch.tensor([item for row in exclude for item in row], dtype=torch.long)
        hidden = Ragged(flat, offsets_of(torch.tensor([len(row) for row in exclude], dtype=torch.long)))
    histories = histories_of(rows, event=event, label=label)
    at = torch.full((len(rows),), 2_000_000)
    return Requests(torch.ones(len(rows), dtype=torch.long), histories, at, {}, eligible, hidden)
