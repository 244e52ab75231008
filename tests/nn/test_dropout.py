import pytest
import torch

from penchant.nn import dropout
from penchant.nn.dropout import Dropout, RowDropout


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


@pytest.mark.parametrize("width", [8, 13, 64])
def test_a_row_lacks_the_same_elements_wherever_a_step_reads_it(width):
    drop, rows = RowDropout(0.4), torch.tensor([[3, 900, 3], [0, 3, 2**40]])
    values = torch.ones(2, 3, width)
    drop.draw(values.device)
    found = drop(values, rows)
    table = drop(torch.ones(901, width), torch.arange(901))  # as if all of the table had been dropped out
    assert torch.equal(found[0], table[[3, 900, 3]])
    assert torch.equal(found[1, :2], table[[0, 3]])
    assert torch.equal(drop(values, rows), found)
    assert torch.equal(drop(values[0], rows[0].int()), found[0])
    assert drop(values[0, :0], rows[0, :0]).shape == (0, width)
    drop.draw(values.device)
    assert not torch.equal(drop(values, rows), found)


def test_rows_and_steps_lose_elements_independently_at_the_rate_said():
    drop, rows = RowDropout(0.2), torch.arange(20_000)
    kept: list[torch.Tensor] = []
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        for _ in range(2):
            drop.draw(rows.device)
            kept.append(drop(torch.ones(len(rows), 16), rows))
    assert kept[0].mean().item() == pytest.approx(1.0, abs=0.01)
    gone = [(one == 0).double() for one in kept]
    assert gone[0].mean().item() == pytest.approx(51 / 256, abs=0.003)
    torch.testing.assert_close(
        gone[0].mean(0), torch.full((16,), 0.2, dtype=torch.double), atol=0.015, rtol=0
    )
    # 16 columns, the same ones of the next row, and those of the next step: 48 series that tell nothing of
    # each other; a correlation of 20,000 pairs has a standard error of .007
    series = torch.cat([gone[0][:-1], gone[0][1:], gone[1][:-1]], 1).T
    assert torch.corrcoef(series).fill_diagonal_(0).abs().max() < 0.035


def test_the_hash_is_the_published_one():
    """The first numbers of SplitMix64 from seed 0, as its authors' code prints them."""
    found = dropout._hash(torch.arange(1, 4))
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [value % 2**64 for value in found.tolist()] == expected


def test_rows_are_not_read_before_a_step_has_begun():
    with pytest.raises(RuntimeError, match="call draw"):
        RowDropout(0.2)(torch.ones(2, 8), torch.arange(2))


def test_rows_are_whole_in_evaluation_or_at_rate_zero():
    values, rows = torch.randn(5, 3), torch.arange(5)
    assert RowDropout(0.5).eval()(values, rows) is values
    assert RowDropout(0.0)(values, rows) is values
    before = torch.get_rng_state()
    RowDropout(0.0).draw(values.device)
    assert torch.equal(torch.get_rng_state(), before)  # who does not use it draws what they drew before
