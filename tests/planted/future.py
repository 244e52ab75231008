"""A log whose future tells all and whose past tells nothing: items are drawn anew, and twins follow them."""

import torch

from logs import log_of
from penchant.data import Interactions, Requests
from penchant.protocols import Candidates


def telling_log(users: int = 40, pairs: int = 6, items: int = 200, seed: int = 0) -> Interactions:
    """Each user's events are a, twin(a), b, twin(b), ...: uniform items, and i + items is the twin of i."""
    g = torch.Generator().manual_seed(seed)
    first = torch.randint(2, items + 2, (users, pairs), generator=g)
    begin = torch.randint(0, 100_000, (users, 1), generator=g)
    times = (begin + 60 * torch.arange(2 * pairs)).tolist()
    rows = torch.stack([first, first + items], 2).flatten(1).tolist()
    return log_of(rows, times=times, items=2 * items + 2)


class ReadsTheTwin:
    """Answers the item whose twin was seen last: right whenever the twin of the target is in the history."""

    def __init__(self, items: int = 200) -> None:
        self.items = items

    def retrieve(self, requests: Requests, k: int, dials: object = None) -> Candidates:
        newest = requests.histories.tail(1)
        item = torch.zeros(len(requests), k, dtype=torch.int64)
        item[newest.lengths > 0, 0] = newest.item.long() - self.items
        item[item < 2] = 0
        return Candidates(item, torch.where(item > 0, 1.0, -torch.inf))
