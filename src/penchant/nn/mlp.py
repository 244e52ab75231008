"""Feed-forward layers, their activations, and normalisation that survives a batch of one row."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.autograd.function import once_differentiable

from penchant.nn.precision import single

Activation = Literal["dice", "prelu", "relu", "sigmoid"]
_ROWS = 4096  # rows that a CPU works on at once, so that they stay in its cache


def linear(inputs: int, outputs: int, *, generator: Generator) -> nn.Linear:
    """A linear layer with Xavier-uniform weights from `generator`, its bias 0 to begin with."""
    layer = bare_linear(inputs, outputs)
    with torch.no_grad():
        nn.init.xavier_uniform_(layer.weight, generator=generator)
        layer.bias.zero_()
    return layer


def bare_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer whose numbers are yet to be drawn; nothing is taken from torch's global generator.

    `nn.utils.skip_init` would do, but imports SymPy: a second of CPU whenever a bundle is opened.
    """
    layer = nn.Linear(inputs, outputs, device="meta")
    layer.weight = nn.Parameter(torch.empty(outputs, inputs, device="cpu"))
    layer.bias = nn.Parameter(torch.empty(outputs, device="cpu"))
    return layer


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of rows [n, width]; a lone row, which has no spread, by running statistics."""

    def forward(self, input: Tensor) -> Tensor:
        """[n, width]."""
        if not self.training or len(input) > 1:
            return super().forward(input)
        mean, var = self.running_mean, self.running_var
        return F.batch_norm(input, mean, var, self.weight, self.bias, training=False, eps=self.eps)


class Dice(nn.Module):
    """A PReLU whose bend follows the data: x (a + (1 - a) p), p = sigmoid((x - E[x]) / sqrt(Var[x] + eps)).

    Args:
        width: units, each with a slope `a` of its own, 0 to begin with.
        momentum: of the running statistics.
        eps: added to the variance.

    Shapes: rows [n, width]. In training the statistics are those of the rows at hand, so that rows are
        coupled: hand over real ones only, no padding. Evaluation, and fewer than two rows, use running ones.
    Source: Zhou et al. 2018 (DIN), equation 9; a slope a unit that starts at 0 as in the authors' code, which
        however takes batch statistics in evaluation too; running ones are our choice.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int, *, momentum: float = 0.1, eps: float = 1e-8) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.slope = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """[n, width]."""
        mean, var = self.statistics(x)
        scale = (var + self.eps).rsqrt()
        if not torch.is_grad_enabled():  # two passes less, and one block of memory
            gate = torch.addcmul(-mean * scale, x, scale).sigmoid_()
            return torch.addcmul(self.slope, gate, 1 - self.slope, out=gate).mul_(x)
        gate = torch.sigmoid((x - mean) * scale)
        return x * torch.addcmul(self.slope, gate, 1 - self.slope)

    def coupled(self, x: Tensor) -> bool:
        """Whether rows x [n, width] would be bent by their own statistics."""
        return self.training and len(x) > 1

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance [width] to bend x by; in training those of x, which the running ones follow."""
        if not self.coupled(x):
            return self.running_mean, self.running_var
        exact = single(x)
        mean, var = exact.mean(0), exact.var(0, correction=0)
        self.follow(mean, var, len(x))
        return mean, var

    @torch.no_grad()
    def follow(self, mean: Tensor, var: Tensor, rows: int) -> None:
        """Move the running statistics towards those of a batch."""
        self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
        self.running_var.lerp_(var.to(self.running_var) * (rows / (rows - 1)), self.momentum)


class _DiceLinear(torch.autograd.Function):
    """Dice with batch statistics, then Linear.

    W (x m) + b with m = a + (1 - a) p, p = sigmoid(z), z = (x - E) / S. Only x is kept: both passes go
    through it in blocks that stay in cache, so no second tensor of its size is made but its gradient. With g
    the gradient of x m, that of z is d = (1 - a) g x p (1 - p); the way from z to x is that of batch
    normalisation, (d - mean(d) - z mean(d z)) / S.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, dice: Dice, slope: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        mean, var = torch.batch_norm_update_stats(x, None, None, 0.0)
        dice.follow(mean, var, len(x))
        scale = (var + dice.eps).rsqrt()
        out = x.new_empty(len(x), len(bias))
        for rows, to in zip(_blocks(x), _blocks(out), strict=True):
            gate = torch.addcmul(-mean * scale, rows, scale).sigmoid_()
            torch.addmm(bias, torch.addcmul(slope, gate, 1 - slope).mul_(rows), weight.t(), out=to)
        ctx.save_for_backward(x, slope, weight, mean, scale)
        return out

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  (the decorator hides the names)
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor, None, Tensor, Tensor, Tensor]:
        (g,) = gradients
        x, slope, weight, mean, scale = ctx.saved_tensors
        d_x, d_weight = torch.empty_like(x), torch.zeros_like(weight)
        d_slope, along, across = (torch.zeros_like(slope) for _ in range(3))
        for rows, g_rows, to in zip(_blocks(x), _blocks(g), _blocks(d_x), strict=True):
            z = torch.addcmul(-mean * scale, rows, scale)
            gate = z.sigmoid()
            slopes = torch.addcmul(slope, gate, 1 - slope)
            torch.mm(g_rows, weight, out=to)
            d_weight.addmm_(g_rows.t(), slopes * rows)
            d_z = to * rows
            d_z.addcmul_(d_z, gate, value=-1)
            d_slope += d_z.sum(0)
            d_z.mul_(gate)
            along += d_z.sum(0)
            across += z.mul_(d_z).sum(0)
            to.mul_(slopes).addcmul_(d_z, (1 - slope) * scale)
        by = (1 - slope) * scale / len(x)
        across *= by * scale
        for rows, to in zip(_blocks(x), _blocks(d_x), strict=True):
            to.addcmul_(rows, across, value=-1).sub_(by * along - across * mean)
        return d_x, None, d_slope, d_weight, g.sum(0)


def _blocks(rows: Tensor) -> tuple[Tensor, ...]:
    return rows.split(_ROWS if rows.device.type == "cpu" else len(rows))


def activation_of(kind: Activation, width: int) -> nn.Module:
    """A fresh activation for rows [n, width]."""
    if kind == "dice":
        return Dice(width)
    if kind == "prelu":
        return nn.PReLU(width, init=0.1)  # the slope of the baselines in DIN's code
    return nn.ReLU() if kind == "relu" else nn.Sigmoid()


class Tail(nn.Module):
    """Activation, dropout, Linear, again and again: what follows the first linear layer of an MLP.

    Args:
        widths: of what comes in, of hidden layers, and of what goes out; alone: the input is handed on.
        activation: of every layer but the last.
        dropout: behind every activation.
        generator: what the weights are drawn from.

    Shapes: rows [n, widths[0]] to [n, widths[-1]].
    """

    def __init__(
        self, widths: Sequence[int], *, activation: Activation, dropout: float = 0.0, generator: Generator
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.activations = nn.ModuleList(activation_of(activation, width) for width in widths[:-1])
        self.layers = nn.ModuleList(linear(a, b, generator=generator) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """[n, widths[-1]]."""
        for bend, layer in zip(self.activations, self.layers, strict=True):
            assert isinstance(layer, nn.Linear)
            whole = x.dtype == layer.weight.dtype  # else autocast narrowed it: statistics want float32
            if isinstance(bend, Dice) and bend.coupled(x) and whole and not self.dropout:
                x = cast("Tensor", _DiceLinear.apply(x, bend, bend.slope, layer.weight, layer.bias))
            else:
                x = layer(F.dropout(bend(x), self.dropout, self.training))
        return x


class MLP(nn.Module):
    """Linear, then a `Tail`.

    Args:
        inputs: width of what comes in.
        hidden: widths of the hidden layers; none: one linear layer.
        outputs: width of what goes out, without activation.
        activation: of the hidden layers.
        dropout: behind every activation.
        generator: what the weights are drawn from.

    Shapes: rows [n, inputs] to [n, outputs].
    """

    def __init__(
        self, inputs: int, hidden: Sequence[int], outputs: int, *, activation: Activation,
        dropout: float = 0.0, generator: Generator,
    ) -> None:  # fmt: skip
        super().__init__()
        widths = [*hidden, outputs]
        self.first = linear(inputs, widths[0], generator=generator)
        self.tail = Tail(widths, activation=activation, dropout=dropout, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """[n, outputs]."""
        return self.tail(self.first(x))
