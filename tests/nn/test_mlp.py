import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator

from penchant.nn import mlp
from penchant.nn.mlp import MLP, BatchNorm, Dice, Tail


def dice(width=3, slopes=(0.3, -0.5, 1.2)):
    layer = Dice(width).double()
    with torch.no_grad():
        layer.slope.copy_(torch.tensor(slopes[:width]))
    return layer


def slow_dice(x, slope, mean, var, eps=1e-8):
    """Equation 9 of DIN, number by number."""
    out = torch.empty_like(x)
    for i in range(len(x)):
        for u in range(x.shape[1]):
            p = 1 / (1 + torch.exp(-(x[i, u] - mean[u]) / torch.sqrt(var[u] + eps)))
            out[i, u] = p * x[i, u] + (1 - p) * slope[u] * x[i, u]
    return out


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


def test_dien_8_dice_is_x_sigmoid_x_on_a_standardised_batch():
    x = drawn(50, 3)
    x = (x - x.mean(0)) / x.std(0, correction=0)
    torch.testing.assert_close(Dice(3).double()(x), x * x.sigmoid())


def test_dien_8_dice_is_the_identity_at_slope_one():
    x = 7 + 3 * drawn(20, 3)
    layer = dice(slopes=(1.0, 1.0, 1.0))
    torch.testing.assert_close(layer(x), x)
    torch.testing.assert_close(layer.eval()(x), x)


def test_dien_8_dice_uses_the_batch_in_training_and_running_statistics_in_evaluation():
    layer, x = dice(), 5 + 2 * drawn(40, 3)
    slope = layer.slope.detach()
    torch.testing.assert_close(layer(x), slow_dice(x, slope, x.mean(0), x.var(0, correction=0)))
    torch.testing.assert_close(layer.running_mean, 0.1 * x.mean(0))
    torch.testing.assert_close(layer.running_var, 0.9 + 0.1 * x.var(0))
    mean, var = layer.running_mean.clone(), layer.running_var.clone()
    layer.eval()
    found = layer(x)
    torch.testing.assert_close(found, slow_dice(x, slope, mean, var))
    torch.testing.assert_close(layer(x[3:4]), found[3:4])  # its batch-mates do not matter
    torch.testing.assert_close(layer.running_mean, mean)


def test_a_lone_row_has_no_statistics_of_its_own():
    layer, x = dice(), drawn(1, 3)
    mean, var = layer.running_mean.clone(), layer.running_var.clone()
    torch.testing.assert_close(layer(x), slow_dice(x, layer.slope.detach(), mean, var))
    assert torch.equal(layer.running_mean, mean)
    assert layer(x[:0]).shape == (0, 3)
    norm = BatchNorm(3).double()
    torch.testing.assert_close(norm(x), x / (1 + norm.eps) ** 0.5)
    assert norm(x[:0]).shape == (0, 3)
    assert torch.equal(norm.running_mean, torch.zeros(3, dtype=torch.float64))


@given(rows=st.integers(2, 9), block=st.integers(1, 10), seed=st.integers(0, 5))
def test_the_blockwise_layer_is_dice_then_linear(rows, block, seed):
    """Value, every gradient and the running statistics, whatever the size of the blocks."""
    x = (3 + 2 * drawn(rows, 3, seed=seed)).requires_grad_()
    tail = Tail([3, 2], activation="dice", generator=Generator().manual_seed(seed)).double()
    tail.activations[0] = dice()
    slope, weights = tail.activations[0].slope, tail.layers[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlp, "_ROWS", block)
        fast = tail(x)
        along = drawn(*fast.shape, seed=9)
        found = torch.autograd.grad(fast, [x, slope, *weights.parameters()], along)
    p = torch.sigmoid((x - x.mean(0)) / (x.var(0, correction=0) + 1e-8).sqrt())
    slow = weights(p * x + (1 - p) * slope * x)
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(found, torch.autograd.grad(slow, [x, slope, *weights.parameters()], along))
    torch.testing.assert_close(tail.activations[0].running_mean, 0.1 * x.detach().mean(0))
    torch.testing.assert_close(tail.activations[0].running_var, 0.9 + 0.1 * x.detach().var(0))


@pytest.mark.parametrize("activation", ["dice", "prelu", "relu", "sigmoid"])
def test_an_mlp_is_its_layers_one_by_one(activation):
    model = MLP(4, (5, 3), 2, activation=activation, generator=Generator().manual_seed(0)).double().eval()
    x = drawn(6, 4)
    first, second = model.tail.activations
    slow = model.tail.layers[1](second(model.tail.layers[0](first(model.first(x)))))
    torch.testing.assert_close(model(x), slow)


def test_without_hidden_layers_an_mlp_is_linear():
    model = MLP(4, (), 2, activation="dice", generator=Generator().manual_seed(0))
    assert [name for name, _ in model.named_parameters()] == ["first.weight", "first.bias"]
    x = drawn(3, 4).float()
    torch.testing.assert_close(model(x), x @ model.first.weight.t())


def test_dropout_acts_behind_every_activation_and_in_training_alone():
    model = MLP(4, (200,), 200, activation="relu", dropout=0.5, generator=Generator().manual_seed(0))
    model.tail.layers[0].weight.data = torch.eye(200)
    x = drawn(30, 4).float()
    kept = model.eval()(x)
    thinned = model.train()(x)
    alive = kept > 0
    torch.testing.assert_close(thinned[alive], torch.where(thinned[alive] > 0, 2 * kept[alive], 0.0))
    assert 0.4 < float((thinned[alive] > 0).float().mean()) < 0.6


def test_half_precision_rows_are_bent_by_statistics_in_single_precision():
    layer = Dice(3)
    x = (100 + drawn(512, 3)).bfloat16()
    layer(x)
    torch.testing.assert_close(layer.running_mean, 0.1 * x.float().mean(0))
    torch.testing.assert_close(layer.running_var, 0.9 + 0.1 * x.float().var(0))
    tail = Tail([3, 2], activation="dice", generator=Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert tail(x.float().bfloat16()).dtype == torch.bfloat16


def test_layers_are_built_without_importing_sympy():  # a second of CPU whenever a bundle is opened
    code = """
import sys, torch
from penchant.nn import mlp, transformer
g = torch.Generator()
mlp.linear(3, 2, generator=g), transformer.linear(3, 2, g)
sys.exit("sympy" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_bare_layer_takes_nothing_from_the_global_generator():
    before = torch.get_rng_state()
    layer = mlp.bare_linear(3, 2)
    assert torch.equal(before, torch.get_rng_state())
    assert (layer.weight.shape, layer.bias.shape) == ((2, 3), (2,))
    assert layer.weight.requires_grad
    assert layer.weight.device.type == "cpu"
