"""Measuring lists, probabilities, diversity, and how sure one can be that one system beats another."""

from penchant.evaluation.beyond import (
    average_popularity,
    category_coverage,
    category_entropy,
    exposure_gini,
    intra_list_diversity,
    item_coverage,
    novelty,
    personalisation,
    serendipity,
)
from penchant.evaluation.compare import (
    MIN_USERS,
    Bootstrap,
    Interval,
    Verdict,
    bootstrap,
    bootstrap_slices,
    too_few,
)
from penchant.evaluation.pointwise import (
    GroupedAUC,
    Reliability,
    auc,
    brier,
    ece,
    gauc,
    log_loss,
    log_losses,
    normalised_entropy,
    pcoc,
    pointwise_metrics,
    reliability,
)
from penchant.evaluation.published import PublishedSetting, setting
from penchant.evaluation.ranking import RANKING_METRICS, candidate_recall, ranking_metrics
from penchant.evaluation.result import Estimate, Result, Setting, Slice, SystemResult
from penchant.evaluation.runfiles import read_run, write_run
from penchant.evaluation.runs import Places, Run
from penchant.evaluation.significance import Comparison, compare_values, holm, permutation_test
from penchant.evaluation.system import evaluate

__all__ = [
    "MIN_USERS",
    "RANKING_METRICS",
    "Bootstrap",
    "Comparison",
    "Estimate",
    "GroupedAUC",
    "Interval",
    "Places",
    "PublishedSetting",
    "Reliability",
    "Result",
    "Run",
    "Setting",
    "Slice",
    "SystemResult",
    "Verdict",
    "auc",
    "average_popularity",
    "bootstrap",
    "bootstrap_slices",
    "brier",
    "candidate_recall",
    "category_coverage",
    "category_entropy",
    "compare_values",
    "ece",
    "evaluate",
    "exposure_gini",
    "gauc",
    "holm",
    "intra_list_diversity",
    "item_coverage",
    "log_loss",
    "log_losses",
    "normalised_entropy",
    "novelty",
    "pcoc",
    "permutation_test",
    "personalisation",
    "pointwise_metrics",
    "ranking_metrics",
    "read_run",
    "reliability",
    "serendipity",
    "setting",
    "too_few",
    "write_run",
]
