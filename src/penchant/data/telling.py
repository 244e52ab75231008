"""Whether numbers tell a label: the area under the curve, and values that occur with one label alone."""

import math

import torch
from torch import Tensor

TELLING = 0.99  # area under the curve from which numbers are said to tell the label
FEW = 20  # rows of a category below which its share of positives says nothing
_ODDS = 10.0  # times as likely as elsewhere: what a value that is known before may well make a label
_CHANCE = 1e-6  # of one false alarm a column, for values that do no more than that


def by_category(values: Tensor, label: Tensor) -> Tensor:
    """The share of positives of each value's category, [n]; NaN for a rare one."""
    size = int(values.max()) + 1 if len(values) else 1
    values = values.long()
    counts = torch.bincount(values, minlength=size)
    shares = torch.bincount(values, label.double(), minlength=size) / counts
    return shares.masked_fill(counts < FEW, torch.nan).index_select(0, values)


def area(scores: Tensor, label: Tensor) -> float | None:
    """The area under the curve, or under its mirror image, of scores that are there; None for too few.

    Args:
        scores: [n], NaN where one is missing.
        label: [n] bool.
    """
    there = ~scores.isnan()
    scores, label = scores[there], label[there]
    positives = int(label.sum())
    negatives = len(label) - positives
    if 2 * len(label) < len(there) or min(positives, negatives) < FEW:
        return None
    _, place, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    ranks = counts.cumsum(0).double() - (counts - 1).double() / 2  # mean rank of each value
    above = float(ranks.index_select(0, place)[label].sum()) - positives * (positives + 1) / 2
    found = above / (positives * negatives)
    return max(found, 1 - found)


def one_sided(values: Tensor, label: Tensor) -> tuple[float, bool, int] | None:
    """The value that occurs most often of those that occur with one label alone, beyond chance.

    Chance: each row of the value has the odds of that label which all rows have, times ten. That all n rows
    of one of K values then have one label has a probability of at most 2 K p^n: such a value may be known
    only once the label is.

    Args:
        values: [n]; a missing number (NaN) is a value too.
        label: [n] bool.

    Returns: the value (NaN for a missing one), its label and its number of rows; None where there is none.
    """
    positives = int(label.sum())
    if min(positives, len(label) - positives) < FEW:
        return None
    numbers = values.double()
    missing = numbers.isnan()
    known, place, counts = torch.unique(
        numbers.masked_fill(missing, math.inf), return_inverse=True, return_counts=True
    )
    ones = torch.bincount(place, label.double(), minlength=len(known)).long()
    odds = positives / (len(label) - positives)
    best: tuple[float, bool, int] | None = None
    for outcome in (True, False):
        likely = _ODDS * (odds if outcome else 1 / odds)
        least = math.log(_CHANCE / (2 * len(known))) / -math.log1p(1 / likely)  # p = likely / (1 + likely)
        pure = counts.masked_fill(ones != (counts if outcome else 0), 0)
        at = int(pure.argmax())
        count = int(pure[at])
        if count >= max(FEW, least) and (best is None or count > best[2]):
            value = float(known[at])
            best = (math.nan if math.isinf(value) and bool(missing.any()) else value, outcome, count)
    return best
