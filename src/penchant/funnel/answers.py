"""From indices and scores to tables that people read."""

import numpy as np
import polars as pl
from torch import Tensor

from penchant.data.interactions import Interactions
from penchant.data.vocabulary import UNKNOWN
from penchant.funnel.asking import Asked
from penchant.protocols import Candidates, Contribution


def _items(log: Interactions, index: np.ndarray, prefix: str = "") -> dict[str, pl.Series]:
    """Columns that name items: their ids, and titles where the log has them."""
    columns = {prefix or "item": log.catalogue.vocabulary.ids(index)}
    if log.catalogue.title is not None:
        name = f"{prefix}_title" if prefix else "title"
        columns[name] = pl.Series(name, log.catalogue.titles(index), dtype=pl.String)
    return columns


def recommendations(
    log: Interactions, asked: Asked, answer: Candidates, *, stage: str, fallback: str | None
) -> pl.DataFrame:
    """A row an item: user (or history), rank, item, title, score, stage, reason."""
    there = answer.item != 0  # [B, k]
    b, rank = there.nonzero(as_tuple=True)
    item = answer.item[there].numpy()
    frame = pl.DataFrame(
        {
            asked.names.name: asked.names.gather(pl.Series(b.numpy(), dtype=pl.Int64)),
            "rank": (rank + 1).numpy(),
            **_items(log, item),
            "score": answer.score[there].float().numpy(),
        }
    )
    popular = asked.empty if fallback is not None else np.zeros(len(asked.names), dtype=bool)  # [B]
    stages = np.where(popular[b.numpy()], f"retrieve:{fallback}", stage)
    return frame.with_columns(
        pl.Series("stage", stages.tolist(), dtype=pl.String), _reasons(asked, answer, there, popular)
    )


def _reasons(asked: Asked, answer: Candidates, there: Tensor, popular: np.ndarray) -> pl.Series:
    """Why each row is there, in words."""
    b = there.nonzero(as_tuple=True)[0].tolist()
    assert answer.origin is not None
    found = [f"found by {answer.origins[origin]}" for origin in answer.origin[there].tolist()]
    said = [_told(asked, row) for row in range(len(asked.names))]
    words = [
        f"popular: {said[row]}" if popular[row] else "; ".join(filter(None, (by, said[row])))
        for row, by in zip(b, found, strict=True)
    ]
    return pl.Series("reason", words, dtype=pl.String)


def _told(asked: Asked, row: int) -> str:
    """What a person should know of how their request was read; "" for nothing."""
    strangers = int(asked.strangers[row])
    if not asked.empty[row]:
        return f"{strangers:,} unknown item{'s' * (strangers != 1)} left out" if strangers else ""
    if strangers:
        return "no known item in the history"
    return "no history" if asked.known[row] else "user not in the log"


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
