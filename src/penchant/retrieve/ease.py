"""Embarrassingly shallow autoencoder: a linear item-to-item model in closed form."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from penchant.data.batch import Requests
from penchant.data.interactions import Features, require_features
from penchant.data.provenance import Provenance
from penchant.data.split import Split
from penchant.errors import ArgumentError
from penchant.protocols import Candidates, Contribution
from penchant.retrieve.search import best, fitting, others

LARGEST = 30_000
_USERS = 1024  # users a block of the Gram matrix
_FACTORED = 2  # this many times fewer users than items: their side is the cheaper one


class EASE(nn.Module):
    """Scores an item by the sum of learned weights from the items of the user's history to it.

    The weights minimise |X - X B|^2 + l2 |B|^2 under diag(B) = 0, X being who chose what in training. Order,
    times and repeats play no part. Histories are read as they come, so users unknown in training are served;
    who has no positive on a known item gets no answer (all scores would be 0).

    Args:
        features: what the store holds.
        l2: strength of the ridge penalty; more for few users.

    Raises: ArgumentError if `l2` is not above 0 or if there are more than 30,000 items.
    Source: Steck 2019, equation 8: B = I - P diag(1 / diag P), P = (X'X + l2 I)^-1. Solved in float64, since
        the condition of X'X grows with the number of users; kept in float32. With far fewer users than items
        the same P is (I - F'F) / l2 with F = L'X and LL' = (XX' + l2 I)^-1 (the Woodbury identity, ours): U x
        U is solved instead of V x V, and F' [V, U] is kept instead of B [V, V].
    """

    fitted = False
    provenance: tuple[Provenance, ...] = ()
    weight: Tensor
    known: Tensor

    def __init__(self, features: Features, *, l2: float = 500.0) -> None:
        super().__init__()
        require_features(features)
        if not l2 > 0:
            raise ArgumentError("l2", l2, expected="a number above 0")
        if features.items > LARGEST:
            raise ArgumentError(
                "features.items",
                features.items,
                expected=f"at most {LARGEST:,} items",
                fix="use SASRec for a catalogue of this size",
            )
        self.features, self.l2 = features, l2
        self._factored = features.users < features.items / _FACTORED
        # B, from row to column; or F', whose rows are items and whose columns are users
        columns = features.users if self._factored else features.items
        self.register_buffer("weight", torch.zeros(features.items, columns))
        self.register_buffer("known", torch.zeros(features.items, dtype=torch.bool))

    def solve(self, split: Split) -> None:
        """Solve for the weights on the training positives of `split`."""
        rows, size = split.train.targets, len(self.known)
        pairs = torch.unique(split.log.user_of(rows) * size + split.log.item.index_select(0, rows)).cpu()
        users, items = pairs // size, pairs % size
        self.known.copy_(torch.bincount(items, minlength=size) > 0)
        solve = self._factor if self._factored else self._weights
        self.weight.copy_(solve(users, items))
        self.provenance = (Provenance.of("who chose what", split, rows),)
        self.fitted = True

    def _weights(self, users: Tensor, items: Tensor) -> Tensor:
        """B [V, V]."""
        gram = _gram(users, items, len(self.known))
        gram.diagonal().add_(self.l2)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))  # P
        weight = inverse / -inverse.diagonal()
        return weight.fill_diagonal_(0.0)

    def _factor(self, users: Tensor, items: Tensor) -> Tensor:
        """F' [V, U]."""
        chosen = torch.zeros(self.weight.shape, dtype=torch.float64)  # X'
        chosen[items, users] = 1.0
        gram = chosen.T @ chosen
        gram.diagonal().add_(self.l2)
        return chosen @ torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(gram)))

    def retrieve(self, requests: Requests, k: int, dials: None = None) -> Candidates:
        """The best k items for each request."""
        items, counts, offsets = self._history(requests)
        owner = requests.histories.items.owner
        total = counts.new_zeros(len(requests)).index_add_(0, owner, counts)
        bounds = offsets.tolist()

        def score(begin: int, stop: int) -> Tensor:
            rows = slice(bounds[begin], bounds[stop])
            scores = self._sums(items[rows], counts[rows], offsets[begin : stop + 1] - bounds[begin])
            return scores.masked_fill_((total[begin:stop] == 0).unsqueeze(1), -torch.inf)

        size = len(self.known)
        return best(score, size, requests, k, known=self.known, chunk=fitting(size, self.known.device))

    def similar(self, items: Tensor, k: int) -> Candidates:
        """What follows most strongly from each of `items` [n]; nothing from one that is not known."""

        def score(begin: int, stop: int) -> Tensor:
            mine = items[begin:stop]
            offsets = torch.arange(len(mine) + 1, device=mine.device)
            scores = self._sums(mine, self.weight.new_ones(len(mine)), offsets)
            return scores.masked_fill_(~self.known.index_select(0, mine).unsqueeze(1), -torch.inf)

        size = len(self.known)
        return best(score, size, others(items), k, known=self.known, chunk=fitting(size, self.known.device))

    def explain(self, requests: Requests, items: Tensor) -> Sequence[Contribution]:
        """What each history event adds to the score of one item a request, items [B]."""
        history, counts, offsets = self._history(requests)
        asked = torch.repeat_interleave(items, offsets.diff(), output_size=len(history))
        value = self._between(history, asked) * counts
        bounds = offsets.tolist()
        return [Contribution(history[a:b], value[a:b], "added to the score") for a, b in pairwise(bounds)]

    def _sums(self, items: Tensor, counts: Tensor, offsets: Tensor) -> Tensor:
        """Sums [b, V] of count times weight from the items of each list to every item."""
        if not self._factored:
            return _bag(items, self.weight, offsets, counts)
        squares = self.weight.square().sum(1)  # diag(F'F); l2 P_jj = 1 less it
        found = _bag(items, self.weight, offsets, counts) @ self.weight.T
        owner = torch.repeat_interleave(offsets.diff(), output_size=len(items))
        found.index_put_((owner, items), -counts * squares[items], accumulate=True)  # no weight to itself
        return found.div_(1 - squares)

    def _between(self, one: Tensor, other: Tensor) -> Tensor:
        """The weight from each item of `one` [n] to that of `other` [n]."""
        if not self._factored:
            return self.weight[one, other]
        left, right = self.weight[one], self.weight[other]
        return ((left * right).sum(1) / (1 - right.square().sum(1))).masked_fill(one == other, 0.0)

    def _history(self, requests: Requests) -> tuple[Tensor, Tensor, Tensor]:
        """Items [T], 1 where one counts (known, positive, not there before), else 0 [T], and offsets."""
        histories, size = requests.histories, len(self.known)
        items = histories.item.long()
        keys = histories.items.owner * size + items
        first = torch.ones_like(keys, dtype=torch.bool)
        ordered, order = torch.sort(keys, stable=True)
        first[order[1:]] = ordered[1:] != ordered[:-1]
        counts = first & self.known.index_select(0, items)
        if "label" in histories.columns:
            counts &= _any_positive(keys, histories.columns["label"] > 0.5)
        return items, counts.to(self.weight.dtype), histories.offsets


def _bag(items: Tensor, table: Tensor, offsets: Tensor, counts: Tensor) -> Tensor:
    return F.embedding_bag(items, table, offsets[:-1], mode="sum", per_sample_weights=counts)


def _any_positive(keys: Tensor, positive: Tensor) -> Tensor:
    """Whether any event with the same key [T] is a positive, [T]."""
    pairs, group = torch.unique(keys, return_inverse=True)
    return torch.zeros(len(pairs), device=keys.device).index_add_(0, group, positive.float())[group] > 0


def _gram(users: Tensor, items: Tensor, size: int) -> Tensor:
    """X'X [V, V] in float64, of unique pairs sorted by user; whole numbers, so float32 products are exact."""
    gram = torch.zeros(size, size, dtype=torch.float64)
    _, row = torch.unique_consecutive(users, return_inverse=True)
    count = int(row[-1]) + 1 if len(row) else 0
    for begin in range(0, count, _USERS):
        low, high = torch.searchsorted(row, torch.tensor([begin, begin + _USERS])).tolist()
        block = torch.zeros(min(_USERS, count - begin), size)
        block[row[low:high] - begin, items[low:high]] = 1.0
        gram += block.T @ block
    return gram
