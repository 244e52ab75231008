"""A model for tests of training: which item follows which, learned by a sampled softmax."""

import torch
import torch.nn.functional as F
from torch import Generator, nn

from logs import random_log
from penchant.data import Batch, Histories, Sequences, Source, split_leave_last
from penchant.nn.embedding import ItemTable
from penchant.protocols import Defaults, Loss


class Tiny(nn.Module):
    """Scores item j after item i by <from_i, to_j>; has negatives, dropout, BatchNorm and a penalty."""

    defaults = Defaults(learning_rate=0.05, batch_size=16, epochs=4, patience=2, metric="hit", clip=5.0)

    def __init__(self, features, *, width=8, dropout=0.1, negatives=10, sparse=True, batch_norm=True, seed=0):
        super().__init__()
        self.width, self.dropout, self.negatives = width, dropout, negatives
        self.sparse, self.batch_norm, self.seed = sparse, batch_norm, seed
        generator = Generator().manual_seed(seed)
        self.before = ItemTable(features.items, width, std=0.1, generator=generator, sparse=sparse)
        self.after = ItemTable(features.items, width, std=0.1, generator=generator, sparse=sparse)
        self.turn = nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width) if batch_norm else nn.Identity()
        with torch.no_grad():
            self.turn.weight.copy_(torch.eye(width))
            self.turn.bias.zero_()
        self.drop = nn.Dropout(dropout)
        self.prepared = 0

    def prepare(self, split):
        self.prepared += 1
        self.before.prepare(split)
        self.after.prepare(split)

    def source(self, split, *, batch_size, seed):
        return Source(
            Sequences(split, history=20, negatives=self.negatives), batch_size=batch_size, seed=seed
        )

    def states(self, items):
        return self.norm(self.turn(self.drop(self.before(items))))

    def loss(self, batch):
        states = self.states(batch.histories.item)  # [T, D]
        right = (states * self.after(batch.target)).sum(-1, keepdim=True)
        wrong = states @ self.after(batch.extra["negatives"]).T
        wrong = wrong.masked_fill(batch.extra["negatives"] == batch.target.unsqueeze(1), -torch.inf)
        each = F.cross_entropy(
            torch.cat([right, wrong], 1), torch.zeros(len(right), dtype=torch.long), reduction="none"
        )
        weight = batch.weight * (batch.target > 0)
        size = self.turn.weight.square().mean()
        parts = {"softmax": (weight * each).sum() / weight.sum(), "size": size}
        return Loss((weight * each).sum(), weight.sum(), 0.01 * size, parts)

    def hit(self):
        """The share of items i whose best successor is i + 1, as the planted taste has it."""
        items = torch.arange(2, self.after.weight.shape[0])
        best = (self.states(items) @ self.after(items).T).argmax(1)
        return float((best == (items - 1) % len(items)).double().mean())


def tiny(split, **settings):
    """The model for the log of a split."""
    return Tiny(split.log.features, **settings)


def planted(users=60, items=20, *, seed=0):
    """A split of a log in which item i tends to be followed by item i + 1."""
    return split_leave_last(random_log(users, items, mean=12, taste=0.9, seed=seed))


def hits(model):
    """A validation."""
    with torch.no_grad():
        return {"hit": model.hit(), "loss": 1 - model.hit()}


def weights(model):
    """A copy of all parameters and buffers."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same(a, b):
    """Equal to the bit."""
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


class Rows:
    """Examples of your own: item, label and weight of each."""

    def __init__(self, items, labels, weights=None):
        self.items, self.labels = torch.tensor(items), torch.tensor(labels)
        self.weights = torch.ones(len(items)) if weights is None else torch.tensor(weights)

    def __len__(self):
        return len(self.items)

    def batch(self, index, generator):
        none = torch.zeros(len(index), dtype=torch.long)
        return Batch(
            row=index,
            user=none,
            at=none,
            target=self.items[index],
            weight=self.weights[index],
            label=self.labels[index],
            histories=Histories(torch.zeros(len(index) + 1, dtype=torch.long), none[:0]),
        )


class Line(nn.Module):
    """A number an item through a line: no draws, nothing that couples rows."""

    defaults = Defaults(learning_rate=0.1, epochs=3, batch_size=4)

    def __init__(self, *, items=5, penalty=0.1, sparse=False):
        super().__init__()
        self.items, self.penalty, self.sparse = items, penalty, sparse
        self.table = nn.Embedding(items, 2, sparse=sparse)
        self.head = nn.Linear(2, 1)
        generator = Generator().manual_seed(0)
        with torch.no_grad():
            for p in self.parameters():
                p.normal_(generator=generator)

    def source(self, split, *, batch_size, seed):
        raise NotImplementedError  # tests bring sources of their own

    def loss(self, batch):
        each = (self.head(self.table(batch.target)).squeeze(1) - batch.label).square()
        return Loss(
            (batch.weight * each).sum(),
            batch.weight.sum(),
            self.penalty * self.head.weight.square().sum(),
            {"square": (batch.weight * each).sum() / batch.weight.sum()},
        )
