"""Lists under rules: candidates in their order unless a quota is full, and pinned items at their places."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from penchant.data.batch import Requests
from penchant.funnel.rules import Cap, Terms
from penchant.protocols import Candidates

RULES = "rules"  # the stage, and where pinned items come from
_CELLS = 1 << 26  # request-item pairs of a mask: bounds memory, not results

More = Callable[[Tensor, Tensor], Candidates]
"""Asks the stages anew for the requests at `rows` [b], for what is `eligible` [b, V] alone."""


@dataclass(frozen=True, eq=False)
class Listed:
    """A list under rules, and what they did to it.

    Attributes:
        answer: at most k items each; the score of a pinned one is NaN and its origin "rules".
        pinned: [B, k] bool.
        moved: [B, k] int64, places that an item stands above (below 0: beneath) its place without quotas and
            pins.
        deeper: [B, k] bool, whether it stood behind all candidates of the first asking.
        passed: by column, [B, k] bool, whether its quota passed over an item above this one.
    """

    answer: Candidates
    pinned: Tensor
    moved: Tensor
    deeper: Tensor
    passed: Mapping[str, Tensor]


def arranged(found: Candidates, requests: Requests, k: int, terms: Terms, more: More) -> Listed:
    """The best k items under quotas and pins.

    Pinned items count first, all of them, so that a list is the beginning of any longer one. Then candidates
    are taken in order; one is passed over if any of its categories is full by then. Where they do not fill a
    list, the stages are asked for more items of categories that are not full, which stand behind the others
    whatever they score, until they find no more: a list is shorter than k only where no further item may be
    answered. There a pinned item moves up.

    Args:
        found: what the last stage answered, [B, C].
        requests: what it was asked.
        k: length of the list.
        terms: the rules.
        more: asks for more.
    """
    walk = _Walk(found, requests, k, terms)
    walk.take(torch.arange(len(requests), device=found.item.device), found)
    while len(short := walk.short()):
        for rows in short.split(max(1, _CELLS // walk.size)):
            walk.take(rows, more(rows, walk.open(rows)), deeper=True)
    return walk.close()


class _Walk:
    """Lists that grow, of all requests at once."""

    def __init__(self, found: Candidates, requests: Requests, k: int, terms: Terms) -> None:
        self.k, self.caps, self.eligible = k, terms.caps, requests.eligible
        self.size = max((len(cap.labels) for cap in terms.caps.values()), default=1)  # V
        pins = terms.pins.expand(len(requests), -1)  # [B, P]
        if requests.eligible is not None:
            pins = pins.masked_fill(~requests.eligible.expand(len(requests), -1).gather(1, pins), 0)
        self.forced = torch.nn.functional.pad(pins, (0, max(0, k - pins.shape[1])))[:, :k]
        self.pins = pins[:, terms.pins != 0]
        self.used = {name: _counted(self.pins, cap) for name, cap in self.caps.items()}  # [B, L]
        self.left = k - (self.forced != 0).sum(1)  # [B] free places
        self.filled = torch.zeros_like(self.left)
        self.done = torch.zeros_like(self.left, dtype=torch.bool)
        self.origins = found.origins
        self.item = found.item.new_zeros(len(requests), k)
        self.score = found.score.new_full(self.item.shape, -torch.inf)
        self.origin, self.rank = torch.zeros_like(self.item), torch.zeros_like(self.item)
        self.deeper = torch.zeros_like(self.item, dtype=torch.bool)
        self.passed = {name: torch.zeros_like(self.deeper) for name in self.caps}
        self.over = {name: torch.zeros_like(self.done) for name in self.caps}

    def take(self, rows: Tensor, found: Candidates, *, deeper: bool = False) -> None:
        """Goes on with what was found [b, C] for the requests at `rows` [b]."""
        assert found.origin is not None
        free = (found.item != 0) & ~(found.item.unsqueeze(2) == self.pins[rows].unsqueeze(1)).any(2)
        taken, over = self._chosen(rows, found.item, free)
        b, c = taken.nonzero(as_tuple=True)
        place = self.filled[rows][b] + taken.cumsum(1)[b, c] - 1
        row = rows[b]
        self.item[row, place] = found.item[b, c]
        self.score[row, place] = found.score[b, c]
        self.origin[row, place] = found.origin[b, c]
        self.rank[row, place] = c
        self.deeper[row, place] = deeper
        for name, passed in over.items():
            # behind the first candidates everything is there because some of those were passed over
            self.passed[name][row, place] = (passed.cumsum(1) > 0)[b, c] | (self.over[name][row] & deeper)
        if not deeper:
            self.over = {name: passed.any(1) for name, passed in over.items()}
        self.filled[rows] += taken.sum(1)
        # they found all there is; or what is not to be taken, though asked for open items alone
        self.done[rows] = (found.item == 0).any(1) | (~taken.any(1) & deeper)

    def _chosen(self, rows: Tensor, item: Tensor, free: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Which candidates are taken [b, C], and by column which its quota passes over [b, C]."""
        left = self.left[rows]
        if not self.caps:
            taken = free & (free.cumsum(1) <= left.unsqueeze(1))
            return taken, {}
        taken = torch.zeros_like(free)
        over = {name: torch.zeros_like(free) for name in self.caps}
        labels = {name: _labels(cap, item) for name, cap in self.caps.items()}  # [b, C, M]
        used = {name: used[rows] for name, used in self.used.items()}
        for c in free.any(0).nonzero().squeeze(1).tolist():  # where nobody has a candidate nothing happens
            take = free[:, c] & (left > 0)
            for name, cap in self.caps.items():
                mine = labels[name][:, c]
                full = (used[name].gather(1, mine) >= cap.most[mine]).any(1)
                over[name][:, c] = full & free[:, c]
                take = take & ~full
            for name, count in used.items():
                mine = labels[name][:, c]
                count.scatter_add_(1, mine, take.long().unsqueeze(1).expand_as(mine))
            taken[:, c] = take
            left = left - take.long()
            if not bool(left.any()):
                break
        for name, count in used.items():
            self.used[name][rows] = count
        self.left[rows] = left
        return taken, over

    def short(self) -> Tensor:
        """Requests whose lists may still grow, [b]."""
        return ((self.left > 0) & ~self.done).nonzero().squeeze(1) if self.caps else self.left[:0]

    def open(self, rows: Tensor) -> Tensor:
        """What may still be taken by the requests at `rows` [b]: [b, V]."""
        mask = torch.ones(self.size, len(rows), dtype=torch.bool, device=rows.device)  # whole rows are copied
        for name, cap in self.caps.items():
            free = (self.used[name][rows] < cap.most).T.contiguous()  # [L, b]
            for labels in cap.labels.T:
                mask &= free.index_select(0, labels)
        mask = mask.T
        if self.eligible is not None:
            mask = mask & (self.eligible if self.eligible.dim() == 1 else self.eligible[rows])
        gone = torch.cat([self.item[rows], self.pins[rows]], 1)
        return mask.scatter_(1, gone, False)

    def close(self) -> Listed:
        """The lists with pinned items at their places."""
        pinned = self.forced != 0
        source = ((~pinned).cumsum(1) - 1).clamp(min=0)  # which of the free items stands at a free place
        place = torch.arange(self.k, device=source.device).expand_as(source)
        item = torch.where(pinned, self.forced, self.item.gather(1, source))
        order = (item == 0).long().sort(dim=1, stable=True).indices  # a short list closes up
        source, pinned, item = source.gather(1, order), pinned.gather(1, order), item.gather(1, order)
        free = (item != 0) & ~pinned
        deeper = self.deeper.gather(1, source) & free
        answer = Candidates(
            item,
            self.score.gather(1, source).masked_fill(item == 0, -torch.inf).masked_fill(pinned, torch.nan),
            self.origin.gather(1, source).masked_fill(pinned, len(self.origins)).masked_fill(item == 0, 0),
            (*self.origins, RULES),
        )
        moved = (self.rank.gather(1, source) - place).masked_fill(~free | deeper, 0)
        passed = {name: over.gather(1, source) & free for name, over in self.passed.items()}
        return Listed(answer, pinned, moved, deeper, passed)


def _labels(cap: Cap, items: Tensor) -> Tensor:
    """The values of items [b, C], each once: [b, C, M], 0 where there are fewer."""
    labels = cap.labels.index_select(0, items.flatten())
    labels = labels.view(*items.shape, cap.labels.shape[1]).sort(dim=2).values
    again = labels[..., 1:] == labels[..., :-1]
    return torch.cat([labels[..., :1], labels[..., 1:].masked_fill(again, 0)], 2)


def _counted(items: Tensor, cap: Cap) -> Tensor:
    """How many of `items` [B, n] have each value, [B, L]."""
    each = _labels(cap, items).flatten(1)
    return each.new_zeros(len(items), len(cap.most)).scatter_add_(1, each, torch.ones_like(each))
