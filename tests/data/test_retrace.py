"""Rows are found by what they are about and when, however wide the numbers lie apart."""

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from penchant.data import Histories, read_events, split_leave_last
from penchant.data import retrace as module
from penchant.data.retrace import Index, Retracer

NUMBERS = st.integers(-4, 6) | st.sampled_from([2**40, -(2**62), 2**62, 2**63 - 1, -(2**63)])
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=12)


@given(ROWS, ROWS)
def test_an_index_finds_what_a_look_at_every_row_finds(rows, asked):
    what, time = (torch.tensor([row[n] for row in rows], dtype=torch.int64) for n in (0, 1))
    index = Index(torch.arange(len(rows)), what, time)
    whats, times = (torch.tensor([row[n] for row in asked], dtype=torch.int64) for n in (0, 1))
    begin, end = index.places(whats, times)
    for n, one in enumerate(asked):
        assert index.rows[begin[n] : end[n]].tolist() == [row for row, has in enumerate(rows) if has == one]
    begin, end = index.at_any_time(whats)
    for n, (thing, _) in enumerate(asked):
        found = index.rows[begin[n] : end[n]].tolist()
        assert sorted(found) == [row for row, has in enumerate(rows) if has[0] == thing]
        assert [rows[row][1] for row in found] == sorted(rows[row][1] for row in found)


@pytest.mark.parametrize("item", [[6, 5], [5, 6], [6, 6], [5, 5]])
def test_an_event_that_never_was_hides_no_other_of_its_second(item):
    """User 1 had item 5 alone at second 5; item 6 is one of the log that they had at another time."""
    log = read_events(
        pl.DataFrame(
            {"u": [1, 1, 2, 2, 1, 2, 1, 2], "i": [7, 5, 5, 6, 6, 7, 5, 5], "t": [0, 5, 0, 5, 9, 9, 12, 12]}
        ),
        user="u",
        item="i",
        time="t",
    )
    user = torch.from_numpy(log.users.vocabulary.index([1]))
    numbers = torch.from_numpy(log.catalogue.vocabulary.index(item)).int()
    histories = Histories(torch.tensor([0, 2]), numbers, torch.tensor([5, 5]))
    found = Retracer(split_leave_last(log)).events(user, histories).row.tolist()
    had = 1 + int(log.offsets[user])  # their second row
    wanted = [had if one == 5 else -1 for one in item]
    wanted[1] = -1 if item == [5, 5] else wanted[1]  # they had it once
    assert found == wanted


def test_distances_and_ranks_find_alike(monkeypatch):
    g = torch.Generator().manual_seed(0)
    what, time = (torch.randint(0, high, (200,), generator=g) for high in (30, 40))
    asked = [torch.randint(-3, high, (300,), generator=g) for high in (35, 45)]
    found = [Index(torch.arange(200), what, time).places(*asked)]
    monkeypatch.setattr(module, "SPAN", 3)
    monkeypatch.setattr(module, "_LARGEST", 100)
    found.append(Index(torch.arange(200), what, time).places(*asked))
    (a, b), (c, d) = found
    assert torch.equal(b - a, d - c)
    assert torch.equal(a[b > a], c[b > a])
