"""Rankers alone: each held-out event beside items that the user did not choose."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from penchant.data.batch import Ragged
from penchant.data.loader import keyed_generator
from penchant.data.negatives import Seen, draw_unseen
from penchant.data.sources import sampler
from penchant.data.split import Queries
from penchant.errors import ArgumentError
from penchant.evaluation.compare import MIN_USERS, too_few
from penchant.evaluation.estimates import measured
from penchant.evaluation.pointwise import gauc, log_losses, pointwise_metrics, reliability
from penchant.evaluation.result import Estimate, Result, Setting, SystemResult
from penchant.evaluation.spread import spread
from penchant.protocols import Ranker, window_of

NEGATIVES = 20
_CELLS = 16_384


@dataclass(frozen=True, eq=False)
class Impressions:
    """What rankers are asked to score.

    Attributes:
        queries: one a row.
        items: [Q, C] items to score.
        labels: [Q, C] 0 or 1.
        counted: [Q, C] bool; a negative that could not be drawn unseen does not count.
        negatives: drawn a positive; 0 where the labels are the log's own.
    """

    queries: Queries
    items: Tensor
    labels: Tensor
    counted: Tensor
    negatives: int


def impressions(asked: Queries, *, negatives: int | None, seed: int, most: int | None = None) -> Impressions:
    """The log's own outcomes, or else every target beside items that its user had not seen by then.

    Args:
        asked: one query an event (`at="each"`).
        negatives: items drawn beside each positive, uniformly from the items of the training rows; None: 20,
            or 0 for a log with labels.
        seed: of the draws.
        most: queries at most, evenly spread over all; None for all.

    Raises: ArgumentError if `negatives` is 0 for a log without labels, or the queries have several targets.
    """
    split, log = asked.split, asked.split.log
    if negatives is None:
        negatives = 0 if log.label is not None else NEGATIVES
    if negatives == 0:
        if log.label is None:
            raise ArgumentError("negatives", 0, expected="at least 1 for a log without labels")
        part = int(split.part[asked.row[0]])
        rows = (split.part == part).nonzero().squeeze(1)
        items = log.item.index_select(0, rows).long()
        targets = Ragged(items, torch.arange(len(rows) + 1, device=log.device))
        at = log.time.index_select(0, rows)
        queries = Queries(split, log.user_of(rows), split.history_end(rows), at, targets, rows).home()
        queries = spread(queries, most or len(queries))
        labels = log.positive(queries.row.to(log.device)).float().unsqueeze(1).cpu()
        items = queries.targets.values.unsqueeze(1)
        return Impressions(queries, items, labels, torch.ones_like(labels, dtype=torch.bool), 0)
    if len(asked.targets.values) != len(asked):
        raise ArgumentError("queries", asked, expected="one target a query", fix="ask with at='each'")
    asked = spread(asked, most or len(asked))
    target = asked.targets.values.long()
    seen = Seen.of(split, torch.arange(len(log), device=log.device))
    generator = keyed_generator(seed, "evaluation negatives")
    users, rows, chosen = (x.to(log.device) for x in (asked.user, asked.row, target))
    drawn, good = draw_unseen(sampler(split), seen, users, rows, chosen, negatives, generator)
    drawn, good = drawn.cpu(), good.cpu()
    labels = torch.zeros(len(asked), 1 + negatives)
    labels[:, 0] = 1.0
    counted = torch.cat([torch.ones(len(asked), 1, dtype=torch.bool), good], 1)
    return Impressions(asked, torch.cat([target.unsqueeze(1), drawn], 1), labels, counted, negatives)


def device_of(system: object) -> torch.device:
    """Where a system wants to be asked: while it is trained it may be on a GPU."""
    parameters = system.parameters() if isinstance(system, nn.Module) else iter(())
    return next((parameter.device for parameter in parameters), torch.device("cpu"))


@torch.no_grad()
def logits_of(ranker: Ranker, shown: Impressions) -> Tensor:
    """Logits [Q, C] of all impressions; the user side is computed once a query."""
    parts: list[Tensor] = []
    device = device_of(ranker)
    for begin, stop in shown.queries.chunks(max(1, _CELLS // shown.items.shape[1])):
        requests = shown.queries.requests(begin, stop, exclude_seen=False, history=window_of(ranker))
        requests = requests.to(device)
        state = ranker.encode_user(requests)
        parts.append(ranker.score(state, shown.items[begin:stop].to(device)).cpu())
    return torch.cat(parts)


def judge(
    rankers: Mapping[str, Ranker],
    asked: Queries,
    setting: Setting,
    *,
    negatives: int | None,
    most: int | None = None,
) -> Result:
    """How well rankers tell what was chosen from what was not, and how true their probabilities are.

    `auc`, `gauc` (groups are users), `log_loss`, `normalised_entropy`, `brier`, `ece`, `pcoc`. With sampled
    negatives the base rate is that of the sample, so the last five speak of that sample. GAUC and log loss
    have intervals and are compared in pairs. `most` queries are asked, evenly spread; None: all.
    """
    shown = impressions(asked, negatives=negatives, seed=setting.seed, most=most)
    setting = replace(setting, negatives=shown.negatives)
    owner = shown.queries.user.unsqueeze(1).expand_as(shown.items)[shown.counted].numpy()
    labels = shown.labels[shown.counted].numpy()
    rows: list[SystemResult] = []
    losses: dict[str, dict[str, NDArray[np.float64]]] = {}
    groups: dict[str, dict[str, NDArray[np.float64]]] = {}
    group_users, group_weight = owner, np.ones(len(owner))
    for name, ranker in rankers.items():
        if not isinstance(ranker, Ranker):
            raise ArgumentError("against", ranker, expected="rankers, as the first system is")
        began = time.perf_counter()
        logits = logits_of(ranker, shown)[shown.counted].double().numpy()
        seconds = time.perf_counter() - began
        metrics = {
            k: Estimate(v, n=len(labels)) for k, v in pointwise_metrics(logits, labels, groups=owner).items()
        }
        losses[name] = {"log_loss": log_losses(logits, labels)}
        if np.isfinite(metrics["gauc"].value):  # some user has both classes
            grouped = gauc(
                logits, labels, owner
            )  # which groups have both classes does not depend on the ranker
            groups[name], group_users, group_weight = {"gauc": grouped.auc}, grouped.group, grouped.weight
        rows.append(SystemResult(name, metrics, seconds=seconds, reliability=_bins(logits, labels)))
    means, leads = measured(losses, owner, setting)
    if groups:
        more, further = measured(groups, group_users, setting, group_weight)
        means = {name: means[name] | more[name] for name in means}
        leads = {name: leads[name] | further[name] for name in leads}
    rows = [
        replace(r, metrics=dict(r.metrics) | means[r.name], difference=leads.get(r.name, {})) for r in rows
    ]
    verdict = too_few_to_tell(owner)
    return Result(setting, tuple(rows), shown.queries.user.numpy(), verdict=verdict)


def too_few_to_tell(users: NDArray[np.int64]) -> str | None:
    """A caution where figures rest on very few users; else None."""
    count = len(np.unique(users))
    return (
        f"Too few users to tell: {count} could be asked about, below {MIN_USERS}." if too_few(count) else None
    )


def _bins(logits: NDArray[np.float64], labels: NDArray[np.float64]) -> tuple[dict[str, float], ...]:
    curve = reliability(logits, labels)
    return tuple(
        {"predicted": float(p), "observed": float(f), "weight": float(w), "rows": int(n)}
        for p, f, w, n in zip(curve.probability, curve.frequency, curve.weight, curve.rows, strict=True)
    )
