"""Items that a user did not choose, drawn for training."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from penchant.data.provenance import Provenance
from penchant.data.split import Split
from penchant.errors import ArgumentError


class Sampler(Protocol):
    """Draws items with known probabilities, independently and with replacement."""

    log_q: Tensor

    def draw(self, count: int, generator: Generator) -> Tensor:
        """[count] int64 items; item i has probability exp(log_q[i])."""
        ...


class Uniform:
    """Every item of `items` with the same probability.

    Args:
        items: [n] int64 items to draw from (seen in training, as a rule).
        size: V, the length of `log_q`.
        provenance: which rows told what to draw from.
    """

    def __init__(self, items: Tensor, size: int, *, provenance: tuple[Provenance, ...] = ()) -> None:
        if not len(items):
            raise ArgumentError("items", items, expected="at least one item to draw")
        self.items, self.provenance = items, provenance
        self.log_q = torch.full((size,), -torch.inf)
        self.log_q[items] = -torch.log(torch.tensor(float(len(items))))

    def draw(self, count: int, generator: Generator) -> Tensor:
        """[count] int64."""
        return self.items.index_select(0, torch.randint(len(self.items), (count,), generator=generator))


class Popularity:
    """Item i with probability proportional to count_i ** alpha, by Walker's alias table: O(1) a draw.

    Args:
        counts: [V] training events an item; items with 0 are never drawn.
        alpha: 0 is uniform over seen items, 1 the training frequency.
        provenance: which rows were counted.
    """

    def __init__(
        self, counts: Tensor, *, alpha: float = 0.75, provenance: tuple[Provenance, ...] = ()
    ) -> None:
        self.items, self.provenance = counts.nonzero().squeeze(1), provenance
        if not len(self.items):
            raise ArgumentError("counts", counts, expected="at least one item with a count above 0")
        weight = counts[self.items].double() ** alpha
        probability = weight / weight.sum()
        self.log_q = torch.full((len(counts),), -torch.inf)
        self.log_q[self.items] = probability.log().float()
        self._keep, self._alias = _alias_table(probability)

    def draw(self, count: int, generator: Generator) -> Tensor:
        """[count] int64."""
        place = torch.randint(len(self.items), (count,), generator=generator)
        coin = torch.rand(count, generator=generator, dtype=torch.float64)
        place = torch.where(
            coin < self._keep.index_select(0, place), place, self._alias.index_select(0, place)
        )
        return self.items.index_select(0, place)


def _alias_table(probability: Tensor) -> tuple[Tensor, Tensor]:
    """What each column keeps [n], and who gets the rest [n]; Walker's table without a loop over items.

    Lay what the small columns (below the mean) lack end to end, and beside it what the large ones have to
    give: both are equally long. A small column is topped up whole by the large column in whose stretch its
    need begins. That may overdraw the large one, by less than a unit; the next large one makes up for it.
    """
    n = len(probability)
    scaled = probability * n
    order = torch.argsort(scaled)
    scaled = scaled[order]
    small = int((scaled < 1).sum())
    keep, alias = torch.ones(n, dtype=torch.float64), torch.arange(n)
    if 0 < small < n:
        deficit = (1 - scaled[:small]).cumsum(0)  # end of each small column's need
        surplus = (scaled[small:] - 1).cumsum(0)  # end of each large column's offer
        keep[:small] = scaled[:small]
        # the large column in whose stretch the need begins pays for it whole
        begin = deficit - (1 - scaled[:small])
        alias[:small] = small + torch.searchsorted(surplus, begin, right=True).clamp(max=n - small - 1)
        # needs that begin before the end of large column j's stretch: what they take beyond it, j lacks and
        # the next large column gives
        taken = torch.searchsorted(begin, surplus, right=False)  # small columns served by large ones 0..j
        served = torch.where(taken > 0, deficit[(taken - 1).clamp(min=0)], torch.zeros_like(surplus))
        lacking = (served - surplus).clamp(min=0)
        keep[small:] = 1 - lacking
        alias[small:] = torch.arange(small, n) + 1
        alias[-1], keep[-1] = n - 1, 1.0
    keep_out, alias_out = torch.empty_like(keep), torch.empty_like(alias)
    keep_out[order], alias_out[order] = keep, order[alias]
    return keep_out, alias_out


@dataclass(frozen=True, eq=False)
class Seen:
    """Which (user, item) pairs occur, and in which row first: answers "had the user seen it by then?".

    Attributes:
        keys: sorted unique user * V + item, [P] int64.
        first: row of the first occurrence, [P] int64.
        size: V.
        provenance: which rows they were read from.
    """

    keys: Tensor
    first: Tensor
    size: int
    provenance: tuple[Provenance, ...] = ()

    @classmethod
    def of(cls, split: Split, rows: Tensor) -> "Seen":
        """The pairs of the log at `rows` (ascending)."""
        keys = split.log.user_of(rows) * len(split.log.catalogue) + split.log.item.index_select(0, rows)
        keys, order = torch.sort(keys, stable=True)
        new = torch.ones_like(keys, dtype=torch.bool)
        new[1:] = keys[1:] != keys[:-1]
        counted = Provenance.of("items that negatives avoid", split, rows)
        return cls(keys[new], rows[order][new], len(split.log.catalogue), (counted,))

    def before(self, users: Tensor, items: Tensor, rows: Tensor) -> Tensor:
        """Whether `users` had seen `items` in a row before `rows` [n]; broadcast, bool."""
        if not len(self.keys):
            return torch.zeros_like(items, dtype=torch.bool)
        keys = users * self.size + items
        place = torch.searchsorted(self.keys, keys).clamp_(max=len(self.keys) - 1)
        return (self.keys[place] == keys) & (self.first[place] < rows)


def draw_unseen(
    sampler: Sampler,
    seen: Seen,
    users: Tensor,
    rows: Tensor,
    target: Tensor,
    count: int,
    generator: Generator,
    *,
    rounds: int = 16,
) -> tuple[Tensor, Tensor]:
    """`count` items for each of n examples that its user had not seen before `rows`, and that are not its
    target.

    Returns: items [n, count] int64 and whether each is good, [n, count] bool: after `rounds` redraws what is
        still seen (a user who saw nearly everything) is marked, so that its example can weigh nothing.
    """
    device = target.device  # what is drawn depends on the generator alone, not on where it is wanted
    users, rows, target = users.unsqueeze(1), rows.unsqueeze(1), target.unsqueeze(1)
    drawn = sampler.draw(len(users) * count, generator).to(device).view(-1, count)
    bad = seen.before(users, drawn, rows) | (drawn == target)
    for _ in range(rounds):
        where = bad.nonzero()
        if not len(where):
            break
        again = sampler.draw(len(where), generator).to(device)
        b = where[:, 0]
        drawn[where[:, 0], where[:, 1]] = again
        bad[where[:, 0], where[:, 1]] = seen.before(users[b, 0], again, rows[b, 0]) | (again == target[b, 0])
    return drawn, ~bad
