"""Figures in print and verdicts in words."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penchant.evaluation.result import Estimate, Result, Setting, SystemResult
from penchant.report import words
from report.made import result

SETTING = Setting("made up", "test", "each", "order", "seen", exclude_seen=True, cutoffs=(5, 10))


def headline(made):
    """What is said, with the minus sign of a keyboard."""
    return [sentence.replace(words.MINUS, "-") for sentence in words.headline(made)]


def compared(
    *differences, metric="ndcg@10", verdict=None, names=("Popularity", "EASE", "ItemKNN"), setting=SETTING
):
    """A result of a SASRec that leads each other system by the differences given as (value, low, high)."""
    first = SystemResult("SASRec", {metric: Estimate(0.2, 0.18, 0.22, 671)})
    others = [
        SystemResult(
            name, {metric: Estimate(0.2 - d[0], 0.1, 0.3, 671)}, difference={metric: Estimate(*d, 671)}
        )
        for name, d in zip(names, differences)
    ]
    return Result(setting, (first, *others), np.arange(671), verdict=verdict)


def test_a_clear_lead_is_said_with_its_interval():
    said = headline(compared((0.0312, 0.0218, 0.0403)))
    assert said == ["SASRec beats Popularity (+0.0312 [+0.0218, +0.0403]) on NDCG@10."]


def test_an_interval_that_holds_0_is_no_win_however_large_the_difference():
    said = headline(compared((0.081, 0.06, 0.1), (0.03, -0.001, 0.07)))
    assert said == [
        "SASRec beats Popularity (+0.081 [+0.060, +0.100]) on NDCG@10.",
        "The difference to EASE (+0.030 [-0.001, +0.070]) on NDCG@10 cannot be told from chance "
        "with 671 users.",
    ]


def test_a_clear_deficit_comes_first():
    said = headline(compared((-0.05, -0.08, -0.02), (0.1, 0.05, 0.15), (0.2, 0.1, 0.3)))
    assert said == [
        "SASRec is behind Popularity (-0.05 [-0.08, -0.02]) on NDCG@10.",
        "SASRec beats EASE (+0.10 [+0.05, +0.15]) and ItemKNN (+0.20 [+0.10, +0.30]) on NDCG@10.",
    ]


def test_less_of_a_loss_is_better():
    said = headline(compared((-0.05, -0.08, -0.02), metric="log_loss"))
    assert said == ["SASRec beats Popularity (-0.050 [-0.080, -0.020]) on Log loss."]


def test_too_few_users_make_no_winner():
    said = headline(compared((0.2, 0.1, 0.3), verdict="too few users to tell: 9 could be asked about"))
    assert said[0] == "Too few users to tell: 9 could be asked about."
    assert not any("beats" in sentence for sentence in said)
    assert said[1].startswith("NDCG@10 as measured on 671 users: SASRec 0.2")


def test_without_intervals_nothing_is_claimed():
    said = words.headline(result(bootstrap=0, everything=False))
    assert "beats" not in " ".join(said)
    assert said[-1] == "Without intervals, chance is not ruled out."


def test_one_system_alone_is_not_compared():
    (said,) = words.headline(result({"EASE": 1.0}, everything=False))
    assert said.startswith("EASE reaches 0.1")
    assert said.endswith("over 671 users; nothing was held against it.")


@pytest.mark.parametrize(
    ("metrics", "chosen"),
    [
        (["recall@5", "ndcg@5", "ndcg@10", "recall@10"], "ndcg@10"),
        (["recall@10", "ndcg@5"], "recall@10"),
        (["auc", "gauc", "log_loss"], "gauc"),
        (["somebodys@3"], "somebodys@3"),
        ([], None),
    ],
)
def test_the_verdict_is_spoken_in_the_most_telling_metric(metrics, chosen):
    system = SystemResult("x", {name: Estimate(0.1) for name in metrics})
    assert words.headline_metric(Result(SETTING, (system,), np.arange(3))) == chosen


def test_a_metric_that_is_not_a_number_is_not_the_headline():
    system = SystemResult("x", {"ndcg@10": Estimate(math.nan), "recall@10": Estimate(0.3)})
    assert words.headline_metric(Result(SETTING, (system,), np.arange(3))) == "recall@10"


@pytest.mark.parametrize(
    ("value", "decimals", "signed", "shown"),
    [
        (0.03125, 3, True, "+0.031"),
        (-0.0004, 3, True, "0.000"),
        (-0.0004, 4, True, "-0.0004"),
        (0.0, 2, True, "0.00"),
        (1234.5, 1, False, "1,234.5"),
        (math.nan, 3, False, words.NOTHING),
        (math.inf, 3, False, words.NOTHING),
    ],
)
def test_figures_in_print(value, decimals, signed, shown):
    assert words.figure(value, decimals, signed=signed).replace(words.MINUS, "-") == shown


@given(st.floats(0.001, 100), st.floats(0.002, 0.5))
def test_an_interval_is_printed_with_two_telling_digits(value, width):
    estimate = Estimate(value, value - width / 2, value + width / 2)
    decimals = words.places([estimate])
    assert width / 2 * 10**decimals * (1 + 1e-9) >= 10 or decimals == 5
    assert width / 2 * 10**decimals < 100 * (1 + 1e-9) or decimals == 2


def test_metrics_of_lists_and_their_differences_have_the_same_decimals():
    made = result()
    for names in (("ndcg@10", "recall@5", "precision@20"), ("novelty@10",)):
        assert len({words.decimals_of(made, name) for name in names}) == 1
    apart = compared((0.0312, 0.0218, 0.0403))  # a difference is known better than what it is of
    assert words.decimals_of(apart, "ndcg@10") == 4


def test_the_middle_hit_rate_in_a_sentence_anybody_can_check():
    made = result({"SASRec": 1.0, "Popularity": 0.3}, everything=False)
    rates = [round(100 * s.metrics["hit_rate@10"].value) for s in made.systems]
    assert words.in_a_hundred(made) == (
        f"In other words: {rates[0]} times in 100, a list of 10 by SASRec holds what the user chose next "
        f"(Popularity: {rates[1]})."
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ndcg@10", "NDCG@10"),
        ("log_loss", "Log loss"),
        ("their_own@7", "Their own@7"),
        ("odd@name", "Odd@name"),
    ],
)
def test_labels(name, shown):
    assert words.label(name) == shown


def test_days_and_counts():
    assert words.day(0) == "1 Jan 1970"
    assert words.day(None) == words.NOTHING
    assert words.day(10**15) == "1,000,000,000,000,000 s"
    assert [words.count(n, noun) for n, noun in ((1, "query"), (2000, "query"), (2, "day"), (0, "user"))] == [
        "1 query", "2,000 queries", "2 days", "0 users",
    ]  # fmt: skip
    assert [words.listing(list(w)) for w in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
