"""Losses of a next-item head: exact softmax in chunks, sampled softmax with logQ, binary cross-entropy.

Each returns the sum over rows of weight times loss. The two softmaxes make their gradients in the forward
pass, one chunk of rows at a time while its logits are still in cache: no logit is made twice and none is
kept, so memory does not grow with rows times items. The price: no second derivative, and no gradient for the
weights.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from penchant.errors import ArgumentError
from penchant.nn.precision import single

_CHUNK_LOGITS = 1 << 18  # logits a chunk: 1 MiB in float32, about what stays in a core's cache
_CHUNK_ROWS = 64  # ... but not fewer rows than a matrix product needs to be efficient
_CHUNK_LOGITS_GPU = 1 << 26


def softmax_loss(
    states: Tensor,
    table: Tensor,
    target: Tensor,
    weight: Tensor,
    *,
    bias: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    """Cross-entropy of the target against every row of a table: sum of weight * (logsumexp(logits) - logit of
    target).

    Args:
        states: what predicts.
        table: item vectors; logits are `states @ table.T + bias`.
        target: rows of `table`.
        weight: of each row of `states`.
        bias: added to the logits; -inf for an item that can be no answer. It may be learned.
        chunk: rows at a time; None to fit the cache.

    Shapes: states [T, D], table [V, D], target [T] int64, weight [T], bias [V]; returns a scalar, float32 or
        float64.
    """
    states, table, bias = single(states), single(table), None if bias is None else single(bias)
    with torch.autocast(states.device.type, enabled=False):
        return _SoftmaxLoss.apply(states, table, bias, target, weight.to(states.dtype), _rows(chunk, table))  # type: ignore[no-any-return]


def sampled_softmax_loss(
    states: Tensor,
    positives: Tensor,
    negatives: Tensor,
    target: Tensor,
    drawn: Tensor,
    log_q: Tensor,
    weight: Tensor,
    *,
    chunk: int | None = None,
) -> Tensor:
    """Cross-entropy of the target against M negatives that all rows share: converges to the exact one as M
    grows.

    A row's loss is -s + ln(exp(s) + sum_k exp(s_k - ln(M q_k))), over those k that did not draw the row's own
    target. M counts those too. The positive is not corrected: it is there with probability 1.

    Args:
        states: what predicts.
        positives: the vector of each row's target.
        negatives: the vectors of the drawn items.
        target: each row's item.
        drawn: the drawn items.
        log_q: the log-probability of each with which a draw gives it.
        weight: of each row.
        chunk: rows at a time; None to fit the cache.

    Shapes: states, positives [T, D]; negatives [M, D]; target, weight [T]; drawn, log_q [M]; returns a
        scalar.
    Source: section 2.6 of our card; the usual form corrects the positive as well and converges to another
        objective.
    """
    states, positives, negatives = single(states), single(positives), single(negatives)
    shift = -(log_q.to(states.dtype) + math.log(len(drawn)))
    with torch.autocast(states.device.type, enabled=False):
        return _SampledLoss.apply(  # type: ignore[no-any-return]
            states,
            positives,
            negatives,
            shift,
            target,
            drawn,
            weight.to(states.dtype),
            _rows(chunk, negatives),
        )


def binary_loss(
    states: Tensor, positives: Tensor, negatives: Tensor, weight: Tensor, counts: Tensor
) -> Tensor:
    """Binary cross-entropy of the target (1) and of each row's own negatives (0): the original SASRec's loss.

    Args:
        states: what predicts.
        positives: the vector of each row's target.
        negatives: the vectors of each row's negatives.
        weight: of each row.
        counts: how much each negative counts, 0 for one that is none.

    Shapes: states, positives [T, D]; negatives [T, M, D]; weight [T]; counts [T, M]; returns a scalar.
    """
    states, positives, negatives = single(states), single(positives), single(negatives)
    with torch.autocast(states.device.type, enabled=False):
        good = F.softplus(-(states * positives).sum(-1))  # [T]
        bad = F.softplus((negatives @ states.unsqueeze(-1)).squeeze(-1))  # [T, M]
        return (weight * (good + (counts * bad).sum(-1))).sum()


def binary_loss_by_logits(
    states: Tensor, table: Tensor, target: Tensor, drawn: Tensor, weight: Tensor, counts: Tensor
) -> Tensor:
    """The same by the logits of all items: less work where rows have many negatives and items are few.

    Args:
        states: what predicts.
        table: the vectors of all items.
        target: of each row.
        drawn: each row's negatives.
        weight: of each row.
        counts: how much each negative counts, 0 for one that is none.

    Shapes: states [T, D]; table [V, D]; target, weight [T]; drawn, counts [T, M]; returns a scalar.
    """
    with torch.autocast(states.device.type, enabled=False):
        logits = single(states) @ single(table).T  # [T, V]
        good = F.softplus(-logits.gather(1, target.long().unsqueeze(1)).squeeze(1))  # [T]
        bad = F.softplus(logits.gather(1, drawn.long()))  # [T, M]
        return (weight * (good + (counts * bad).sum(-1))).sum()


def _rows(chunk: int | None, table: Tensor) -> int:
    if chunk is None:
        logits = _CHUNK_LOGITS if table.device.type == "cpu" else _CHUNK_LOGITS_GPU
        return max(_CHUNK_ROWS, logits // max(len(table), 1))
    if chunk < 1:
        raise ArgumentError("chunk", chunk, expected="an integer of at least 1")
    return chunk


class _SoftmaxLoss(Function):
    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        table: Tensor,
        bias: Tensor | None,
        target: Tensor,
        weight: Tensor,
        chunk: int,
    ) -> Tensor:
        learn = any(ctx.needs_input_grad)
        total = states.new_zeros(())
        to_states, to_table = torch.empty_like(states), torch.zeros_like(table)
        to_bias = torch.zeros_like(bias) if bias is not None and ctx.needs_input_grad[2] else None
        buffer = states.new_empty(min(chunk, len(states)), len(table))
        minus = states.new_full((1, 1), -1.0)
        for begin in range(0, len(states), chunk):
            here = slice(begin, begin + chunk)
            x, w, t = states[here], weight[here].unsqueeze(1), target[here].unsqueeze(1)
            logits = buffer[: len(x)]
            if bias is None:
                torch.mm(x, table.T, out=logits)
            else:
                torch.addmm(bias, x, table.T, out=logits)
            own, top = logits.gather(1, t), logits.amax(1, keepdim=True)
            share = torch.softmax(logits, 1, out=logits)
            # the largest share is at least 1/V, so its log is exact where that of the target's may be -inf
            total += ((top - share.amax(1, keepdim=True).log() - own) * w).sum()
            if learn:
                share.scatter_add_(1, t, minus.expand_as(t))  # the loss's derivative by the logits
                torch.mm(share, table, out=to_states[here])
                to_table.addmm_(share.T, x * w)
                if to_bias is not None:
                    to_bias.addmv_(share.T, w.squeeze(1))
        if learn:
            to_states *= weight.unsqueeze(1)
            ctx.save_for_backward(to_states, to_table, to_bias)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        to_states, to_table, to_bias = ctx.saved_tensors
        return (
            to_states * grad,
            to_table * grad,
            None if to_bias is None else to_bias * grad,
            None,
            None,
            None,
        )


class _SampledLoss(Function):
    @staticmethod
    def forward(
        ctx: Any, states: Tensor, positives: Tensor, negatives: Tensor, shift: Tensor, target: Tensor,
        drawn: Tensor, weight: Tensor, chunk: int,
    ) -> Tensor:  # fmt: skip
        learn = any(ctx.needs_input_grad)
        total = states.new_zeros(())
        to_states, to_positives, to_negatives = (
            torch.empty_like(states),
            torch.empty_like(states),
            torch.zeros_like(negatives),
        )
        buffer = states.new_empty(min(chunk, len(states)), len(negatives))
        for begin in range(0, len(states), chunk):
            here = slice(begin, begin + chunk)
            x, p, w = states[here], positives[here], weight[here].unsqueeze(1)
            logits = torch.addmm(shift, x, negatives.T, out=buffer[: len(x)])
            logits.masked_fill_(target[here].unsqueeze(1) == drawn, -torch.inf)
            own = (x * p).sum(1, keepdim=True)
            top = torch.maximum(logits.amax(1, keepdim=True), own)
            share = logits.sub_(top).exp_()
            mine = (own - top).exp_()
            whole = share.sum(1, keepdim=True) + mine
            total += ((top + whole.log() - own) * w).sum()
            if learn:
                share /= whole
                pull = mine / whole - 1.0
                torch.addmm(p * pull, share, negatives, out=to_states[here])
                x = x * w
                torch.mul(x, pull, out=to_positives[here])
                to_negatives.addmm_(share.T, x)
        if learn:
            to_states *= weight.unsqueeze(1)
            ctx.save_for_backward(to_states, to_positives, to_negatives)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        to_states, to_positives, to_negatives = ctx.saved_tensors
        return to_states * grad, to_positives * grad, to_negatives * grad, None, None, None, None, None
