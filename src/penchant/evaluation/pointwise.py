"""How well scores tell labels apart, and how far probabilities can be believed.

AUC, GAUC, log loss, calibration; all in float64. Labels are 0 and 1; one-class labels are an error where the
metric is undefined on them.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from penchant.errors import ArgumentError

Array = NDArray[Any] | Tensor
Floats = NDArray[np.float64]
Weighting = Literal["impressions", "clicks", "equal"]


def _column(name: str, values: Array, size: int | None = None) -> Floats:
    if isinstance(values, Tensor):
        values = values.detach().cpu().double().numpy()
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1 or len(column) == 0 or (size is not None and len(column) != size):
        raise ArgumentError(name, list(column.shape), expected=f"shape [{size or 'N'}], N >= 1")
    if np.isnan(column).any():
        raise ArgumentError(name, float("nan"), expected="numbers")
    return column


def _labels(labels: Array, size: int) -> Floats:
    column = _column("labels", labels, size)
    if (wrong := (column != 0) & (column != 1)).any():
        raise ArgumentError("labels", float(column[wrong][0]), expected="0 or 1")
    return column


def _weights(weights: Array | None, size: int) -> Floats:
    if weights is None:
        return np.ones(size)
    column = _column("weights", weights, size)
    if (column < 0).any() or not 0 < column.sum() < np.inf:
        raise ArgumentError("weights", float(column.min()), expected="numbers of at least 0, not all 0")
    return column


def _need_both_classes(labels: Floats, what: str) -> None:
    if (first := labels[0]) == labels[-1] and (labels == first).all():
        raise ArgumentError(
            "labels", int(first), expected=f"both classes ({len(labels):,} are alike): {what}"
        )


# -- telling apart ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pairs:
    """Per group [G]: weight of (positive, negative) pairs ranked right (ties half), and of each class."""

    right: Floats
    positive: Floats
    negative: Floats
    group: NDArray[Any]
    rows: NDArray[np.int64]


def _pairs(scores: Floats, labels: Floats, weights: Floats, groups: NDArray[Any] | None) -> _Pairs:
    order = scores.argsort() if groups is None else np.lexsort((scores, groups))
    scores, positive = scores[order], (labels * weights)[order]
    negative = weights[order] - positive
    group = np.zeros(len(scores), np.int64) if groups is None else groups[order]
    opens_group = np.concatenate([[True], group[1:] != group[:-1]])
    opens = opens_group | np.concatenate([[True], scores[1:] != scores[:-1]])  # runs of equals
    runs, starts = np.flatnonzero(opens), np.flatnonzero(opens_group)
    first = np.searchsorted(runs, starts)  # the first run of each group
    up, down = np.add.reduceat(positive, runs), np.add.reduceat(negative, runs)
    below = down.cumsum() - down
    below -= np.repeat(below[first], np.diff(first, append=len(runs)))
    right = np.add.reduceat(up * (below + down / 2), first)
    sizes = np.diff(starts, append=len(scores))
    return _Pairs(right, np.add.reduceat(up, first), np.add.reduceat(down, first), group[starts], sizes)


def auc(scores: Array, labels: Array, *, weights: Array | None = None) -> float:
    """The probability that a positive scores above a negative, ties counting half.

    The tie-averaged rank statistic (R+ - n+(n+ + 1)/2) / (n+ n-), generalised to weighted rows.

    Args:
        scores: any ranking numbers; logits will do.
        labels: 0 or 1.
        weights: of rows, at least 0; a weight of 2 equals the row twice.

    Shapes: all [N].
    Raises: ArgumentError on NaN, on labels other than 0 and 1, and where all are of one class.

    >>> auc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([0, 0, 1, 1]))
    0.875
    """
    x = _column("scores", scores)
    y, w = _labels(labels, len(x)), _weights(weights, len(x))
    _need_both_classes(y[w > 0], "AUC compares one with the other")
    pairs = _pairs(x, y, w, None)
    return float(pairs.right[0] / (pairs.positive[0] * pairs.negative[0]))


@dataclass(frozen=True, eq=False)
class GroupedAUC:
    """AUC within groups.

    Attributes:
        value: the weighted mean over groups that hold both classes.
        group: [G] those groups.
        auc: [G] float64, of each.
        weight: [G] float64, of each.
        dropped_groups: groups of one class, which have no AUC.
        dropped_share: the share of rows in them, in [0, 1].
    """

    value: float
    group: NDArray[Any]
    auc: Floats
    weight: Floats
    dropped_groups: int
    dropped_share: float


def gauc(scores: Array, labels: Array, groups: Array, *, weighting: Weighting = "impressions") -> GroupedAUC:
    """AUC within each group (user), averaged: no credit for knowing who clicks a lot.

    Args:
        scores: any ranking numbers, compared within a group only.
        labels: 0 or 1.
        groups: whose row it is, integers in any order.
        weighting: a group weighs its rows ("impressions"), its positives ("clicks") or 1 ("equal").

    Shapes: all [N].
    Raises: ArgumentError where no group holds both classes, and as `auc` does.
    Source: Zhou et al. 2018 (DIN), eq. 10, is "impressions"; RecBole weighs by clicks.

    >>> gauc(np.array([1.0, 2, 9, 8, 7]), np.array([0, 1, 0, 1, 1]), np.array([4, 4, 6, 6, 6])).value
    0.4
    """
    found = _grouped(scores, labels, groups, weighting)
    if not len(found.group):
        raise ArgumentError(
            "groups", f"{found.dropped_groups:,} groups", expected="one that holds both classes"
        )
    return found


def _grouped(scores: Array, labels: Array, groups: Array, weighting: Weighting) -> GroupedAUC:
    x = _column("scores", scores)
    y = _labels(labels, len(x))
    whose = groups.detach().cpu().numpy() if isinstance(groups, Tensor) else np.asarray(groups)
    if whose.shape != x.shape:
        raise ArgumentError("groups", list(whose.shape), expected=f"shape [{len(x)}]")
    pairs = _pairs(x, y, np.ones(len(x)), whose)
    weigh = {"impressions": pairs.rows, "clicks": pairs.positive, "equal": np.ones(len(pairs.rows))}
    if weighting not in weigh:
        raise ArgumentError("weighting", weighting, expected=" or ".join(map(repr, weigh)))
    kept = (pairs.positive > 0) & (pairs.negative > 0)
    value = pairs.right[kept] / (pairs.positive[kept] * pairs.negative[kept])
    weight = weigh[weighting][kept].astype(np.float64)
    mean = float(weight @ value / weight.sum()) if kept.any() else float("nan")
    lost = float(pairs.rows[~kept].sum() / len(x))
    return GroupedAUC(mean, pairs.group[kept], value, weight, int((~kept).sum()), lost)


# -- being right about probabilities ----------------------------------------------------------------------


def _probability(logits: Floats) -> Floats:
    return np.exp(-np.logaddexp(0.0, -logits))


def log_losses(logits: Array, labels: Array) -> Floats:
    """-ln of the probability that each row's logit gives to its label, without forming that probability.

    Shapes: logits and labels [N]; returns [N] in nats, for means by user or slice.
    Raises: ArgumentError on NaN and on labels other than 0 and 1.

    >>> log_losses(np.array([0.0, 100.0]), np.array([1, 0])).round(4).tolist()
    [0.6931, 100.0]
    """
    x = _column("logits", logits)
    return np.logaddexp(0.0, (1 - 2 * _labels(labels, len(x))) * x)


def log_loss(logits: Array, labels: Array, *, weights: Array | None = None) -> float:
    """The (weighted) mean of `log_losses`, in nats; defined for one class too."""
    losses = log_losses(logits, labels)
    return float(np.average(losses, weights=_weights(weights, len(losses))))


def normalised_entropy(logits: Array, labels: Array, *, weights: Array | None = None) -> float:
    """Log loss over that of always answering the base rate: below 1 beats knowing nothing of the row.

    Raises: ArgumentError where all labels are of one class: the base rate is then never wrong.
    Source: He et al. 2014, section 3.
    """
    loss = log_loss(logits, labels, weights=weights)
    y = _labels(labels, len(labels))
    w = _weights(weights, len(y))
    _need_both_classes(y[w > 0], "else the base rate is never wrong")
    rate = np.average(y, weights=w)
    return float(loss / -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate)))


def brier(logits: Array, labels: Array, *, weights: Array | None = None) -> float:
    """The (weighted) mean squared distance of probability and label."""
    x = _column("logits", logits)
    squares = (_probability(x) - _labels(labels, len(x))) ** 2
    return float(np.average(squares, weights=_weights(weights, len(x))))


def pcoc(logits: Array, labels: Array, *, weights: Array | None = None) -> float:
    """Predicted clicks over clicks, mean p / mean y: 1 is right on the whole, 1.2 promises a fifth too much.

    Raises: ArgumentError where no label is 1.
    """
    x = _column("logits", logits)
    y, w = _labels(labels, len(x)), _weights(weights, len(x))
    if (clicks := w @ y) == 0:
        raise ArgumentError("labels", 0, expected=f"a positive among {len(y):,} rows to compare with")
    return float(w @ _probability(x) / clicks)


@dataclass(frozen=True, eq=False)
class Reliability:
    """Predicted against observed, in bins of equal mass; empty bins are left out.

    Attributes:
        probability: [b] float64, mean prediction of the bin, rising.
        frequency: [b] float64, share of positives in it.
        weight: [b] float64, its share of all weight.
        rows: [b] int64.
    """

    probability: Floats
    frequency: Floats
    weight: Floats
    rows: NDArray[np.int64]

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance of prediction and observation over bins, by weight."""
        return float(self.weight @ np.abs(self.probability - self.frequency))


def reliability(logits: Array, labels: Array, *, bins: int = 15, weights: Array | None = None) -> Reliability:
    """The reliability curve.

    Equal predictions share a bin (the one that their middle falls into), so the order of rows plays no part;
    where many are equal, bins are fewer and less even.

    Shapes: logits, labels and weights [N].
    Raises: ArgumentError if `bins` is below 1, on NaN, and on labels other than 0 and 1.

    >>> reliability(np.array([0.0, 0, 0, 0]), np.array([1, 1, 1, 0])).ece
    0.25
    """
    if bins < 1:
        raise ArgumentError("bins", bins, expected="an integer of at least 1")
    p = _probability(_column("logits", logits))
    y, w = _labels(labels, len(p)), _weights(weights, len(p))
    order = p.argsort()
    p, y, w = p[order], y[order], w[order]
    runs = np.flatnonzero(np.concatenate([[True], p[1:] != p[:-1]]))
    mass = np.add.reduceat(w, runs)
    middle = mass.cumsum() - mass / 2
    place = (bins * middle / mass.sum()).astype(np.int64).clip(max=bins - 1)
    place = np.repeat(place, np.diff(runs, append=len(p)))
    weight = np.bincount(place, w, bins)
    full = weight > 0
    mean_p, mean_y = (np.bincount(place, w * v, bins)[full] / weight[full] for v in (p, y))
    return Reliability(mean_p, mean_y, weight[full] / w.sum(), np.bincount(place, minlength=bins)[full])


def ece(logits: Array, labels: Array, *, bins: int = 15, weights: Array | None = None) -> float:
    """Expected calibration error over bins of equal mass; see `reliability`."""
    return reliability(logits, labels, bins=bins, weights=weights).ece


def pointwise_metrics(
    logits: Array, labels: Array, *, groups: Array | None = None, weights: Array | None = None
) -> dict[str, float]:
    """All of this file by name: auc, gauc (with `groups`), log_loss, normalised_entropy, brier, ece, pcoc.

    Where labels are of one class, what is undefined on them is NaN: this is for tables. GAUC is by
    impressions and takes no weights.

    Shapes: all [N].
    Raises: ArgumentError on NaN and on labels other than 0 and 1.

    >>> found = pointwise_metrics(np.array([0.0, 0.0]), np.array([1, 1]))
    >>> found["auc"], found["brier"], found["pcoc"]
    (nan, 0.25, 0.5)
    """
    y = _labels(labels, len(labels))
    w = _weights(weights, len(y))
    undefined = float("nan")
    clicks, both = w @ y > 0, 0 < w @ y < w.sum()
    found = {
        "auc": auc(logits, y, weights=w) if both else undefined,
        "log_loss": log_loss(logits, y, weights=w),
        "normalised_entropy": normalised_entropy(logits, y, weights=w) if both else undefined,
        "brier": brier(logits, y, weights=w),
        "ece": ece(logits, y, weights=w),
        "pcoc": pcoc(logits, y, weights=w) if clicks else undefined,
    }
    return found if groups is None else found | {"gauc": _grouped(logits, y, groups, "impressions").value}
