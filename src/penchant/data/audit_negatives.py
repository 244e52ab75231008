"""Whether negatives were drawn by somebody who knows what their users take later."""

import hashlib
from typing import Any

import torch
from torch import Tensor

from penchant.data.retrace import Retracer, pair_place

EXPECTED = 25.0  # chance hits, of which not one was seen: by chance once in 7e10 audits


class Drawn:
    """Counts negatives drawn for one example each: how many a user, how often each item, how many hit.

    A hit is an item that the user takes in a validation or test row and in no training row. Who rejects no
    more than the past hits some of them; who never does knows them.

    Args:
        tracer: of the split.
    """

    def __init__(self, tracer: Retracer) -> None:
        self._tracer, self._size = tracer, len(tracer.log.catalogue)
        self._users = torch.zeros(len(tracer.log.users), dtype=torch.float64)
        self._items = torch.zeros(self._size, dtype=torch.float64)
        self._known: set[bytes] = set()
        self.hits = 0

    def add(self, users: Tensor, drawn: Tensor, count: Tensor, *, again: bool = False) -> None:
        """Counts the negatives `drawn` [B, M] for `users` [B] where `count` [B, M].

        Args:
            users: whose.
            drawn: items.
            count: which of them count.
            again: whether it is a later look at a source, so that what is drawn may be what was drawn.
        """
        array: Any = drawn.contiguous().numpy()
        digest = hashlib.blake2b(array, digest_size=16).digest()
        if again and digest in self._known:
            return
        self._known.add(digest)
        chosen = count & (drawn >= 0) & (drawn < self._size)
        owner, items = users.unsqueeze(1).expand_as(drawn)[chosen], drawn[chosen]
        ones = torch.ones(len(items), dtype=torch.float64)
        self._users.index_add_(0, owner, ones)
        self._items.index_add_(0, items, ones)
        _, later = pair_place(self._tracer.later, self._tracer.pair(owner, items))
        self.hits += int(later.sum())

    @property
    def total(self) -> float:
        """How many were counted."""
        return float(self._items.sum())

    @property
    def expected(self) -> float:
        """The hits that chance gives; 0 where there is nothing to hit."""
        if not self.total:
            return 0.0
        users, items = self._tracer.later // self._size, self._tracer.later % self._size
        return float((self._users[users] * self._items[items]).sum()) / self.total

    @property
    def open(self) -> bool:
        """Whether more draws would tell something: there was no hit, and chance gives few."""
        return not self.hits and 0 < self.expected < EXPECTED
