import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from penchant.errors import ArgumentError
from penchant.evaluation import pointwise as metrics
from penchant.evaluation.pointwise import (
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


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


@st.composite
def judged(draw):
    """Logits with many ties, labels of both classes, weights (some 0)."""
    size = draw(st.integers(2, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    levels = draw(st.sampled_from([1, 3, 10, 10**6]))
    logits = rng.integers(-levels, levels + 1, size) * (4 / levels)
    labels = rng.integers(0, 2, size)
    labels[:2] = [0, 1]
    weights = rng.integers(0, 4, size).astype(float)
    weights[:2] = [1, 2]
    return logits, labels, weights


@given(judged())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_tin_7_metrics_equal_scikit_learn(case):
    logits, labels, weights = case
    probability = sigmoid(logits)
    for w in (None, weights):
        assert auc(logits, labels, weights=w) == pytest.approx(
            roc_auc_score(labels, logits, sample_weight=w), abs=1e-12
        )
        theirs = sklearn_log_loss(labels, probability, sample_weight=w)
        assert log_loss(logits, labels, weights=w) == pytest.approx(theirs, abs=1e-9)
        theirs = brier_score_loss(labels, probability, sample_weight=w)
        assert brier(logits, labels, weights=w) == pytest.approx(theirs, abs=1e-9)


@given(judged(), st.integers(1, 5))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_gauc_equals_scikit_learn_group_by_group(case, groups):
    logits, labels, _ = case
    whose = np.random.default_rng(len(labels)).integers(0, groups, len(labels)) * 7
    kept = [g for g in np.unique(whose) if len(set(labels[whose == g])) == 2]
    if not kept:
        with pytest.raises(ArgumentError, match="both classes"):
            gauc(logits, labels, whose)
        return
    values = np.array([roc_auc_score(labels[whose == g], logits[whose == g]) for g in kept])
    weigh = {
        "impressions": [np.sum(whose == g) for g in kept],
        "clicks": [labels[whose == g].sum() for g in kept],
        "equal": [1] * len(kept),
    }
    for weighting, weight in weigh.items():
        found = gauc(logits, labels, whose, weighting=weighting)
        assert found.value == pytest.approx(np.average(values, weights=weight), abs=1e-12)
        assert found.auc == pytest.approx(values, abs=1e-12)
        assert found.weight.tolist() == weight
        assert found.group.tolist() == kept
        assert found.dropped_groups == len(np.unique(whose)) - len(kept)
        assert found.dropped_share == pytest.approx(1 - np.isin(whose, kept).mean())


def test_tin_7_metrics_of_known_orders():
    rng = np.random.default_rng(0)
    labels, users = rng.integers(0, 2, 500), rng.integers(0, 20, 500)
    assert auc(np.full(500, 3.0), labels) == 0.5
    assert auc(labels * 2.0 - 1, labels) == 1.0
    assert auc(1.0 - labels, labels) == 0.0
    scores = rng.normal(size=500) + labels
    shifted = scores + 5 * users  # what tells users apart, not items
    assert gauc(shifted, labels, users).value == gauc(scores, labels, users).value
    assert abs(auc(shifted, labels) - auc(scores, labels)) > 0.1
    labels[users == 3] = 1
    assert gauc(scores, labels, users).dropped_groups == 1
    assert gauc(scores, labels, users).dropped_share == (users == 3).mean()


def test_tin_7_metrics_base_rate_has_pcoc_1():
    labels = (np.random.default_rng(0).random(1000) < 0.07).astype(float)
    rate = labels.mean()
    assert pcoc(np.full(1000, np.log(rate / (1 - rate))), labels) == pytest.approx(1, abs=1e-12)


def test_tin_7_downsampling_is_corrected():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200_000) - 2
    labels = (rng.random(200_000) < sigmoid(truth)).astype(float)
    kept = (labels == 1) | (rng.random(200_000) < 0.1)  # negatives sampled at a rate of 1 in 10
    inflated = truth - np.log(0.1)  # what a calibrated model learns from such rows
    assert pcoc(inflated[kept], labels[kept]) == pytest.approx(1, abs=0.02)
    assert pcoc(inflated, labels) > 2
    q = sigmoid(inflated)
    corrected = q / (q + (1 - q) / 0.1)
    assert pcoc(np.log(corrected / (1 - corrected)), labels) == pytest.approx(1, abs=0.02)


def test_auc_is_the_share_of_pairs_won():  # the slow, obvious version
    rng = np.random.default_rng(1)
    scores, labels = rng.integers(0, 6, 80), rng.integers(0, 2, 80)
    pairs = [(s > t) + (s == t) / 2 for s in scores[labels == 1] for t in scores[labels == 0]]
    assert auc(scores, labels) == pytest.approx(np.mean(pairs), abs=1e-14)


@given(judged())
@settings(max_examples=50, deadline=None, derandomize=True)
def test_weight_two_equals_the_row_twice(case):
    logits, labels, weights = case
    twice = [np.repeat(column, weights.astype(int)) for column in (logits, labels)]
    for metric in (auc, log_loss, normalised_entropy, brier, pcoc, ece):
        assert metric(logits, labels, weights=weights) == pytest.approx(metric(*twice), abs=1e-12)


def test_log_losses_far_out_are_exact():
    logits, labels = np.array([800.0, -800, -800, 40, -40]), np.array([1, 0, 1, 1, 0])
    expected = [0, 0, 800, np.exp(-40), np.exp(-40)]
    np.testing.assert_allclose(log_losses(logits, labels), expected, rtol=1e-12, atol=0)


def test_normalised_entropy_of_the_base_rate_is_one():
    labels = np.array([1, 0, 0, 0])
    assert normalised_entropy(np.full(4, np.log(1 / 3)), labels) == pytest.approx(1)
    assert normalised_entropy(np.where(labels == 1, 30.0, -30), labels) == pytest.approx(0, abs=1e-12)


def test_reliability_has_bins_of_equal_mass():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=3000)
    labels = (rng.random(3000) < sigmoid(logits)).astype(int)
    curve = reliability(logits, labels)
    assert curve.rows.tolist() == [200] * 15
    order = logits.argsort().reshape(15, 200)
    np.testing.assert_allclose(curve.probability, sigmoid(logits)[order].mean(1))
    np.testing.assert_allclose(curve.frequency, labels[order].mean(1))
    expected = np.abs(sigmoid(logits)[order].mean(1) - labels[order].mean(1)).mean()
    assert curve.ece == pytest.approx(expected) == ece(logits, labels)
    assert ece(logits + 1, labels) > 3 * ece(logits, labels)


def test_equal_predictions_go_to_the_bin_that_their_middle_falls_into():
    curve = reliability(np.repeat([-1.0, 1], [4, 6]), np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 0]), bins=2)
    assert curve.rows.tolist() == [4, 6]
    assert curve.weight == pytest.approx([0.4, 0.6])
    assert curve.probability == pytest.approx(sigmoid(np.array([-1, 1])))
    assert curve.frequency == pytest.approx([1 / 4, 5 / 6])


@given(judged())
@settings(max_examples=50, deadline=None, derandomize=True)
def test_row_order_plays_no_part(case):
    logits, labels, weights = case
    order = np.random.default_rng(0).permutation(len(logits))
    one = pointwise_metrics(logits, labels, weights=weights, groups=labels // 2)
    other = pointwise_metrics(logits[order], labels[order], weights=weights[order], groups=labels // 2)
    assert one == pytest.approx(other, abs=1e-12, nan_ok=True)


def test_tensors_do_as_well_as_arrays():
    logits, labels = torch.tensor([0.5, -1, 2], requires_grad=True), torch.tensor([True, False, False])
    found = pointwise_metrics(logits, labels, groups=torch.zeros(3, dtype=torch.long))
    arrays = pointwise_metrics(np.array([0.5, -1, 2]), np.array([1, 0, 0]), groups=np.zeros(3))
    assert found == pytest.approx(arrays)
    assert found["gauc"] == found["auc"] == 0.5


def test_one_class_is_an_error_where_the_metric_is_undefined():
    ones, zeros = np.ones(3), np.zeros(3)
    for call in (
        lambda: auc(ones, ones),
        lambda: auc(ones, zeros),
        lambda: normalised_entropy(ones, ones),
        lambda: auc(ones, np.array([1, 0, 0]), weights=np.array([0, 1, 1])),  # one class by weight
    ):
        with pytest.raises(ArgumentError, match=r"both classes \(\d are alike\)"):
            call()
    with pytest.raises(ArgumentError, match="a positive among 3 rows"):
        pcoc(ones, zeros)
    assert log_loss(zeros, ones) == pytest.approx(np.log(2))
    table = pointwise_metrics(zeros, zeros, groups=np.arange(3))
    assert np.isnan([table[name] for name in ("auc", "gauc", "normalised_entropy", "pcoc")]).all()
    assert table["brier"] == 0.25


@pytest.mark.parametrize("metric", [auc, log_loss, normalised_entropy, brier, pcoc, ece, pointwise_metrics])
def test_arguments_are_refused_by_name(metric):
    scores, labels = np.array([0.0, 1, 2]), np.array([0, 1, 0])
    for name, args, weights in [
        ("labels", (scores, np.array([0, 1, 2])), None),
        ("labels", (scores, np.array([0, 1])), None),
        ("(scores|logits)", (np.array([0, np.nan, 1]), labels), None),
        ("weights", (scores, labels), np.array([1, -1, 1])),
        ("weights", (scores, labels), np.zeros(3)),
        ("weights", (scores, labels), np.ones(2)),
    ]:
        with pytest.raises(ArgumentError, match=rf"^{name}="):
            metric(*args, weights=weights)
    with pytest.raises(ArgumentError, match=r"^bins="):
        metrics.ece(scores, labels, bins=0)
    with pytest.raises(ArgumentError, match=r"^weighting="):
        gauc(scores, labels, np.zeros(3), weighting="views")
    with pytest.raises(ArgumentError, match=r"^groups="):
        gauc(scores, labels, np.zeros(2))
