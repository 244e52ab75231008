"""Who is asked to learn what: examples by index arithmetic, straight from the store into tensors."""

from typing import Literal

import torch
from torch import Generator, Tensor

from penchant.data.batch import Batch, offsets_of, ranges
from penchant.data.negatives import Popularity, Seen, Uniform, draw_unseen
from penchant.data.provenance import Provenance
from penchant.data.split import Split
from penchant.errors import ArgumentError

Reject = Literal["past", "positive", "all"]


def sampler(split: Split, *, alpha: float = 0.0) -> Uniform | Popularity:
    """Items seen in training, with probability proportional to their training count ** alpha.

    Args:
        split: whose training rows are counted.
        alpha: 0 uniform, 1 the training frequency.
    """
    counted = (Provenance.of("items to draw negatives from", split, split.train.rows),)
    if alpha:
        return Popularity(split.item_counts, alpha=alpha, provenance=counted)
    return Uniform(split.seen_items.nonzero().squeeze(1), len(split.log.catalogue), provenance=counted)


class Pointwise:
    """A target and a label at a time: positives (label 1), events of label 0, and sampled negatives.

    Args:
        split: the training rows of this split are the examples.
        history: newest events handed over with each example.
        negatives: sampled negatives a positive; None: 4, or 0 where the log holds labels of its own.
        alpha: negatives are drawn with probability proportional to training count ** alpha.
        reject: what a negative must not be: "past" (what the user had before the target), "positive" (any
            training positive of the user), "all" (any event of the user, future ones too: reports say so).

    The negatives of a batch of B events stand in `extra["negatives"]` [B, M], with
    `extra["negatives_weight"]` [B, M] (0 for those of an event of label 0): the user side of an event and of
    its negatives is one and the same, so a ranker encodes it once.
    """

    def __init__(
        self,
        split: Split,
        *,
        history: int = 50,
        negatives: int | None = None,
        alpha: float = 0.0,
        reject: Reject = "past",
    ) -> None:
        log = split.log
        self.split, self.history = split, history
        self.negatives = (0 if log.label is not None else 4) if negatives is None else negatives
        for name, value, least in (("history", history, 1), ("negatives", self.negatives, 0)):
            if value < least:
                raise ArgumentError(name, value, expected=f"an integer of at least {least}")
        if log.label is None and not self.negatives:
            raise ArgumentError(
                "negatives", 0, expected="at least 1 for a log without labels (it has positives only)"
            )
        self._rows = split.train.rows
        self._sampler = sampler(split, alpha=alpha) if self.negatives else None
        if reject not in ("past", "positive", "all"):
            raise ArgumentError("reject", reject, expected="'past', 'positive' or 'all'")
        self.reject = reject
        self.provenance = () if self._sampler is None else self._sampler.provenance
        if self.negatives:
            known = {
                "past": split.train.rows,
                "positive": split.train.targets,
                "all": torch.arange(len(log), device=log.device),
            }[reject]
            self._seen = Seen.of(split, known)
            self.provenance += self._seen.provenance

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, index: Tensor, generator: Generator) -> Batch:
        """Events `index` of the training rows, and negatives for the positives among them."""
        split, log = self.split, self.split.log
        index = index.to(log.device)
        rows = self._rows.index_select(0, index)
        users, target = log.user_of(rows), log.item.index_select(0, rows).long()
        label = log.positive(rows).float()
        extra: dict[str, Tensor] = {}
        if self._sampler:
            limit = rows if self.reject == "past" else torch.full_like(rows, len(log))
            drawn, good = draw_unseen(
                self._sampler, self._seen, users, limit, target, self.negatives, generator
            )
            extra = {"negatives": drawn, "negatives_weight": good.float() * label.unsqueeze(1)}
        return Batch(
            row=index, user=users, at=log.time.index_select(0, rows), target=target, label=label,
            weight=torch.ones_like(label),
            histories=split.histories(users, split.history_end(rows), self.history),
            context={name: c.index_select(0, rows) for name, c in log.columns.items()}, extra=extra,
        )  # fmt: skip


class Sequences:
    """Every position of a history at once: after event i the target is event i+1.

    Args:
        split: the training rows of this split are the targets.
        history: positions a window; a longer history is cut into windows from its newest end.
        windows: "all": every training target is learned once an epoch; "newest": only the newest window.
        negatives: items drawn for each batch, shared by its positions; 0 for none.
        alpha: they are drawn with probability proportional to training count ** alpha.
        own_negatives: items drawn for each position on its own (BCE needs one), never one of the user's
            training items.

    The target of a position is 0 (nothing to learn) where the next event is no positive, no training row, or
    shares its second with this one under ties="exclude".
    """

    def __init__(
        self,
        split: Split,
        *,
        history: int = 50,
        windows: Literal["all", "newest"] = "all",
        negatives: int = 0,
        alpha: float = 0.0,
        own_negatives: int = 0,
    ) -> None:
        for name, value, least in (
            ("history", history, 1),
            ("negatives", negatives, 0),
            ("own_negatives", own_negatives, 0),
        ):
            if value < least:
                raise ArgumentError(name, value, expected=f"an integer of at least {least}")
        if windows not in ("all", "newest"):
            raise ArgumentError("windows", windows, expected="'all' or 'newest'")
        self.split, self.negatives, self.own_negatives = split, negatives, own_negatives
        self._sampler = sampler(split, alpha=alpha) if negatives or own_negatives else None
        self._seen = Seen.of(split, split.train.rows) if own_negatives else None
        self.provenance = () if self._sampler is None else self._sampler.provenance
        self.provenance += () if self._seen is None else self._seen.provenance
        # training rows are a prefix of each user's usable rows (or all, or none): windows over targets 1..n-1
        usable_part = split.part if split.usable is None else split.part.index_select(0, split.usable)
        train_until = offsets_of(usable_part == 1)
        inputs = (
            train_until.index_select(0, split.starts[1:]) - train_until.index_select(0, split.starts[:-1]) - 1
        ).clamp_(min=0)
        count = (inputs + history - 1) // history
        if windows == "newest":
            count = count.clamp(max=1)
        owner = torch.repeat_interleave(count)
        number = ranges(torch.zeros_like(count), count)  # 0 is the newest window
        ends = (split.starts[:-1] + inputs).index_select(0, owner) - number * history
        starts = torch.maximum(ends - history, split.starts.index_select(0, owner))
        self._owner, self._starts, self._ends = owner, starts, ends

    def __len__(self) -> int:
        return len(self._owner)

    def batch(self, index: Tensor, generator: Generator) -> Batch:
        """Windows `index` as a packed batch."""
        split, log = self.split, self.split.log
        index = index.to(log.device)
        users = self._owner.index_select(0, index)
        starts, ends = self._starts.index_select(0, index), self._ends.index_select(0, index)
        histories = log.histories(starts, ends, split.usable)
        here = ranges(starts, ends - starts)
        rows = split.row_at(here + 1)
        learn = log.positive(rows) & (split.part.index_select(0, rows) == 1)
        at = log.time.index_select(0, rows)
        if split.ties == "exclude":
            assert histories.time is not None
            learn &= at != histories.time
        target = log.item.index_select(0, rows).long().masked_fill_(~learn, 0)
        extra: dict[str, Tensor] = {}
        if self.negatives:
            assert self._sampler
            drawn = self._sampler.draw(self.negatives, generator)
            extra["log_q"] = self._sampler.log_q.index_select(0, drawn).to(log.device)
            extra["negatives"] = drawn.to(log.device)
        if self.own_negatives:
            assert self._sampler
            assert self._seen
            owner = torch.repeat_interleave(users, ends - starts)
            drawn, good = draw_unseen(
                self._sampler,
                self._seen,
                owner,
                torch.full_like(rows, len(log)),
                target,
                self.own_negatives,
                generator,
            )
            extra["own_negatives"], extra["own_negatives_weight"] = drawn, good.float()
        return Batch(
            row=index, user=users, at=at, target=target, weight=torch.ones_like(target, dtype=torch.float32),
            histories=histories,
            offsets=offsets_of(ends - starts), extra=extra,
        )  # fmt: skip
