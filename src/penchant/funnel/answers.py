"""From indices and scores to tables that people read."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import torch
from torch import Tensor

from penchant.data.interactions import Interactions
from penchant.data.vocabulary import FIRST, UNKNOWN
from penchant.funnel.asking import Asked
from penchant.funnel.lists import RULES, Listed
from penchant.funnel.rules import Terms
from penchant.protocols import Candidates, Contribution


def _items(log: Interactions, index: np.ndarray, prefix: str = "") -> dict[str, pl.Series]:
    """Columns that name items: their ids, and titles where the log has them."""
    columns = {prefix or "item": log.catalogue.vocabulary.ids(index)}
    if log.catalogue.title is not None:
        name = f"{prefix}_title" if prefix else "title"
        columns[name] = pl.Series(name, log.catalogue.titles(index), dtype=pl.String)
    return columns


def recommendations(
    log: Interactions,
    asked: Asked,
    answer: Candidates,
    *,
    stage: str,
    fallback: str | None,
    listed: Listed | None = None,
    terms: Terms | None = None,
    causes: Tensor | None = None,
) -> pl.DataFrame:
    """A row an item: user (or history), rank, item, title, score, stage, reason.

    Args:
        log: whose ids and titles are shown.
        asked: who asked.
        answer: the lists.
        stage: which made them.
        fallback: the retriever that alone answers who has no history.
        listed: what pins and quotas did to them.
        terms: those pins and quotas.
        causes: [B, k] the item of the history that speaks most for each answer, 0 for none; None: unasked.
    """
    there = answer.item != 0  # [B, k]
    b, rank = there.nonzero(as_tuple=True)
    item = answer.item[there].numpy()
    pinned = np.zeros(len(item), dtype=bool) if listed is None else listed.pinned[there].numpy()
    frame = pl.DataFrame(
        {
            asked.names.name: asked.names.gather(pl.Series(b.numpy(), dtype=pl.Int64)),
            "rank": (rank + 1).numpy(),
            **_items(log, item),
            "score": pl.Series(answer.score[there].float().numpy()).set(pl.Series(pinned), None),
        }
    )
    popular = asked.empty if fallback is not None else np.zeros(len(asked.names), dtype=bool)  # [B]
    stages = np.where(popular[b.numpy()], f"retrieve:{fallback}", stage)
    parts = [_found(asked, answer, there, popular, pinned), _moves(listed, terms, there)]
    parts += [_because(log, causes[there], pinned)] if causes is not None else []
    reason = ["; ".join(filter(None, words)) for words in zip(*parts, strict=True)]
    return frame.with_columns(
        pl.Series("stage", np.where(pinned, RULES, stages).tolist(), dtype=pl.String),
        pl.Series("reason", reason, dtype=pl.String),
    )


def _found(
    asked: Asked, answer: Candidates, there: Tensor, popular: np.ndarray, pinned: np.ndarray
) -> list[str]:
    """Where each row comes from, in words, and what its reader should know of the request."""
    b = there.nonzero(as_tuple=True)[0].tolist()
    assert answer.origin is not None
    origins = answer.origin[there].tolist()
    said = [_told(asked, row) for row in range(len(asked.names))]
    words: list[str] = []
    for row, origin, pin in zip(b, origins, pinned.tolist(), strict=True):
        if popular[row] and not pin:
            words.append(f"popular: {said[row]}")
        else:
            by = "pinned" if pin else f"found by {answer.origins[origin]}"
            words.append("; ".join(filter(None, (by, said[row]))))
    return words


def _moves(listed: Listed | None, terms: Terms | None, there: Tensor) -> list[str]:
    """What rules did to the place of each row, in words; "" where they did nothing."""
    if listed is None or terms is None:
        return [""] * int(there.sum())
    passed = [(terms.caps[name].words, rows[there].tolist()) for name, rows in listed.passed.items()]
    moved, deeper = listed.moved[there].tolist(), listed.deeper[there].tolist()
    words: list[str] = []
    for row, (places, deep) in enumerate(zip(moved, deeper, strict=True)):
        quotas = ", ".join(quota for quota, rows in passed if rows[row])
        by = f"quota {quotas}" if quotas and places >= 0 else "pinned items"
        if deep:
            words.append(f"moved up by {by}")
        else:
            words.append(f"moved {'up' if places > 0 else 'down'} {abs(places):,} by {by}" if places else "")
    return words


def _because(log: Interactions, causes: Tensor, pinned: np.ndarray) -> list[str]:
    """The titles of the items [n] that speak most for each row; "" where none does or it was pinned."""
    titles = log.catalogue.titles(causes.numpy())
    told = (causes.numpy() != 0) & ~pinned
    return [f"because of {title}" if tell else "" for title, tell in zip(titles, told, strict=True)]


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


def strongest(said: Sequence[Contribution]) -> Tensor:
    """The item that speaks most for each answer [n]: its largest value above 0; 0 where there is none."""
    lengths = torch.tensor([len(each.item) for each in said])
    best = torch.zeros(len(said), dtype=torch.int64)
    if not int(lengths.sum()):
        return best
    owner = torch.repeat_interleave(torch.arange(len(said)), lengths)
    item = torch.cat([each.item for each in said]).long().cpu()
    value = torch.cat([each.value for each in said]).float().cpu()
    speaks = (item >= FIRST) & (value > 0)
    owner, item, value = owner[speaks], item[speaks], value[speaks]
    order = value.sort(descending=True, stable=True).indices
    order = order[owner[order].sort(stable=True).indices]  # by answer; of each, what counts most first
    owner, item = owner[order], item[order]
    first = torch.ones_like(owner, dtype=torch.bool)
    first[1:] = owner[1:] != owner[:-1]
    best[owner[first]] = item[first]
    return best


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
