"""From values per query to means with intervals, paired differences and slices."""

from collections.abc import Mapping
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from penchant.data.split import Queries
from penchant.evaluation.compare import Bootstrap, Interval, bootstrap, bootstrap_slices
from penchant.evaluation.result import Estimate, Setting, Slice

Floats: TypeAlias = NDArray[np.float64]
Values: TypeAlias = Mapping[str, Mapping[str, Floats]]  # by system, by metric: [Q]
_HISTORY = (0, 1, 5, 20, 100, 500)
_HEAD = 0.2  # the share of items, most popular first, that are called the head


def measured(
    values: Values, users: NDArray[np.int64], setting: Setting, weights: Floats | None = None
) -> tuple[dict[str, dict[str, Estimate]], dict[str, dict[str, Estimate]]]:
    """Every system's means, and the first system's lead over every other one, by system and metric."""
    first = next(iter(values))
    if not setting.bootstrap:
        plain = {
            system: {name: _plain(column, weights) for name, column in row.items()}
            for system, row in values.items()
        }
        return plain, {}
    drawn = bootstrap(
        values, users, weights=weights, resamples=setting.bootstrap, level=setting.level, seed=setting.seed
    )
    means = {system: {m: _estimate(drawn.interval(system, m)) for m in drawn.metrics} for system in values}
    leads = {
        system: {m: _estimate(drawn.difference(first, system, m)) for m in drawn.metrics}
        for system in values
        if system != first
    }
    return means, leads


def _plain(column: Floats, weights: Floats | None) -> Estimate:
    known = ~np.isnan(column)
    if not known.any():
        return Estimate(float("nan"))
    weight = None if weights is None else weights[known]
    return Estimate(float(np.average(column[known], weights=weight)), n=int(known.sum()))


def _estimate(interval: Interval) -> Estimate:
    return Estimate(interval.value, interval.low, interval.high, interval.queries)


def sliced(values: Values, asked: Queries, setting: Setting) -> dict[str, tuple[Slice, ...]]:
    """Every system's metrics by history length, popularity of the target, and users trained on or not."""
    users = asked.user.numpy()
    found: dict[str, list[Slice]] = {system: [] for system in values}
    for by, names in _slices(asked).items():
        if len(np.unique(names)) < 2:
            continue
        parts: dict[str, Bootstrap] = bootstrap_slices(
            values, users, names, resamples=setting.bootstrap, level=setting.level, seed=setting.seed
        )
        for name, part in parts.items():
            for system in values:
                metrics = {m: _estimate(part.interval(system, m)) for m in part.metrics}
                found[system].append(Slice(by, name.lstrip(" "), int((names == name).sum()), metrics))
    return {system: tuple(rows) for system, rows in found.items()}


def _slices(asked: Queries) -> dict[str, NDArray[np.str_]]:
    """The slice of each query, by what is sliced by; names sort in their natural order (leading blanks)."""
    lengths = asked.history_lengths().numpy()
    bounds = [*_HISTORY, None]
    labels = [
        "no event"
        if low == 0
        else f"{low} events and more"
        if high is None
        else f"{low} to {high - 1} events"
        for low, high in pairwise(bounds)
    ]
    padded = np.array([" " * (len(labels) - i) + label for i, label in enumerate(labels)])
    slices = {"history": padded[np.searchsorted(_HISTORY, lengths, side="right") - 1]}
    known = asked.split.seen_users.index_select(0, asked.user).numpy()
    slices["user"] = np.where(known, "trained on", "unseen in training")
    if len(asked.targets.values) == len(asked):
        slices["target"] = _popularity(asked)
    return slices


def _popularity(asked: Queries) -> NDArray[np.str_]:
    counts = asked.split.item_counts
    order = counts.argsort(descending=True, stable=True)
    head = torch.zeros(len(counts), dtype=torch.bool)
    head[order[: int(_HEAD * int((counts > 0).sum()))]] = True
    target = asked.targets.values
    names = np.where(head[target].numpy(), f"head (top {_HEAD:.0%} of items)", "tail")
    return np.where(counts[target].numpy() == 0, "unseen in training", names)
