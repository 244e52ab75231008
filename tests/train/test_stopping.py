import pytest

from penchant.errors import ArgumentError
from penchant.train.stopping import Validation, goodness


@pytest.mark.parametrize(
    "metric", ["loss", "log_loss", "logloss", "ece", "brier", "normalised_entropy", "my_loss"]
)
def test_of_errors_less_is_better(metric):
    assert goodness(metric, 0.1) > goodness(metric, 0.2)


@pytest.mark.parametrize("metric", ["ndcg@10", "gauc", "auc", "recall@20", "coverage@10", "anything"])
def test_of_all_else_more_is_better(metric):
    assert goodness(metric, 0.2) > goodness(metric, 0.1)


def test_of_pcoc_the_nearest_to_one_is_best():
    assert goodness("pcoc", 1.1) > goodness("pcoc", 0.8) > goodness("pcoc", 1.3)


def test_no_metric_at_all_is_told():
    with pytest.raises(ArgumentError, match="one of none"):
        Validation(lambda _: {}, metric=None, default="hit")(None)


def test_a_part_is_judged_by_a_spread_of_its_queries_and_queries_of_ones_own_by_all(monkeypatch):
    from logs import random_log
    from penchant.data import split_by_time
    from penchant.train import stopping

    split = split_by_time(random_log(users=60), valid=0.3, test=0.2)
    monkeypatch.setattr(stopping, "_ENOUGH", 20)
    every = split.valid()
    some = stopping.Validation(split.valid, metric=None, default="ndcg@10").queries
    assert len(some) == 20 < len(every)
    rows = every.row.tolist()
    assert [rows.index(r) for r in some.row.tolist()] == [i * len(rows) // 20 for i in range(20)]
    assert some.targets.values.tolist() == split.log.item[some.row].tolist()
    assert len(stopping.Validation(every, metric=None, default="ndcg@10").queries) == len(every)
