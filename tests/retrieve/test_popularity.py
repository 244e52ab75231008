import pytest
import torch

from asked import asked
from logs import log_of, random_log
from penchant.data import split_leave_last
from penchant.errors import ArgumentError
from penchant.retrieve import Popularity

DAY = 86_400


def solved(log, **settings):
    model = Popularity(log.features, **settings)
    model.solve(split_leave_last(log))
    return model


def test_counts_are_those_of_training_positives():
    log = log_of(
        [[2, 3, 3, 2, 4], [3, 2, 5, 4]], labels=[[1, 1, 0, 1, 1], [1, 0, 1, 1]], items=6
    )  # leave-last keeps (2, 3, 3) and (3, 2)
    model = solved(log)
    assert model.weight.tolist() == [0, 0, 1, 2, 0, 0]


def test_a_count_halves_with_its_half_life_before_the_last_training_event():
    times = [[0, 4 * DAY, 5 * DAY, 6 * DAY], [2 * DAY, 3 * DAY, 8 * DAY, 9 * DAY]]
    model = solved(log_of([[2, 3, 4, 5], [2, 4, 5, 3]], times=times), half_life_days=2)
    # training ends on day 4
    torch.testing.assert_close(model.weight, torch.tensor([0, 0, 0.25 + 0.5, 1.0, 2**-0.5, 0]))


def test_everybody_gets_the_same_list_less_what_is_excluded():
    log = log_of([[2, 2, 2, 3, 3, 4, 2, 2]], items=7)
    found = solved(log).retrieve(asked([[], [2, 3], [6]], exclude=[[], [2], [9 - 3]]), 4)
    assert found.item.tolist() == [[2, 3, 4, 0], [3, 4, 0, 0], [2, 3, 4, 0]]
    assert found.score[0].tolist() == [3, 2, 1, -torch.inf]


def test_ties_do_not_follow_the_ids():
    log = log_of([[*range(2, 102), 2, 2]], items=102)
    assert sorted(top := solved(log).retrieve(asked([[]]), 100).item[0].tolist()) == list(range(2, 102))
    assert top != sorted(top)


def test_it_says_which_rows_it_counted():
    log = random_log(users=5)
    split = split_leave_last(log)
    model = Popularity(log.features)
    model.solve(split)
    rows, (counted,) = split.train.rows, model.provenance
    assert (counted.first, counted.last) == (int(rows[0]), int(rows[-1]))
    assert counted.latest == int(log.time[rows].max())
    assert (counted.rows, counted.train, counted.stray) == (len(rows), len(rows), None)


def test_decay_needs_times():
    with pytest.raises(ArgumentError, match="the log has no times"):
        Popularity(log_of([[2, 3]], has_time=False).features, half_life_days=3)


def test_a_half_life_is_above_zero():
    with pytest.raises(ArgumentError, match="above 0"):
        Popularity(log_of([[2, 3]]).features, half_life_days=0)
