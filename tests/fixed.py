"""A retriever for tests that thinks the same of everybody."""

import torch
from torch import Tensor

from penchant.data import Requests
from penchant.nn.topk import topk
from penchant.protocols import Candidates


class Fixed:
    """Scores every item alike for every user, by rules as any retriever keeps them."""

    def __init__(self, score: Tensor) -> None:
        self.score = score.float()
        self.asked: list[Requests] = []

    def retrieve(self, requests: Requests, k: int, dials: object = None) -> Candidates:
        self.asked.append(requests)
        scores = self.score.expand(len(requests), -1).clone()
        scores[:, :2] = -torch.inf
        if requests.eligible is not None:
            scores[:, ~requests.eligible] = -torch.inf
        if requests.exclude is not None:
            scores[requests.exclude.owner, requests.exclude.values.long()] = -torch.inf
        values, items = topk(scores, k)
        return Candidates(items, values)
