"""DIN: the history is pooled anew for every candidate, each event weighted by its relevance to it."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Generator, Tensor, nn

from penchant.data.batch import Batch, Requests
from penchant.data.interactions import Features, require_features
from penchant.data.loader import Source
from penchant.data.sources import Pointwise
from penchant.data.split import Split
from penchant.errors import ArgumentError
from penchant.nn.mlp import Activation
from penchant.protocols import Contribution, Defaults, Loss
from penchant.rank.activation_unit import ActivationUnit
from penchant.rank.checks import check_choice, check_share, check_sizes
from penchant.rank.head import Head, cross_entropy, pairs_of, present_of
from penchant.rank.inputs import EventFields, ItemFields, UserFields

Normalise = Literal["none", "softmax", "sigmoid"]
HeadInputs = Literal["paper", "product", "reference"]
_CELLS = 1 << 13  # (event, candidate) cells scored at once outside training: what stays in cache


class State(NamedTuple):
    """All that does not depend on the candidate.

    Attributes:
        events: vectors of history events, packed, [T, W].
        shares: what each event adds to the first layer of the activation unit, [T, H].
        owner: the request of each event, [T] int64.
        user: what is known of user and moment, [B, U].
        total: sum of each user's events [B, W], where the head reads it.
    """

    events: Tensor
    shares: Tensor
    owner: Tensor
    user: Tensor
    total: Tensor | None


class DIN(nn.Module):
    """Deep Interest Network.

    Args:
        features: what the store holds.
        width: D, of each field; an item is W = D times its fields wide.
        history: events read, newest kept.
        attention: hidden widths of the activation unit.
        head: hidden widths of the head.
        categories: item categories read beside the id, for candidate and history alike.
        numbers: item numbers, likewise.
        columns: columns of history events added to their vectors: "label", "event", or context columns.
        user_id: whether users have a vector of their own (unknown ones share one).
        people: user attributes.
        context: log columns that come with the request.
        normalise: "none": the weights of events as they come, so that a strong interest stays strong (the
            paper); "softmax", of weights / sqrt(W) (the authors' code); "sigmoid".
        difference: whether the activation unit reads v - h (the authors' code) beside v, h and v * h.
        head_inputs: what the head reads beside user and context, of the candidate v, the pooled history u
            and its plain sum s: "paper" [u, v]; "product" [u, v, u * v]; "reference" [u, v, s, v * s], as
            DIEN's code does.
        activation: of activation unit and head.
        batch_norm: whether the inputs of the head are normalised.
        dropout: in the head.
        negatives: items drawn beside each positive; None: 4, or 0 where the log holds labels of its own.
        alpha: they are drawn with probability proportional to training count ** alpha. Behind retrievers,
            whose candidates are popular, negatives of alpha 1 are more like what the ranker will be asked.
        seed: the initial weights depend on this and on nothing else.

    Shapes: B requests, T events in all, C candidates.
    Raises: ArgumentError for a size below 1, an unknown choice, or a column that the store lacks.
    Source: Zhou et al. 2018 (1706.06978). What paper and code disagree on is an argument above.
    """

    fitted = False
    defaults = Defaults(learning_rate=1e-3, batch_size=512, epochs=20, patience=2, metric="gauc")

    def __init__(
        self, features: Features, *, width: int = 32, history: int = 50, attention: Sequence[int] = (80, 40),
        head: Sequence[int] = (200, 80), categories: Sequence[str] = (), numbers: Sequence[str] = (),
        columns: Sequence[str] = (), user_id: bool = False, people: Sequence[str] = (),
        context: Sequence[str] = (), normalise: Normalise = "none", difference: bool = True,
        head_inputs: HeadInputs = "product", activation: Activation = "dice", batch_norm: bool = True,
        dropout: float = 0.0, negatives: int | None = None, alpha: float = 0.0, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        require_features(features)
        check_sizes(width=width, history=history, attention=attention, head=head)
        if not attention:
            raise ArgumentError("attention", attention, expected="at least one hidden layer")
        check_choice("normalise", normalise, Normalise)
        check_choice("head_inputs", head_inputs, HeadInputs)
        check_choice("activation", activation, Activation)
        check_share("dropout", dropout)
        self.features = features
        self.width, self.history, self.attention, self.head = width, history, tuple(attention), tuple(head)
        self.categories, self.numbers, self.columns = tuple(categories), tuple(numbers), tuple(columns)
        self.user_id, self.people, self.context = user_id, tuple(people), tuple(context)
        self.normalise, self.difference, self.head_inputs = normalise, difference, head_inputs
        self.activation, self.batch_norm, self.dropout, self.seed = activation, batch_norm, dropout, seed
        self.negatives, self.alpha = negatives, alpha
        self.couples_rows = batch_norm or activation == "dice"  # in training: by their batch statistics
        generator = Generator().manual_seed(seed)
        self.items = ItemFields(
            features, width=width, categories=categories, numbers=numbers, generator=generator
        )
        self.user = UserFields(
            features, width=width, user_id=user_id, people=people, context=context, generator=generator
        )
        wide = width * self.items.fields
        self.events = (
            EventFields(features, width=wide, columns=columns, generator=generator) if columns else None
        )
        self.unit = ActivationUnit(
            wide, attention, activation=activation, difference=difference, generator=generator
        )
        inputs = width * self.user.fields + wide * {"paper": 2, "product": 3, "reference": 4}[head_inputs]
        self.tower = Head(
            inputs, head, activation=activation, batch_norm=batch_norm, dropout=dropout, generator=generator
        )

    def prepare(self, split: Split) -> None:
        """Count on training rows what the inputs need: known items and users, scales of numbers."""
        self.items.prepare(split)
        self.user.prepare(split)
        if self.events is not None:
            self.events.prepare(split)

    def encode_user(self, requests: Requests) -> State:
        """What every candidate of a request shares."""
        histories = requests.histories.tail(self.history)
        events: Tensor = self.items(histories.item).flatten(-2)  # [T, W]
        if self.events is not None:
            events = events + self.events(histories)
        owner = histories.items.owner
        total = _sums(events, owner, len(requests)) if self.head_inputs == "reference" else None
        return State(events, self.unit.shares(events), owner, self.user(requests).flatten(-2), total)

    def score(self, state: State, items: Tensor) -> Tensor:
        """Logits [B, C] of items [B, C]."""
        at_once = max(1, _CELLS // max(len(state.owner), len(items), 1))
        if self.training or torch.is_grad_enabled() or items.shape[1] <= at_once:
            return self._score(state, items)
        return torch.cat([self._score(state, some) for some in items.split(at_once, 1)], 1)

    def _score(self, state: State, items: Tensor) -> Tensor:
        candidates, present = self.items(items).flatten(-2), present_of(items)  # [B, C, W]
        weights = self._weights(state, candidates, present)  # [T, C]
        weighted = weights.unsqueeze(-1) * state.events.unsqueeze(1)  # [T, C, W]
        pooled = _sums(weighted, state.owner, len(items))  # [B, C, W]
        return self._logits(state, candidates, pooled, present)

    def _weights(self, state: State, candidates: Tensor, present: Tensor | None) -> Tensor:
        """How much each event counts for each candidate of its user, [T, C]."""
        relevance: Tensor = self.unit(state.events, state.shares, state.owner, candidates, present)
        if self.normalise == "softmax":
            return softmax_by(relevance / math.sqrt(candidates.shape[-1]), state.owner, len(candidates))
        return relevance.sigmoid() if self.normalise == "sigmoid" else relevance

    def _logits(self, state: State, candidates: Tensor, pooled: Tensor, present: Tensor | None) -> Tensor:
        def of_user(rows: Tensor) -> Tensor:
            return rows.unsqueeze(1).expand(-1, candidates.shape[1], -1)

        inputs = [of_user(state.user), pooled, candidates]
        if self.head_inputs == "product":
            inputs.append(pooled * candidates)
        elif state.total is not None:
            total = of_user(state.total)
            inputs += [total, candidates * total]
        return self.tower(torch.cat(inputs, -1), present)

    def source(self, split: Split, *, batch_size: int, seed: int) -> Source:
        """Targets with their labels, and sampled negatives where the log has no labels."""
        examples = Pointwise(split, history=self.history, negatives=self.negatives, alpha=self.alpha)
        return Source(examples, batch_size=batch_size, seed=seed)

    def loss(self, batch: Batch) -> Loss:
        """Binary cross-entropy of targets and negatives; a user is encoded once for all of them."""
        pairs = pairs_of(batch)
        return cross_entropy(self.score(self.encode_user(batch.requests), pairs.items), pairs)

    def explain(self, requests: Requests, items: Tensor) -> list[Contribution]:
        """What each event read adds to the logit of its request's item [B], to first order.

        That is its share of the pooled history, weight times vector, times the slope of the logit along it.
        With a linear head the contributions sum to the logit less that of an empty history.
        """
        with torch.no_grad():
            state = self.encode_user(requests)
            candidates: Tensor = self.items(items.unsqueeze(1)).flatten(-2)
            parts = self._weights(state, candidates, None) * state.events  # [T, W]
        with torch.enable_grad():
            pooled = _sums(parts, state.owner, len(items)).unsqueeze(1).requires_grad_()
            (slope,) = torch.autograd.grad(self._logits(state, candidates, pooled, None).sum(), pooled)
        value = (parts * slope.squeeze(1).index_select(0, state.owner)).sum(-1)
        read = requests.histories.tail(self.history)
        lengths: list[int] = read.lengths.tolist()
        shares = zip(read.item.split(lengths), value.split(lengths), strict=True)
        return [Contribution(item, share, "part of the logit, to first order") for item, share in shares]


def softmax_by(scores: Tensor, owner: Tensor, groups: int) -> Tensor:
    """Softmax of scores [T, C] over the rows of the same `owner` [T], in float32."""
    scores = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
    index = owner.unsqueeze(1).expand_as(scores)
    top = scores.new_full((groups, scores.shape[1]), -torch.inf)
    top = top.scatter_reduce(0, index, scores.detach(), "amax").index_select(0, owner)
    raised = (scores - top).exp()
    return raised / _sums(raised, owner, groups).index_select(0, owner)


def _sums(values: Tensor, owner: Tensor, groups: int) -> Tensor:
    """Sums of values [T, ...] by `owner` [T]: [groups, ...]; 0 where a group has none."""
    sums = values.new_zeros(groups, math.prod(values.shape[1:]))
    return sums.index_add(0, owner, values.flatten(1)).view(groups, *values.shape[1:])
