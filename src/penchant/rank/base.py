"""The ranker that reads no history: logistic regression, factorisation machine, network, or some of them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from penchant.data.batch import Batch, Requests
from penchant.data.interactions import Features, require_features
from penchant.data.loader import Source
from penchant.data.sources import Pointwise
from penchant.data.split import Split
from penchant.errors import ArgumentError
from penchant.nn.mlp import Activation
from penchant.protocols import Defaults, Loss
from penchant.rank.checks import check_choice, check_share, check_sizes
from penchant.rank.head import Head, cross_entropy, pairs_of, present_of
from penchant.rank.inputs import ItemFields, UserFields


class State(NamedTuple):
    """All that does not depend on the candidate.

    Attributes:
        fields: of user and context, [B, F, D].
        linear: their logistic part, [B].
        crosses: the sum of their products with one another, [B].
    """

    fields: Tensor
    linear: Tensor
    crosses: Tensor


class NoHistory(nn.Module):
    """DeepFM without a history: what there is to gain from histories is measured against this.

    The logit is the sum of a bias, one number a field (logistic regression), the inner products of all pairs
    of fields (factorisation machine), and a network over all fields side by side.

    Args:
        features: what the store holds.
        width: D, of each field.
        head: hidden widths of the network; none: no network.
        categories: item categories read beside the id.
        numbers: item numbers, likewise.
        user_id: whether users have a vector of their own (unknown ones share one).
        people: user attributes.
        context: log columns that come with the request.
        linear: whether the logistic part counts.
        crosses: whether the products of fields count.
        activation: of the network.
        batch_norm: whether its inputs are normalised.
        dropout: in the network.
        negatives: items drawn beside each positive; None: 4, or 0 where the log holds labels of its own.
        alpha: they are drawn with probability proportional to training count ** alpha. Behind retrievers,
            whose candidates are popular, negatives of alpha 1 are more like what the ranker will be asked.
        seed: the initial weights depend on this and on nothing else.

    Shapes: B requests, C candidates.
    Raises: ArgumentError for a size below 1, an unknown choice, a column that the store lacks, or no part.
    Source: Guo et al. 2017 (DeepFM); Rendle 2010 (FM), lemma 3.1.
    """

    history = 0  # events read
    fitted = False
    defaults = Defaults(learning_rate=1e-3, batch_size=512, epochs=20, patience=2, metric="gauc")

    def __init__(
        self, features: Features, *, width: int = 32, head: Sequence[int] = (200, 80),
        categories: Sequence[str] = (), numbers: Sequence[str] = (), user_id: bool = False,
        people: Sequence[str] = (), context: Sequence[str] = (), linear: bool = True, crosses: bool = True,
        activation: Activation = "dice", batch_norm: bool = True, dropout: float = 0.0,
        negatives: int | None = None, alpha: float = 0.0, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        require_features(features)
        check_sizes(width=width, head=head)
        check_choice("activation", activation, Activation)
        check_share("dropout", dropout)
        if not (linear or crosses or head):
            raise ArgumentError("linear", linear, expected="at least one of linear, crosses and head")
        self.features = features
        self.width, self.head = width, tuple(head)
        self.categories, self.numbers = tuple(categories), tuple(numbers)
        self.user_id, self.people, self.context = user_id, tuple(people), tuple(context)
        self.linear, self.crosses = linear, crosses
        self.activation, self.batch_norm, self.dropout, self.seed = activation, batch_norm, dropout, seed
        self.negatives, self.alpha = negatives, alpha
        self.couples_rows = bool(head) and (batch_norm or activation == "dice")  # in training
        generator = Generator().manual_seed(seed)

        def fields(d: int) -> tuple[ItemFields, UserFields]:
            return (
                ItemFields(features, width=d, categories=categories, numbers=numbers, generator=generator),
                UserFields(
                    features, width=d, user_id=user_id, people=people, context=context, generator=generator
                ),
            )

        self.bias = nn.Parameter(torch.zeros(()))
        self.items, self.user = fields(width)
        self.item_slopes, self.user_slopes = fields(1) if linear else (None, None)  # a number a field
        inputs = width * (self.items.fields + self.user.fields)
        self.tower = (
            Head(
                inputs,
                head,
                activation=activation,
                batch_norm=batch_norm,
                dropout=dropout,
                generator=generator,
            )
            if head
            else None
        )

    def prepare(self, split: Split) -> None:
        """Count on training rows what the inputs need: known items and users, scales of numbers."""
        for fields in (self.items, self.user, self.item_slopes, self.user_slopes):
            if fields is not None:
                fields.prepare(split)

    def encode_user(self, requests: Requests) -> State:
        """What every candidate of a request shares."""
        fields: Tensor = self.user(requests)  # [B, F, D]
        none = fields.new_zeros(len(requests))
        linear = none if self.user_slopes is None else self.user_slopes(requests).sum((1, 2))
        return State(fields, linear, pairwise(fields) if self.crosses else none)

    def score(self, state: State, items: Tensor) -> Tensor:
        """Logits [B, C] of items [B, C]."""
        fields: Tensor = self.items(items)  # [B, C, F, D]
        logits = (self.bias + state.linear).unsqueeze(1)
        if self.item_slopes is not None:
            logits = logits + self.item_slopes(items).sum((2, 3))
        if self.crosses:
            # every field of the item with every one of the user
            between = fields.sum(2) @ state.fields.sum(1).unsqueeze(-1)  # [B, C, 1]
            logits = logits + state.crosses.unsqueeze(1) + pairwise(fields) + between.squeeze(-1)
        if self.tower is not None:
            of_user = state.fields.flatten(1).unsqueeze(1).expand(-1, items.shape[1], -1)
            logits = logits + self.tower(torch.cat([of_user, fields.flatten(2)], -1), present_of(items))
        return logits.expand(items.shape)

    def source(self, split: Split, *, batch_size: int, seed: int) -> Source:
        """Targets with their labels, and sampled negatives where the log has no labels."""
        examples = Pointwise(split, history=1, negatives=self.negatives, alpha=self.alpha)
        return Source(examples, batch_size=batch_size, seed=seed)

    def loss(self, batch: Batch) -> Loss:
        """Binary cross-entropy of targets and negatives."""
        pairs = pairs_of(batch)
        return cross_entropy(self.score(self.encode_user(batch.requests), pairs.items), pairs)


def pairwise(fields: Tensor) -> Tensor:
    """The sum of the inner products of all pairs of fields [..., F, D]: [...], in time linear in F.

    >>> pairwise(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))  # 1*3+2*4 + 1*5+2*6 + 3*5+4*6
    tensor(67.)
    """
    return (fields.sum(-2).square() - fields.square().sum(-2)).sum(-1) / 2
