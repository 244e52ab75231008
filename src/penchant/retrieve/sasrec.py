"""SASRec: self-attention over the order of a user's events, one next-item prediction after each."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from penchant.data.batch import Batch, Histories, Requests
from penchant.data.interactions import Features, require_features
from penchant.data.loader import Source
from penchant.data.sources import Sequences
from penchant.data.split import Split
from penchant.errors import ArgumentError
from penchant.nn.attention import Packing, gather_once
from penchant.nn.dropout import Dropout, RowDropout
from penchant.nn.embedding import CategoryTable, ItemTable
from penchant.nn.softmax import binary_loss, binary_loss_by_logits, sampled_softmax_loss, softmax_loss
from penchant.nn.transformer import Block, Norm
from penchant.nn.user_state import UserState, check_version, extended, extension, fingerprint
from penchant.protocols import Candidates, Contribution, Defaults, Interests, Loss
from penchant.retrieve.search import search, similar

Objective = Literal["auto", "softmax", "sampled", "bce"]
FinalNorm = Literal["layer", "l2", "none"]
_UNKNOWN_SHARE = 0.01  # of training inputs that are shown as the unknown item, so that its vector is learned
_SAMPLED_NEGATIVES = 512
_DENSE_CELLS = 1 << 20  # of a table whose whole gradient costs less than sorting out which rows were touched
_FEW = 32  # items a negative, up to which the logits of all items cost less than the vectors of negatives
_BLOCK = 1024  # users encoded at once


class SASRec(nn.Module):
    """Self-attentive sequential recommendation: a causal transformer over items, trained at every position.

    It reads the order of events and no times, so logs without times are the same to it. Position 0 is the
    oldest event of the window; hence a user's state can be extended by an event, exactly, until the window is
    full.

    A user without history has an interest of their own, trained to predict the first event of every window.
    An item without training events reads the unknown row, which is trained by showing 1 % of the inputs as
    unknown (if `dropout` is above 0), and is never answered.

    Args:
        features: what the store holds.
        width: size D of item and user vectors.
        depth: number of blocks.
        heads: attention heads.
        history: newest events read, and positions of a training window.
        dropout: on inputs and in the feed-forward layers.
        attention_dropout: of attention weights; costs time on a CPU, and pays where users have few events.
        item_dropout: of item vectors, the same elements wherever a batch reads or answers an item. `loss`
            draws them anew; who trains by another loss calls `model.item_drop.draw(device)` each step. What
            it does where items have few events: docs/results/published.md.
        objective: "softmax" over all items, "sampled" softmax with shared negatives and logQ correction, or
            "bce" with negatives of each position's own. "auto" is softmax up to 20,000 items (200,000 where
            there is a GPU).
        negatives: sampled items; None for 512 shared ones a batch ("sampled"), or 1 a position ("bce").
        alpha: negatives are drawn with probability proportional to training count ** alpha.
        norm: "sasrec" normalises the query alone, which then is the residual too (the original); "pre" and
            "post" are the usual transformer blocks.
        ffn_mult: width of the feed-forward layer, in multiples of D.
        final_norm: of the user vector; "l2" makes scores cosines (set `temperature` to about 0.05 then).
        temperature: scores are divided by it.
        categories: item categories whose mean vectors are added to the items'.
        use_event: whether the type of an event is added to its vector.
        seed: the initial weights depend on this and on nothing else.

    Shapes: B users, T events in all, D width, L history, V items.
    Raises: ArgumentError for sizes below 1, heads that do not divide the width, or columns that the log
        lacks.
    Source: Kang and McAuley 2018: the block, affine norms, the closing norm. From generative-recommenders
        (Zhai et al. 2024): positions counted from the oldest event kept, a projection behind the heads,
        Xavier normal matrices. Ours: positions of standard deviation 0.02 (there sqrt(1 / D)), Xavier scales
        of query, key and value each its own, biases at zero, by default no dropout of attention weights and
        inner products under an exact softmax (there cosines, sampled); cold and unknown vectors. Decision
        record 12 says why.
    """

    fitted = False
    defaults = Defaults(learning_rate=1e-3, batch_size=32, epochs=60, patience=5, metric="ndcg@10")

    def __init__(
        self,
        features: Features,
        *,
        width: int = 64,
        depth: int = 2,
        heads: int = 1,
        history: int = 50,
        dropout: float = 0.2,
        attention_dropout: float = 0.0,
        item_dropout: float = 0.0,
        objective: Objective = "auto",
        negatives: int | None = None,
        alpha: float = 0.0,
        norm: Norm = "sasrec",
        ffn_mult: int = 1,
        final_norm: FinalNorm = "layer",
        temperature: float = 1.0,
        categories: Sequence[str] = (),
        use_event: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        require_features(features)
        self.features = features
        self.width, self.depth, self.heads, self.history = width, depth, heads, history
        self.dropout, self.attention_dropout, self.item_dropout = dropout, attention_dropout, item_dropout
        self.objective, self.negatives, self.alpha = objective, negatives, alpha
        self.norm, self.ffn_mult, self.final_norm, self.temperature = norm, ffn_mult, final_norm, temperature
        self.categories, self.use_event, self.seed = tuple(categories), use_event, seed
        self._check(features)
        few = features.items <= (200_000 if torch.cuda.is_available() else 20_000)
        self._learns = ("softmax" if few else "sampled") if objective == "auto" else objective

        g = Generator().manual_seed(seed)
        large = features.items * width > _DENSE_CELLS
        sparse = large and self._learns != "softmax"  # the softmax over all items touches every row
        self.item = ItemTable(features.items, width, std=0.02, generator=g, sparse=sparse)
        self.position = nn.Parameter(torch.empty(history, width).normal_(0.0, 0.02, generator=g))
        self.labels = nn.ModuleList(
            CategoryTable(*features.item_categories(name), width, std=0.02, generator=g)
            for name in self.categories
        )
        kinds = features.events if use_event else 0
        self.kind = nn.Parameter(torch.empty(kinds, width).normal_(0.0, 0.02, generator=g)) if kinds else None
        self.blocks = nn.ModuleList(
            Block(width, heads, ffn_mult, dropout, attention_dropout, norm, g) for _ in range(depth)
        )
        self.cold = nn.Parameter(torch.empty(width).normal_(0.0, 0.02, generator=g))
        self.closing = nn.LayerNorm(width, eps=1e-8) if final_norm == "layer" else nn.Identity()
        self.drop, self.item_drop = Dropout(dropout), RowDropout(item_dropout)

    def _check(self, features: Features) -> None:
        for name in ("width", "depth", "heads", "history", "ffn_mult"):
            if (value := getattr(self, name)) < 1:
                raise ArgumentError(name, value, expected="an integer of at least 1")
        if self.width % self.heads:
            raise ArgumentError("heads", self.heads, expected=f"a divisor of width={self.width}")
        for name in ("dropout", "attention_dropout", "item_dropout"):
            if not 0 <= (share := getattr(self, name)) < 1:
                raise ArgumentError(name, share, expected="a share in [0, 1)")
        if self.use_event and not features.events:
            raise ArgumentError("use_event", True, expected="False, as the log has no event types")
        self._check_objective()

    def _check_objective(self) -> None:
        if not self.temperature > 0:
            raise ArgumentError("temperature", self.temperature, expected="a number above 0")
        if self.negatives is not None and self.negatives < 1:
            raise ArgumentError("negatives", self.negatives, expected="an integer of at least 1, or None")
        for name, choices in (("objective", Objective), ("norm", Norm), ("final_norm", FinalNorm)):
            if getattr(self, name) not in choices.__args__:
                raise ArgumentError(
                    name, getattr(self, name), expected=f"one of {', '.join(map(repr, choices.__args__))}"
                )

    # -- training --------------------------------------------------------------------------------------------

    def prepare(self, split: Split) -> None:
        """Note which items occur in training."""
        self.item.prepare(split)

    def source(self, split: Split, *, batch_size: int, seed: int) -> Source:
        """Windows of `history` events, every training target once an epoch."""
        shared = (self.negatives or _SAMPLED_NEGATIVES) if self._learns == "sampled" else 0
        own = (self.negatives or 1) if self._learns == "bce" else 0
        examples = Sequences(
            split, history=self.history, negatives=shared, alpha=self.alpha, own_negatives=own
        )
        return Source(examples, batch_size=batch_size, seed=seed)

    def loss(self, batch: Batch) -> Loss:
        """What each position says of the event after it, and the cold vector of each window's first event."""
        histories, known = batch.histories, self.item.known
        self.item_drop.draw(known.device)
        packing = Packing.of(histories.offsets)
        states = self._states(histories, packing)
        begin = histories.offsets[:-1].index_select(0, packing.order)
        states = torch.cat([states, self._close(self.cold).expand(len(begin), -1)])
        target = torch.cat([packing.pack(batch.target), _positives(histories, begin)])
        keep = known.index_select(0, target).nonzero().squeeze(1)  # at padding there is nothing to learn
        given = torch.arange(len(batch.target), device=keep.device) if packing.row is None else packing.row
        row = torch.cat([given, begin]).index_select(
            0, keep
        )  # of the batch: whose weight and negatives count
        states, target = gather_once(states, keep), target.index_select(0, keep)
        weight, extra = batch.weight.index_select(0, row), batch.extra
        if self._learns == "softmax":
            floor = states.new_zeros(len(known)).masked_fill_(~known, -torch.inf)
            total = softmax_loss(states, self.item_vectors(), target, weight, bias=floor)
        elif self._learns == "sampled":
            drawn, log_q = extra["negatives"], extra["log_q"]
            vectors = self.item_vectors(target), self.item_vectors(drawn)
            total = sampled_softmax_loss(states, *vectors, target, drawn, log_q, weight)
        else:
            drawn, counts = (extra[n].index_select(0, row) for n in ("own_negatives", "own_negatives_weight"))
            if len(known) <= _FEW * drawn.shape[1] and not self.item.sparse:
                total = binary_loss_by_logits(states, self.item_vectors(), target, drawn, weight, counts)
            else:
                vectors = self.item_vectors(target), self.item_vectors(drawn)  # [T, D], [T, M, D]
                total = binary_loss(states, *vectors, weight, counts)
        return Loss(total, weight.sum())

    # -- users and items -------------------------------------------------------------------------------------

    def states(self, histories: Histories, at: Tensor | None = None) -> Tensor:
        """The user vector after every event, [T, D]; `at` is not read.

        Raises: ArgumentError if a history is longer than the window (take its `tail`).
        """
        packing = Packing.of(histories.offsets)
        if packing.buckets and packing.buckets[0].length > self.history:
            raise ArgumentError(
                "histories", packing.buckets[0].length, expected=f"at most {self.history} events each",
                fix="use histories.tail(...)",
            )  # fmt: skip
        return packing.unpack(self._states(histories, packing))

    def encode(self, requests: Requests) -> Interests:
        """The user vector after the newest event, [B, 1, D]."""
        histories, cold = requests.histories.tail(self.history), self._close(self.cold)
        blocks = [cold.new_zeros(0, self.width)]
        for some in torch.arange(len(histories), device=cold.device).split(_BLOCK):  # bounds memory
            part = histories if len(some) == len(histories) else histories.rows(some)
            packing = Packing.of(part.offsets)
            newest = self._run(self._inputs(part, packing), packing, last=True)
            blocks.append(cold.expand(len(part), -1).index_copy(0, packing.order, newest))
        return Interests(torch.cat(blocks).unsqueeze(1))

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        """Vectors [..., D] of `items`, or of the whole table [V, D]; unknown ones share a row."""
        if items is None:
            items = torch.arange(len(self.item.known), device=self.item.known.device)
        return self._unit(self._embed(items, self.item.rows(items)))

    @torch.no_grad()
    def retrieve(self, requests: Requests, k: int, dials: None = None) -> Candidates:
        """The best k items by inner product."""
        # a search asks for known items alone: then the bare table will do, and costs nothing
        bare = not self.categories and self.final_norm != "l2"
        table = self.item.weight if bare else self.item_vectors()
        return search(self.encode(requests), table, requests, k, known=self.item.known)

    @torch.no_grad()
    def similar(self, items: Tensor, k: int) -> Candidates:
        """The nearest other items by the cosine of their vectors."""
        return similar(self.item_vectors(), items, k, known=self.item.known)

    @torch.enable_grad()
    def explain(self, requests: Requests, items: Tensor) -> Sequence[Contribution]:
        """How much the score of one item a request, items [B], moves with each event of its window."""
        histories = requests.histories.tail(self.history)
        packing = Packing.of(histories.offsets)
        inputs = self._inputs(histories, packing).detach().requires_grad_()
        newest = self._run(inputs, packing, last=True)
        score = (newest * self.item_vectors(items.index_select(0, packing.order)).detach()).sum()
        value = packing.unpack((torch.autograd.grad(score, inputs)[0] * inputs).sum(-1).detach())
        bounds, item = histories.offsets.tolist(), histories.item.long()
        return [
            Contribution(item[a:b], value[a:b], "gradient of the score times the event's vector")
            for a, b in pairwise(bounds)
        ]

    # -- the network -----------------------------------------------------------------------------------------

    def _embed(self, items: Tensor, rows: Tensor) -> Tensor:
        vectors = F.embedding(rows, self.item.weight, padding_idx=0, sparse=self.item.sparse)
        for table in self.labels:
            vectors = vectors + table(items)
        return self.item_drop(vectors, rows)

    def _inputs(self, histories: Histories, packing: Packing) -> Tensor:
        """What the first block reads, [T, D] packed."""
        items = packing.pack(histories.item).long()
        rows = self.item.rows(items)
        if self.training and self.dropout:
            rows = rows.masked_fill(torch.rand(len(rows), device=rows.device) < _UNKNOWN_SHARE, 1)
        events = None if histories.event is None else packing.pack(histories.event)
        return self.drop(self._event_vectors(items, rows, events, packing.place))

    def _event_vectors(self, items: Tensor, rows: Tensor, events: Tensor | None, place: Tensor) -> Tensor:
        vectors = self._embed(items, rows) * math.sqrt(self.width) + F.embedding(place, self.position)
        if self.kind is None:
            return vectors
        if events is None:
            raise ArgumentError("histories.event", None, expected="event types, as use_event=True")
        return vectors + F.embedding(events.long(), self.kind)

    def _states(self, histories: Histories, packing: Packing) -> Tensor:
        return self._run(self._inputs(histories, packing), packing, last=False)

    def _run(self, rows: Tensor, packing: Packing, *, last: bool) -> Tensor:
        """Packed states [T, D], or with `last` those of the newest events alone, [B', D]."""
        for number, block in enumerate(self._blocks(), 1):
            rows = block(rows, packing, last=last and number == self.depth)
        return self._close(rows)

    def _blocks(self) -> list[Block]:
        return cast("list[Block]", list(self.blocks))  # a ModuleList forgets what it holds

    def _close(self, states: Tensor) -> Tensor:
        states = self._unit(self.closing(states))
        return states if self.temperature == 1.0 else states / self.temperature

    def _unit(self, vectors: Tensor) -> Tensor:
        return F.normalize(vectors, dim=-1, eps=1e-6) if self.final_norm == "l2" else vectors

    # -- incremental -----------------------------------------------------------------------------------------

    @torch.no_grad()
    def init_state(self, histories: Histories) -> UserState:
        """The state after these histories; the newest `history` events are kept."""
        empty = UserState.empty(
            len(histories), self.history, self.depth, self._close(self.cold), fingerprint(self)
        )
        return self._extend(empty, histories.tail(self.history))

    @torch.no_grad()
    def extend(self, state: UserState, events: Histories) -> tuple[UserState, Tensor]:
        """The state after further events, and its user vectors [B, D], those of the whole history.

        Only the new events are read while the window holds all of them. Past it every position shifts, so
        those users' newest `history` events are read anew and `state.reread` says for whom. An event given
        twice counts twice.

        Raises: ArgumentError if other weights made the state, or if events are out of order.
        """
        check_version(state, fingerprint(self))
        state = self._extend(state, events)
        return state, state.vector

    def _extend(self, state: UserState, events: Histories) -> UserState:
        step = extension(state, events)
        items = step.events.item.long()
        rows = self._event_vectors(items, self.item.rows(items), step.events.event, step.place)
        caches: list[Tensor] = []
        for number, block in enumerate(self._blocks()):
            rows, cache = block.extend(rows, state.cache[:, number], step)
            caches.append(cache)
        return extended(state, step, torch.stack(caches, 1), self._close(rows), events)


def _positives(histories: Histories, rows: Tensor) -> Tensor:
    """Items of the events at `rows`; 0 for one that is no positive."""
    items = histories.item.index_select(0, rows).long()
    if "label" not in histories.columns:
        return items
    return items.masked_fill(histories.columns["label"].index_select(0, rows) <= 0.5, 0)
