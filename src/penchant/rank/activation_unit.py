"""DIN's activation unit: how relevant each event of a history is to each candidate of its user."""

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.autograd.function import once_differentiable

from penchant.nn.mlp import Activation, Tail, linear
from penchant.nn.precision import single

_CELLS = 4096  # (event, candidate) cells that a CPU works on at once, so that they stay in its cache


class ActivationUnit(nn.Module):
    """How relevant an event h is to a candidate v: an MLP of [v, h, v - h, v * h], one number.

    The first layer is linear in its four parts and so splits: W [v, h, v - h, v * h] = (Wa + Wc) v +
    (Wb - Wc) h + Wd (v * h). The first term is computed once a candidate, the second once an event, only the
    third once a pair.

    Args:
        width: W, of v and h.
        hidden: widths of the hidden layers.
        activation: of the hidden layers.
        difference: whether v - h is a part. It adds no function, only another start and other step sizes.
        generator: what the weights are drawn from.

    Source: Zhou et al. 2018 (DIN), section 4.3 and figure 2: no difference term; the authors' code has one.
    """

    def __init__(
        self,
        width: int,
        hidden: Sequence[int],
        *,
        activation: Activation,
        difference: bool,
        generator: Generator,
    ) -> None:
        super().__init__()
        self.width, self.difference = width, difference
        self.first = linear((4 if difference else 3) * width, hidden[0], generator=generator)
        self.tail = Tail([*hidden, 1], activation=activation, generator=generator)

    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """First-layer weights [H, W] of v, of h and of v * h."""
        weights = self.first.weight.split(self.width, 1)
        if not self.difference:
            return weights[0], weights[1], weights[2]
        return weights[0] + weights[2], weights[1] - weights[2], weights[3]

    def shares(self, events: Tensor) -> Tensor:
        """The events' part of the first layer: [T, W] to [T, H]."""
        return F.linear(events, self.parts()[1])

    def forward(
        self, events: Tensor, shares: Tensor, owner: Tensor, candidates: Tensor, present: Tensor | None = None
    ) -> Tensor:
        """Relevance [T, C] of every event to every candidate of its user.

        Args:
            events: [T, W].
            shares: of them, [T, H].
            owner: the user of each event, [T] int64.
            candidates: [B, C, W].
            present: [B, C] bool where some candidates are absent: these touch no statistics and get 0.
        """
        of_candidate, _, of_product = self.parts()
        base = F.linear(candidates, of_candidate, self.first.bias)  # [B, C, H]
        with torch.autocast(events.device.type, enabled=False):  # it writes into what it made, so one type
            h, of_events, v, of_candidates, weight = map(
                single, (events, shares, candidates, base, of_product)
            )
            cells = cast("Tensor", _Cells.apply(h, of_events, owner, v, of_candidates, weight))
        shape = len(events), candidates.shape[1]
        if present is None:
            return self.tail(cells).view(shape)
        real = present.index_select(0, owner)  # [T, C]
        found: Tensor = self.tail(cells[real.view(-1)])
        return found.new_zeros(shape).masked_scatter(real, found)


class _Cells(torch.autograd.Function):
    """The first layer of all cells, events [T] by candidates [C]: base + share + Wd (v * h), rows [T * C, H].

    In blocks that stay in cache; neither the products nor the gathered rows of candidates are kept.
    """

    @staticmethod
    def forward(
        ctx: Any,
        events: Tensor,
        shares: Tensor,
        owner: Tensor,
        candidates: Tensor,
        base: Tensor,
        weight: Tensor,
    ) -> Tensor:
        choices = candidates.shape[1]
        out = events.new_empty(len(events) * choices, len(weight))
        for a, b in _blocks(events, choices):
            v, here = (rows.index_select(0, owner[a:b]) for rows in (candidates, base))
            here.add_(shares[a:b].unsqueeze(1))
            v.mul_(events[a:b].unsqueeze(1))
            torch.addmm(here.flatten(0, 1), v.flatten(0, 1), weight.t(), out=out[a * choices : b * choices])
        ctx.save_for_backward(events, owner, candidates, weight)
        return out

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  (the decorator hides the names)
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor, Tensor, None, Tensor, Tensor, Tensor]:
        (g,) = gradients
        events, owner, candidates, weight = ctx.saved_tensors
        choices, width = candidates.shape[1], len(weight)
        d_events, d_weight = torch.empty_like(events), torch.zeros_like(weight)
        d_shares = g.new_empty(len(events), width)
        # flat: adding whole rows by index has a fast path for matrices
        d_candidates = g.new_zeros(len(candidates), choices * candidates.shape[2])
        d_base = g.new_zeros(len(candidates), choices * width)
        for a, b in _blocks(events, choices):
            some, g_cells = owner[a:b], g[a * choices : b * choices]
            h, v = events[a:b].unsqueeze(1), candidates.index_select(0, some)
            d_base.index_add_(0, some, g_cells.view(b - a, -1))
            torch.sum(g_cells.view(b - a, choices, width), 1, out=d_shares[a:b])
            d_weight.addmm_(g_cells.t(), (v * h).flatten(0, 1))
            d_product = (g_cells @ weight).view_as(v)
            torch.sum(v.mul_(d_product), 1, out=d_events[a:b])
            d_candidates.index_add_(0, some, d_product.mul_(h).flatten(1))
        d_base = d_base.view(len(candidates), choices, width)
        return d_events, d_shares, None, d_candidates.view_as(candidates), d_base, d_weight


def _blocks(events: Tensor, choices: int) -> list[tuple[int, int]]:
    """Bounds of blocks of events that make about `_CELLS` cells each."""
    step = max(1, _CELLS // max(choices, 1)) if events.device.type == "cpu" else max(1, len(events))
    return [(a, min(a + step, len(events))) for a in range(0, len(events), step)]
