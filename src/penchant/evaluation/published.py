"""Evaluations that published tables were made with, by name: what was asked, and under which conditions.

A figure is worth comparing with another only where both answer the same questions. `setting("s3rec")` states
every choice behind the tables of S3-Rec and its successors; `evaluate(model, part, setting=...)` keeps to it,
and every result prints it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from penchant.data.batch import Requests, moved
from penchant.data.interactions import Interactions
from penchant.data.split import Part, Queries, Split
from penchant.data.splitting import split_leave_last
from penchant.data.vocabulary import FIRST
from penchant.errors import ArgumentError, SplitError, nearest
from penchant.evaluation.result import Setting
from penchant.nn.topk import tie_order
from penchant.protocols import Candidates

__all__ = [
    "RECBOLE_LOO",
    "RECTOOLS_LOO",
    "S3REC",
    "CandidateSet",
    "PublishedSetting",
    "eligible_items",
    "setting",
    "with_masked",
]

CandidateSet = Literal["seen", "earlier", "all"]


@dataclass(frozen=True)
class PublishedSetting:
    """How a published table was made, less the model.

    All of them hold every user's last event out for testing and the one before for validation, learn from
    the rest, and rank all items; histories hold what comes before the target, so at the test the validation
    event too.

    Attributes:
        name: to ask for it by.
        source: where the choices were read.
        candidates: which items may be answered and asked for, as `evaluate` has it.
        exclude_seen: whether items of the history are masked, for whatever position.
        masked_score: what a masked item scores in others' code; None: it is never answered.
        repeats: whether a target that the user had before is asked about. Where those items are masked it
            can only be missed.
        cutoffs: list lengths.
        history: newest events that a system may read; None for all.
    """

    name: str
    source: str
    candidates: CandidateSet
    exclude_seen: bool
    masked_score: float | None = None
    repeats: bool = True
    cutoffs: tuple[int, ...] = (5, 10, 20)
    history: int | None = 50

    def __str__(self) -> str:
        return self.name

    def split(self, log: Interactions) -> Split:
        """The log in train, validation and test rows as the table had them."""
        return split_leave_last(log, k=1)

    def queries(self, part: Part) -> tuple[Queries, Mapping[str, int]]:
        """The questions of a part, and how many were left out, by reason.

        Raises: SplitError if the split is not one that this setting can be asked on.
        """
        split = part.split
        asked = part(at="each")
        alone = len(torch.unique_consecutive(asked.user)) == len(asked)
        if not (split.clock == "user" and split.ties == "order" and split.usable is None and alone):
            raise SplitError(
                f"setting {self.name!r} asks for every user's last event, and the split is {split.name!r}.\n"
                f"  Fix: evaluate on setting({self.name!r}).split(log)."
            )
        if self.repeats:
            return asked, {}
        again = _had_before(asked)
        left_out = {"queries whose target the user had before": int(again.sum())}
        return asked.rows((~again).nonzero().squeeze(1)), {name: n for name, n in left_out.items() if n}


S3REC = PublishedSetting(
    "s3rec",
    "Zhou et al. 2020, table 2; protocol of their code, aHuiWang/CIKM2020-S3Rec, and of salesforce/ICLRec. "
    "Targets never seen in training count. Their code masks with score 0: replace(S3REC, masked_score=0.0)",
    candidates="all",
    exclude_seen=True,
)
RECTOOLS_LOO = PublishedSetting(
    "rectools_loo",
    "blondered/transformer_benchmark, val_schemes/leave_one_out.py (eSASRec, 2025): targets that occur in no "
    "earlier row of anybody, and targets that the user had before, are not asked about",
    candidates="earlier",
    exclude_seen=True,
    repeats=False,
    cutoffs=(10,),
)
RECBOLE_LOO = PublishedSetting(
    "recbole_loo",
    "RecBole 1.2, sequential models with eval_args {split: {LS: valid_and_test}, order: TO, mode: full}: "
    "nothing is masked",
    candidates="all",
    exclude_seen=False,
    cutoffs=(10,),
)
_NAMED = {found.name: found for found in (S3REC, RECTOOLS_LOO, RECBOLE_LOO)}


def setting(name: str) -> PublishedSetting:
    """A published setting by name: "s3rec", "rectools_loo" or "recbole_loo".

    Raises: ArgumentError for any other name.

    >>> setting("s3rec").candidates
    'all'
    """
    if name not in _NAMED:
        raise ArgumentError("name", name, expected=f"a published setting ({nearest(name, list(_NAMED))})")
    return _NAMED[name]


def eligible_items(split: Split, conditions: Setting) -> Tensor | None:
    """Which items may be answered under the conditions of an evaluation, [V] bool; None for all."""
    if conditions.candidates == "all":
        return None
    earlier = conditions.candidates == "earlier" and conditions.part == "test"
    return split.joined().seen_items if earlier else split.seen_items


def with_masked(answer: Candidates, requests: Requests, score: float | None) -> Candidates:
    """What a system would have answered, had masked items been given a score instead of being left out.

    Exact for any system whose scores are those it orders by: of the masked items, those worth a place are
    put in their place; ties break as everywhere.

    Args:
        answer: the best k items less those that `requests.exclude` names, with their scores [B, k].
        requests: what was asked.
        score: of masked items; None: they stay out.
    """
    masked = requests.exclude
    if score is None or masked is None:
        return answer
    size = max(int(masked.values.max()) if len(masked.values) else 0, int(answer.item.max())) + 1
    pairs = torch.unique(masked.owner * size + masked.values.long())  # an item had twice is one item
    pairs = pairs[pairs % size >= FIRST]
    if requests.eligible is not None:  # what may not be answered at all gets no place by its mask
        pairs = pairs[requests.eligible[pairs % size]]
    owner, item = pairs // size, pairs % size
    counts = torch.bincount(owner, minlength=len(requests))
    place = torch.arange(len(pairs), device=pairs.device) - (counts.cumsum(0) - counts).index_select(0, owner)
    width = answer.item.shape[1]
    items = F.pad(answer.item, (0, int(counts.max())))
    scores = F.pad(answer.score, (0, int(counts.max())), value=-torch.inf)
    items[owner, width + place], scores[owner, width + place] = item, score
    by_tie = tie_order(size, items.device)[items].argsort(1)
    order = by_tie.gather(1, scores.gather(1, by_tie).argsort(dim=1, descending=True, stable=True))[:, :width]
    return Candidates(items.gather(1, order), scores.gather(1, order))


def _had_before(asked: Queries) -> Tensor:
    """Whether the target of each query is among the items of its history, [Q] bool; one target a query."""
    past = moved(asked.split.past_items(asked.user, asked.end), "cpu")
    target = asked.targets.values.index_select(0, past.owner)
    again = torch.zeros(len(asked), dtype=torch.bool)
    again[past.owner[past.values == target]] = True
    return again
