"""What every system of an evaluation is asked alike, and what one of them answers, query by query."""

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from penchant.data.batch import Ragged, offsets_of
from penchant.data.split import Queries
from penchant.errors import ArgumentError, SplitError
from penchant.evaluation.beyond import (
    category_coverage,
    category_entropy,
    intra_list_diversity,
    novelty,
    serendipity,
)
from penchant.evaluation.estimates import Floats
from penchant.evaluation.impressions import device_of
from penchant.evaluation.published import with_masked
from penchant.evaluation.ranking import candidate_recall, ranking_metrics
from penchant.evaluation.result import Setting, SystemResult
from penchant.evaluation.runs import Run
from penchant.protocols import Retriever, Staged, window_of


@dataclass(frozen=True, eq=False)
class Questions:
    """What every system is asked, with what is the same for all of them.

    Attributes:
        asked: the queries.
        setting: the conditions.
        eligible: which items may be answered, [V] bool; None for all.
        batch_size: queries asked at once.
    """

    asked: Queries
    setting: Setting
    eligible: Tensor | None
    batch_size: int

    @property
    def users(self) -> np.ndarray:
        """Whose query each is, [Q]."""
        return self.asked.user.numpy()

    @property
    def depth(self) -> int:
        """The list length at which variety and use of the catalogue are measured."""
        return 10 if 10 in self.setting.cutoffs else self.setting.cutoffs[-1]

    def window(self, model: Retriever) -> int | None:
        """The newest events that a model reads under these conditions; None for all."""
        windows = [length for length in (window_of(model), self.setting.history) if length is not None]
        return min(windows, default=None)


def askable(asked: Queries, eligible: Tensor | None) -> tuple[Queries, dict[str, int]]:
    """The queries with a target that can be answered, and how many others there were."""
    if eligible is None:
        return asked, {}
    good = eligible.index_select(0, asked.targets.values)
    counts = torch.zeros(len(asked), dtype=torch.int64).index_add_(0, asked.targets.owner, good.long())
    keep = (counts > 0).nonzero().squeeze(1)
    if len(keep) == len(asked) and bool(good.all()):
        return asked, {}
    if not len(keep):
        raise SplitError(
            "no held-out item occurs in the training rows.\n  Fix: candidates='all', or another split."
        )
    targets = Ragged(asked.targets.values[good], offsets_of(counts))
    left_out = {"queries whose every target is unseen in training": len(asked) - len(keep)}
    if unseen := int((~good).sum()) - left_out["queries whose every target is unseen in training"]:
        left_out["further targets unseen in training"] = max(unseen, 0)
    return replace(asked, targets=targets).rows(keep), {name: n for name, n in left_out.items() if n}


def masked_targets(questions: Questions) -> int:
    """How many targets stand in the histories that are masked, and so cannot be hit."""
    asked, setting = questions.asked, questions.setting
    if not setting.exclude_seen or setting.masked_score is not None:
        return 0
    size, found = len(asked.split.log.catalogue), 0
    offsets, owner = asked.targets.offsets, asked.targets.owner
    for begin, stop in asked.chunks(questions.batch_size):
        exclude = asked.requests(begin, stop, exclude_seen=True, history=1).exclude
        if exclude is None:
            return 0
        some = slice(int(offsets[begin]), int(offsets[stop]))
        wanted = (owner[some] - begin) * size + asked.targets.values[some]
        found += int(torch.isin(wanted, (exclude.owner * size + exclude.values.long()).cpu()).sum())
    return found


@torch.no_grad()
def _answers(model: Retriever, questions: Questions) -> tuple[dict[str, Tensor], float]:
    """Every stage's lists [Q, K], and the seconds it took."""
    depth = questions.setting.cutoffs[-1]
    score = questions.setting.masked_score
    if isinstance(model, Staged | Run) and score is not None:
        what = "system of stages, which merges ranks" if isinstance(model, Staged) else "run, which is a list"
        raise ArgumentError("setting", f"masked_score={score:g}", expected=f"None for a {what}")
    parts: dict[str, list[Tensor]] = {}
    device = device_of(model)
    began = time.perf_counter()
    for begin, stop in questions.asked.chunks(questions.batch_size):
        requests = questions.asked.requests(
            begin, stop, exclude_seen=questions.setting.exclude_seen, history=questions.window(model)
        )
        requests = replace(requests, eligible=questions.eligible).to(device)
        stages = (
            model.stages(requests, _staged_depth(model, depth))
            if isinstance(model, Staged)
            else {"": with_masked(model.retrieve(requests, depth), requests, score)}
        )
        for stage, answer in stages.items():
            parts.setdefault(stage, []).append(answer.item.cpu())
    seconds = time.perf_counter() - began
    return {stage: torch.cat([_wide(x, depth) for x in lists]) for stage, lists in parts.items()}, seconds


def _staged_depth(model: Staged, depth: int) -> int:
    """How much to ask of the last stage: of merged candidates all, so that no cut is taken for a loss."""
    return depth if model.ranker is not None else max(depth, int(getattr(model, "candidates", depth)))


def _wide(items: Tensor, depth: int) -> Tensor:
    """At least `depth` columns, 0 where there is no item."""
    return items if items.shape[1] >= depth else torch.nn.functional.pad(items, (0, depth - items.shape[1]))


def ask(name: str, model: Retriever, questions: Questions) -> SystemResult:
    """One system's lists and its values per query."""
    stages, seconds = _answers(model, questions)
    asked, cutoffs = questions.asked, questions.setting.cutoffs
    lists = list(stages.values())[-1][:, : cutoffs[-1]]
    per_query: dict[str, Floats] = ranking_metrics(lists, asked.targets, cutoffs=cutoffs)
    if questions.setting.bootstrap:
        per_query |= _variety(lists[:, : questions.depth], asked, questions.depth)
    recalls = {
        stage: {f"recall@{items.shape[1]}": float(np.nanmean(candidate_recall(items, asked.targets)))}
        for stage, items in stages.items()
        if stage
    }
    if recalls and list(stages.values())[-1].shape[1] > lists.shape[1]:
        recalls["list"] = {
            f"recall@{lists.shape[1]}": float(np.nanmean(candidate_recall(lists, asked.targets)))
        }
    return SystemResult(name, {}, per_query, stages=recalls, lists=lists, seconds=seconds)


def _variety(lists: Tensor, asked: Queries, depth: int) -> dict[str, Floats]:
    """How varied and how novel each list is, by the catalogue's first category, else by its first vectors."""
    split, catalogue = asked.split, asked.split.log.catalogue
    found = {f"novelty@{depth}": novelty(lists, split.item_counts)}
    found[f"serendipity@{depth}"] = serendipity(lists, asked.targets, split.item_counts, split.seen_items)
    traits = [categories.padded for categories in list(catalogue.categories.values())[:1]]
    for table in traits:
        found[f"category_entropy@{depth}"] = category_entropy(lists, table)
        found[f"category_coverage@{depth}"] = category_coverage(lists, table)
    for table in [*traits, *catalogue.vectors.values()][:1]:
        found[f"intra_list_diversity@{depth}"] = intra_list_diversity(lists, table)
    return found
