"""Choosing by a validation metric: which one, which way is better, and when to stop."""

import re
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from penchant.data.split import TEST, Part, Queries
from penchant.errors import ArgumentError, nearest
from penchant.protocols import Ranker, Retriever

Metrics = Mapping[str, float]
Valid = Callable[[nn.Module], Metrics]

_LOWER = {
    "brier", "ece", "error", "gini", "log_loss", "logloss", "loss", "mae", "mse", "nll", "normalised_entropy",
    "perplexity", "rmse",
}  # fmt: skip
_ENOUGH = 2_000  # queries of a part that an epoch is judged by
_FIRST = 64  # queries of the trial evaluation


def goodness(metric: str, value: float) -> float:
    """A metric as a number of which more is better.

    >>> goodness("ndcg@10", 0.25), goodness("log_loss", 0.25), goodness("pcoc", 1.25)
    (0.25, -0.25, -0.25)
    """
    name = metric.split("@")[0]
    if name == "pcoc":  # predicted clicks over clicks: 1 is right
        return -abs(value - 1)
    return -value if name in _LOWER or name.endswith("_loss") else value


class Validation:
    """Asks a model how good it is.

    Args:
        valid: a part of a split (of whose queries 2,000 are asked, evenly spread), queries of your own (of
            which all are), or any function from a model to metrics by name.
        metric: the one that counts; None: `default`, or the only one there is.
        default: the model's own.
    """

    def __init__(self, valid: Part | Queries | Valid, *, metric: str | None, default: str) -> None:
        from penchant.evaluation.spread import spread  # the package loads more than training needs

        self.metric, self.chosen = metric or default, metric is not None
        if isinstance(valid, Part):  # asked every epoch: a spread of its queries says as much
            valid = spread(valid(), _ENOUGH)
        self.queries = valid if isinstance(valid, Queries) else None
        self._ask = _asking(valid, self.metric) if isinstance(valid, Queries) else valid

    def try_out(self, model: nn.Module) -> None:
        """Asks a few queries before hours of training, so that what cannot be asked is told now."""
        from penchant.evaluation.spread import spread

        if self.queries is not None:
            self._checked(_asking(spread(self.queries, _FIRST), self.metric)(model))

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """All metrics; the one that counts is among them."""
        return self._checked({name: float(value) for name, value in self._ask(model).items()})

    def _checked(self, metrics: Metrics) -> dict[str, float]:
        if self.metric not in metrics and not self.chosen and len(metrics) == 1:
            self.metric = next(iter(metrics))
        if self.metric not in metrics:
            raise ArgumentError(
                "metric", self.metric,
                expected=f"one of {', '.join(map(repr, metrics)) or 'none'}: these the validation gave",
                fix=nearest(self.metric, list(metrics)),
            )  # fmt: skip
        return dict(metrics)


def test_rows(asked: Queries) -> Tensor:
    """The rows that are asked about and stand in the test part of their split, ascending, [n] int64.

    What is chosen by them cannot be reported on them.
    """
    part = asked.split.part
    rows = asked.row.to(part.device)
    return rows[part.index_select(0, rows) == TEST].unique()


def _asking(queries: Queries, metric: str) -> Valid:
    cutoff = re.search(r"@(\d+)$", metric)
    cutoffs = tuple(sorted({10, int(cutoff[1])} if cutoff else {10}))

    def ask(model: nn.Module) -> Metrics:
        from penchant.evaluation import evaluate  # it loads more than training needs

        if not isinstance(model, Retriever | Ranker):
            raise ArgumentError(
                "valid", "a part of a split", expected="a function from the model to metrics",
                fix=f"{type(model).__name__} has neither retrieve nor score, so it cannot be asked queries",
            )  # fmt: skip
        result = evaluate(model, queries, cutoffs=cutoffs, slices=False, bootstrap=0, samples=0)
        return {name: estimate.value for name, estimate in result.systems[0].metrics.items()}

    return ask
