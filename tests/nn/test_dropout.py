import pytest
import torch

from penchant.nn.dropout import Dropout


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 0.9])
def test_the_share_that_falls_out_and_the_mean_are_as_said(rate):
    drop = Dropout(rate)
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        found = drop(torch.ones(400_000))
    assert (found == 0).float().mean().item() == pytest.approx(rate, abs=0.004)  # in steps of 1/256
    assert found.mean().item() == pytest.approx(1.0, abs=0.01)


def test_every_byte_of_a_word_varies_alike():
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        kept = Dropout(0.5).mask(torch.ones(80_000)).view(-1, 8) > 0
    torch.testing.assert_close(kept.float().mean(0), torch.full((8,), 0.5), atol=0.02, rtol=0)


def test_it_does_nothing_in_evaluation_or_at_rate_zero():
    values = torch.randn(5, 3)
    assert Dropout(0.5).eval()(values) is values
    assert Dropout(0.0)(values) is values


def test_the_gradient_passes_where_the_value_did():
    values = torch.ones(1000, requires_grad=True)
    found = Dropout(0.3)(values)
    found.sum().backward()
    torch.testing.assert_close(values.grad, found.detach())
