"""What lists are like beside being right: how varied, how novel, and how evenly they use the catalogue.

Lists are [Q, K] item indices, 0 where there is none. What is one number a query comes as [Q] float64, NaN
where the list holds too little to say; cut the lists (`lists[:, :10]`) to measure at a cutoff.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from penchant.data.batch import Ragged
from penchant.errors import ArgumentError

Floats = NDArray[np.float64]
_CHUNK = 2**21  # numbers held at once: 16 MB of float64


def _check(lists: Tensor, table: Tensor, name: str, *, dim: int) -> Tensor:
    if lists.dim() != 2 or lists.is_floating_point():
        raise ArgumentError("lists", (lists.dtype, list(lists.shape)), expected="integers of shape [Q, K]")
    if table.dim() != dim:
        raise ArgumentError(name, list(table.shape), expected="shape [V, ...]" if dim > 1 else "shape [V]")
    if lists.numel() and not 0 <= int(lists.min()) <= int(lists.max()) < len(table):
        raise ArgumentError(name, f"{len(table):,} rows", expected=f"a row for item {int(lists.max()):,}")
    return table.to(lists.device)


def _chunks(lists: Tensor, numbers: int) -> Iterator[Tensor]:
    """Rows of `lists` such that `numbers` a row stay within memory."""
    return iter(lists.split(max(1, _CHUNK // max(1, numbers))))


def _joined(parts: list[Tensor]) -> Floats:
    return torch.cat(parts).cpu().numpy() if parts else np.zeros(0)


def _mean(values: Tensor, real: Tensor) -> Tensor:
    """Mean of values [Q, K] over the real ones; NaN where there are none."""
    return torch.where(real, values, 0.0).sum(1) / real.sum(1)


# -- variety ------------------------------------------------------------------------------------------------


def category_entropy(lists: Tensor, categories: Tensor) -> Floats:
    """Entropy of the categories of each list, in bits.

    An item spreads a mass of 1 evenly over its categories; an item of none has no part in it.

    Args:
        lists: items.
        categories: the categories of each item, 0 for none.

    Shapes: lists [Q, K]; categories [V, M]; returns [Q], from 0 (one category) to log2 of their number; NaN
        where no item of the list has a category.
    Raises: ArgumentError where shapes do not fit.

    >>> categories = torch.tensor([[0], [5], [5], [5], [7]])
    >>> category_entropy(torch.tensor([[1, 2, 3, 4]]), categories).round(6).tolist()
    [0.811278]
    """
    found: list[Tensor] = []
    for mass, _ in _category_mass(lists, categories):
        share = mass / mass.sum(1, keepdim=True)
        found.append(torch.special.entr(share).sum(1) / np.log(2))
    return _joined(found)


def category_coverage(lists: Tensor, categories: Tensor) -> Floats:
    """The share of categories that each list shows, of those that it had the room to show.

    Distinct categories in the list over the smaller of: category labels in the list, categories in the
    catalogue.

    Shapes: lists [Q, K]; categories [V, M], 0 for none; returns [Q] in (0, 1]; NaN where no item of the list
        has a category.
    Raises: ArgumentError where shapes do not fit.

    >>> category_coverage(torch.tensor([[1, 2, 3, 4]]), torch.tensor([[0], [5], [5], [6], [7]])).tolist()
    [1.0]
    """
    known = categories.unique()
    limit = int((known > 0).sum())
    return _joined(
        [
            (mass > 0).sum(1) / shown.clamp(max=limit).double()
            for mass, shown in _category_mass(lists, categories)
        ]
    )


def _category_mass(lists: Tensor, categories: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Chunk by chunk: mass [q, C] of each category in each list, and the number of labels [q]."""
    table = _check(lists, categories, "categories", dim=2)
    count = int(table.max()) + 1 if table.numel() else 1
    for part in _chunks(lists, max(count, lists.shape[1] * table.shape[1])):
        labels = table[part].long()  # [q, K, M]
        real = (labels > 0) & (part > 0).unsqueeze(2)
        weight = real / real.sum(2, keepdim=True).clamp(min=1).double()
        mass = weight.new_zeros(len(part), count).scatter_add_(1, labels.flatten(1), weight.flatten(1))
        yield mass, real.sum((1, 2))


def intra_list_diversity(lists: Tensor, traits: Tensor) -> Floats:
    """Mean distance of two items of each list: Jaccard's between categories, or 1 - cosine between vectors.

    Jaccard's is 1 - |both| / |either|. Items of no category, or whose vector is zero (it is not known), are
    left out.

    Args:
        lists: items.
        traits: integers: the categories of each item, 0 for none, no category twice; or its vector.

    Shapes: lists [Q, K]; traits [V, M], or [V, D]; returns [Q] in [0, 1], or [0, 2]; NaN where fewer than two
        items have traits.
    Raises: ArgumentError where shapes do not fit.
    Source: Ziegler et al. 2005, equation 5, with distances for similarities.

    >>> intra_list_diversity(torch.tensor([[1, 2]]), torch.tensor([[0, 0], [5, 6], [6, 7]])).round(4).tolist()
    [0.6667]
    >>> intra_list_diversity(torch.tensor([[1, 2]]), torch.tensor([[0.0, 0], [3, 0], [0, 4]])).tolist()
    [1.0]
    """
    table = _check(lists, traits, "traits", dim=2)
    return (_cosine if table.is_floating_point() else _jaccard)(lists, table)


def _jaccard(lists: Tensor, table: Tensor) -> Floats:
    found: list[Tensor] = []
    for part in _chunks(lists, lists.shape[1] ** 2):
        labels = (table[part] * (part > 0).unsqueeze(2)).unbind(2)  # M of [q, K]
        sizes = torch.stack([label > 0 for label in labels]).sum(0)
        both = torch.zeros(*part.shape, part.shape[1], dtype=torch.float64, device=part.device)  # [q, K, K]
        for one in labels:
            for other in labels:
                both += (one.unsqueeze(2) == other.unsqueeze(1)) & (one > 0).unsqueeze(2)
        either = sizes.unsqueeze(2) + sizes.unsqueeze(1) - both
        pair = ((sizes > 0).unsqueeze(2) & (sizes > 0).unsqueeze(1)).triu(1)
        found.append(_mean((1 - both / either).flatten(1), pair.flatten(1)))
    return _joined(found)


def _cosine(lists: Tensor, table: Tensor) -> Floats:
    """K D a list, not K K D: the cosines of all pairs add up to (|sum of unit vectors|^2 - n) / 2."""
    found: list[Tensor] = []
    for part in _chunks(lists, lists.shape[1] * table.shape[1]):
        rows = table[part].double() * (part > 0).unsqueeze(2)  # [q, K, D]
        lengths = rows.norm(dim=2, keepdim=True)
        total = (rows / lengths.clamp(min=torch.finfo(torch.float64).tiny)).sum(1)  # [q, D]
        count = (lengths > 0).sum((1, 2)).double()
        cosine = (total.square().sum(1) - count) / (count * (count - 1))
        found.append(torch.where(count > 1, 1 - cosine, torch.nan))
    return _joined(found)


# -- popularity ---------------------------------------------------------------------------------------------


def novelty(lists: Tensor, counts: Tensor) -> Floats:
    """Mean self-information of the items of each list in bits: -log2(count / sum of counts).

    An item that was never counted is taken as counted once.

    Args:
        lists: items.
        counts: how often each item occurs in the training rows.

    Shapes: lists [Q, K]; counts [V]; returns [Q], NaN for an empty list.
    Raises: ArgumentError where shapes do not fit.

    >>> novelty(torch.tensor([[1, 3]]), torch.tensor([0, 1, 1, 2])).tolist()
    [1.5]
    """
    table = _check(lists, counts, "counts", dim=1).double()
    bits = table.sum().log2() - table.clamp(min=1).log2()
    return _joined([_mean(bits[lists], lists > 0)])


def average_popularity(lists: Tensor, counts: Tensor) -> Floats:
    """Mean count of the items of each list.

    Shapes: lists [Q, K]; counts [V]; returns [Q], NaN for an empty list.
    Raises: ArgumentError where shapes do not fit.

    >>> average_popularity(torch.tensor([[1, 3, 0]]), torch.tensor([0, 1, 1, 2])).tolist()
    [1.5]
    """
    table = _check(lists, counts, "counts", dim=1).double()
    return _joined([_mean(table[lists], lists > 0)])


def serendipity(lists: Tensor, targets: Ragged, counts: Tensor, recommendable: Tensor) -> Floats:
    """How much of what each list finds, listing what is popular would not have found as early.

    sum over places i = 1..K of rel_i max(p(i) - p(r_i), 0) / K, with p(j) = (n + 1 - j) / n for the n
    recommendable items: rel_i is 1 where place i holds a target, and r_i is the place of that item when all
    are listed by their counts. Items counted alike share the mean of their places; for one that was never
    counted p(r_i) is 0. So a hit that everybody would be given is worth nothing, and one at the top that
    popularity would bring last is worth 1 / K.

    Args:
        lists: items, best first.
        targets: the right answers.
        counts: how often each item occurs in the training rows.
        recommendable: items that could be answered; item 0 never counts.

    Shapes: lists [Q, K]; targets values [T], offsets [Q+1]; counts [V]; recommendable bool [V]. Returns [Q]
        in [0, 1], NaN where a query has no target.
    Raises: ArgumentError where shapes do not fit.
    Source: Murakami, Mori and Orihara 2008 (unexpectedness of what is relevant, against a primitive method);
        popularity as that method and probabilities by place as in RecTools, where items counted alike stand
        at the same whole place instead, counting distinct numbers only.

    >>> targets = Ragged(torch.tensor([2, 1]), torch.tensor([0, 1, 2]))
    >>> counts, every = torch.tensor([0, 3, 2, 0, 0]), torch.tensor([False, True, True, True, True])
    >>> serendipity(torch.tensor([[2], [1]]), targets, counts, every).tolist()
    [0.25, 0.0]
    """
    table = _check(lists, counts, "counts", dim=1).double().cpu()
    allowed = _check(lists, recommendable, "recommendable", dim=1).bool().cpu().clone()
    allowed[:1] = False  # padding
    number = max(int(allowed.sum()), 1)
    held, back = table[allowed].unique(return_inverse=True)
    same = torch.bincount(back, minlength=len(held)).double()  # items counted so often
    above = same.flip(0).cumsum(0).flip(0) - same  # items counted more often
    expected = torch.zeros(len(table), dtype=torch.float64)
    expected[allowed] = ((number + 1 - (above + (same + 1) / 2)) / number)[back]
    expected[table == 0] = 0.0
    if targets.offsets.shape != (len(lists) + 1,):
        raise ArgumentError("targets", f"{len(targets.offsets) - 1:,} queries", expected=f"{len(lists):,}")
    items = lists.detach().cpu().long()
    rows = torch.arange(len(lists)).unsqueeze(1) * len(table)
    wanted = (targets.owner.cpu() * len(table) + targets.values.cpu()).sort().values
    shown = rows + items
    place = torch.searchsorted(wanted, shown).clamp_(max=max(len(wanted) - 1, 0))
    right = (wanted[place] == shown) & allowed[items] if len(wanted) else torch.zeros_like(allowed[items])
    places = torch.arange(lists.shape[1]).double()
    gain = ((number - places) / number - expected[items]).clamp(min=0.0) * right
    sums = gain.sum(1) / max(lists.shape[1], 1)
    return torch.where(targets.lengths.cpu() > 0, sums, torch.nan).numpy()


# -- the catalogue ------------------------------------------------------------------------------------------


def exposure(lists: Tensor, recommendable: Tensor) -> Tensor:
    """How many lists show each of the n recommendable items, int64 [n]."""
    allowed = _check(lists, recommendable, "recommendable", dim=1).bool().clone()
    allowed[:1] = False  # padding
    return torch.bincount(lists.reshape(-1), minlength=len(allowed))[allowed]


def item_coverage(lists: Tensor, recommendable: Tensor) -> float:
    """The share of recommendable items that stand in some list.

    Shapes: lists [Q, K]; recommendable bool [V]; item 0 never counts.
    Returns: in [0, 1]; NaN where nothing is recommendable.
    Raises: ArgumentError where shapes do not fit.

    >>> item_coverage(torch.tensor([[1, 2], [2, 0]]), torch.tensor([False, True, True, True, True]))
    0.5
    """
    return coverage_of(exposure(lists, recommendable))


def coverage_of(shown: Tensor) -> float:
    """`item_coverage` from how often each item is shown, [n]."""
    return float((shown > 0).double().mean())


def exposure_gini(lists: Tensor, recommendable: Tensor) -> float:
    """Gini coefficient of how often recommendable items are shown, those never shown included.

    sum_i (2 i - n - 1) x_i / (n sum x), with x_1 <= ... <= x_n: 0 where all are shown alike, (n - 1) / n
    where one item takes all.

    Shapes: lists [Q, K]; recommendable bool [V]; item 0 never counts.
    Returns: in [0, 1); NaN where nothing recommendable is shown.
    Raises: ArgumentError where shapes do not fit.

    >>> exposure_gini(torch.tensor([[1], [1]]), torch.tensor([False, True, True, True, True]))
    0.75
    """
    return gini_of(exposure(lists, recommendable))


def gini_of(shown: Tensor) -> float:
    """`exposure_gini` from how often each item is shown, integers [n]; by counting, not sorting."""
    return gini_by(torch.bincount(shown), shown.sum())


def gini_by(items: Tensor, total: Tensor) -> float:
    """`gini_of` from how many items are shown so often, integers [m], and how often all of them are."""
    size, often = items.sum(), torch.arange(len(items), device=items.device)
    # the places i of items that are shown alike add up to items (2 before + items + 1) / 2
    found = (often * items * (2 * (items.cumsum(0) - items) + items - size)).sum()
    return float(found.double() / (size * total))


# -- users beside each other --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Alike:
    """Sums over lists from which the mean likeness of two users' lists follows.

    A list is a vector of length 1 over the items: one over the root of its length where an item stands in it.
    Those of some users can be taken off.

    Attributes:
        mass: [V] float64, the sum of all of them.
        own: the squared length of each user's sum, over all users.
        lists: how many lists hold an item.
        pairs: the squared number of each user's lists, over all users.
    """

    mass: Tensor
    own: float
    lists: int
    pairs: int

    @property
    def personalisation(self) -> float:
        """1 less the mean cosine of two lists of different users; NaN where there are no two."""
        return _apart(float(self.mass.square().sum()) - self.own, self.lists, self.pairs)

    def personalisation_without(self, other: "Sums", square: float) -> float:
        """The same without the lists of `other`, whose users are among these, with all their lists.

        Args:
            other: their sums.
            square: the squared length of what is left of `mass`.
        """
        return _apart(square - (self.own - other.own), self.lists - other.lists, self.pairs - other.pairs)


def _apart(shared: float, lists: int, pairs: int) -> float:
    between = lists**2 - pairs
    return min(max(1 - shared / between, 0.0), 1.0) if between else float("nan")


class Sums(NamedTuple):
    """What `Alike` is made of: `mass` adds up `parts` by `items`, [n] each; the others are its own."""

    items: Tensor
    parts: Tensor
    own: float
    lists: int
    pairs: int


def alike(lists: Tensor, users: Tensor, items: int) -> Alike:
    """The sums of `personalisation`, in as many steps as the lists hold items.

    Args:
        lists: items.
        users: whose list each is, integers of at least 0.
        items: the vocabulary size V.

    Shapes: lists [Q, K]; users [Q].
    """
    sums = alike_of(lists, users)
    mass = torch.bincount(sums.items, sums.parts, minlength=items).double()
    return Alike(mass, sums.own, sums.lists, sums.pairs)


def alike_of(lists: Tensor, users: Tensor) -> Sums:
    """The sums of `alike` before they are added up by item: nothing here is as large as the catalogue."""
    real = lists > 0
    length = real.sum(1)
    part = length.clamp(min=1).double().rsqrt().unsqueeze(1).expand(lists.shape)[real]
    held = lists[real]
    size = int(held.max()) + 1 if len(held) else 1
    keys = users.long().unsqueeze(1).expand(lists.shape)[real] * size + held
    cells = keys.unique(return_inverse=True)[1]  # one a user and item
    own = torch.bincount(cells, part).square().sum() if len(cells) else torch.zeros(1)
    counts = users[length > 0].unique(return_counts=True)[1]
    return Sums(held, part, float(own), int((length > 0).sum()), int(counts.square().sum()))


def personalisation(lists: Tensor, users: Tensor | NDArray[np.int64] | None = None) -> float:
    """How differently users are served: 1 - the mean cosine of the lists of two different users.

    Of lists of equal length K the cosine is the share of items that both hold: 0 where everybody gets the
    same list, 1 where no two people get the same item. Counted from how often items are shown, so it is exact
    at the cost of reading the lists once, not of comparing all pairs.

    Args:
        lists: items; a list without any is left out.
        users: whose list each is, as several lists of one user are no two people's; None: one a user.

    Shapes: lists [Q, K]; users [Q].
    Returns: in [0, 1]; NaN where fewer than two users have a list.
    Raises: ArgumentError where shapes do not fit.
    Source: cosine of binary lists, as "personalization" in recmetrics; over pairs of users, not of queries
        (ours).

    >>> personalisation(torch.tensor([[1, 2], [2, 3], [2, 4]]))
    0.5
    """
    size = int(lists.max()) + 1 if lists.numel() else 1
    _check(lists, torch.zeros(size), "lists", dim=1)
    owner = torch.arange(len(lists)) if users is None else torch.as_tensor(users)
    if owner.shape != lists.shape[:1] or owner.is_floating_point():
        raise ArgumentError("users", list(owner.shape), expected=f"integers of shape [{len(lists)}]")
    owner = owner.unique(return_inverse=True)[1].to(lists.device)
    return alike(lists, owner, size).personalisation
