"""Random numbers by counter."""

import torch

from penchant.world import _draws as draws


def splitmix64(state):
    """The published generator, on Python's integers."""
    mask = (1 << 64) - 1
    z = (state + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def test_the_numbers_are_those_of_splitmix64():
    # Published test vector: seed 1234567 gives these first outputs.
    assert [splitmix64(1234567 + n * 0x9E3779B97F4A7C15) for n in range(2)] == [
        6457827717110365317, 3203168211198807973,
    ]  # fmt: skip
    key = torch.tensor([1234567, -5, 2**62])
    got = draws.uniform(key, torch.arange(1, 6).unsqueeze(1))
    for n, row in enumerate(got.tolist()):
        for k, value in zip(key.tolist(), row):
            bits = splitmix64((k + n * 0x9E3779B97F4A7C15) % 2**64) >> 11
            assert value == bits * 2.0**-53 + 2.0**-54


def test_users_streams_ticks_and_places_do_not_share_numbers():
    key = draws.keys(0, "steps", torch.arange(50))
    found = [
        draws.step_uniform(key, torch.full((50,), tick), stream, 4, None, first)
        for tick in (-1, 0, 1, 2)
        for stream in range(4)
        for first in (0, 4)
    ]
    assert len(torch.cat(found).unique()) == 50 * 4 * 4 * 4 * 2
    assert not torch.equal(draws.keys(0, "steps", torch.arange(9)), draws.keys(0, "people", torch.arange(9)))
    assert not torch.equal(draws.keys(0, "steps", torch.arange(9)), draws.keys(1, "steps", torch.arange(9)))


def test_numbers_are_uniform_and_neighbours_independent():
    key = draws.keys(7, "steps", torch.arange(40_000))
    u = draws.step_uniform(key, torch.zeros(40_000, dtype=torch.int64), draws.CHOICE, 4, None)
    counts = torch.bincount((u.reshape(-1) * 64).long(), minlength=64).double()
    expected = u.numel() / 64
    assert float(((counts - expected) ** 2 / expected).sum()) < 63 + 5 * (2 * 63) ** 0.5
    correlation = torch.corrcoef(torch.cat([u, u.roll(1, 1)]))
    correlation.fill_diagonal_(0)
    assert float(correlation.abs().max()) < 5 / 200
    assert float(u.min()) > 0
    assert float(u.max()) < 1


def test_sigmoid():
    x = torch.linspace(-40, 40, 101, dtype=torch.float64)
    torch.testing.assert_close(draws.sigmoid(x), torch.sigmoid(x))
