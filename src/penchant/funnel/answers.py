"""From indices and scores to tables that people read."""

import numpy as np
import polars as pl
import torch
from torch import Tensor

from penchant.data.interactions import Interactions
from penchant.data.vocabulary import UNKNOWN
from penchant.funnel.asking import Asked
from penchant.protocols import Candidates, Contribution


def _items(log: Interactions, index: np.ndarray, prefix: str = "") -> dict[str, pl.Series | list[str]]:
    """Columns that name items: their ids, and titles where the log has them."""
    columns: dict[str, pl.Series | list[str]] = {prefix or "item": log.catalogue.vocabulary.ids(index)}
    if log.catalogue.title is not None:
        columns[f"{prefix}_title" if prefix else "title"] = log.catalogue.titles(index)
    return columns


def recommendations(
    log: Interactions, asked: Asked, answer: Candidates, *, stage: str, fallback: str | None
) -> pl.DataFrame:
    """A row an item: user, rank, item, title, score, stage, reason."""
    there = answer.item != 0  # [B, k]
    b, rank = there.nonzero(as_tuple=True)
    item = answer.item[there].numpy()
    frame = pl.DataFrame(
        {
            "user": asked.names.gather(pl.Series(b.numpy())),
            "rank": (rank + 1).numpy(),
            **_items(log, item),
            "score": answer.score[there].float().numpy(),
        }
    )
    return frame.with_columns(pl.lit(stage).alias("stage"), _reasons(asked, answer, there, fallback))


def _reasons(asked: Asked, answer: Candidates, there: Tensor, fallback: str | None) -> pl.Series:
    """Why each row is there, in words."""
    b = there.nonzero(as_tuple=True)[0]
    empty = (asked.requests.histories.lengths == 0)[b].numpy()
    known = torch.from_numpy(asked.known)[b].numpy()
    if answer.origin is None:
        found = np.full(len(b), "", dtype=object)
    else:
        names = np.array([f"found by {name}" for name in answer.origins], dtype=object)
        found = names[answer.origin[there].numpy()]
    popular = "popular: " if fallback is not None else ""
    found = np.where(empty & known, f"{popular}no history", found)
    found = np.where(empty & ~known, f"{popular}user not in the log", found)
    return pl.Series("reason", found.tolist(), dtype=pl.String)


def contributions(log: Interactions, said: Contribution, stage: str) -> pl.DataFrame:
    """One row a history event, the strongest first."""
    item = said.item.long().numpy()
    frame = pl.DataFrame({**_items(log, item), "value": said.value.float().numpy()})
    frame = frame.with_columns(pl.lit(said.kind).alias("kind"), pl.lit(stage).alias("stage"))
    return frame.filter(pl.Series(item >= UNKNOWN)).sort(
        pl.col("value").abs(), descending=True, maintain_order=True
    )


def similar_items(log: Interactions, asked: Tensor, found: Candidates, stage: str) -> pl.DataFrame:
    """One row an answer: item, title, rank, similar, similar_title, score, stage."""
    there = found.item != 0
    b, rank = there.nonzero(as_tuple=True)
    frame = pl.DataFrame(
        {
            **_items(log, asked[b].numpy()),
            "rank": (rank + 1).numpy(),
            **_items(log, found.item[there].numpy(), "similar"),
            "score": found.score[there].float().numpy(),
        }
    )
    return frame.with_columns(pl.lit(stage).alias("stage"))
