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
