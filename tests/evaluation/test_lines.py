"""A result as text."""

from dataclasses import replace

import numpy as np
import pytest

from penchant.evaluation.lines import Table, better_alone, copies, figure, parts
from penchant.evaluation.result import Estimate, Result, Setting, SystemResult
from report.made import result

SETTING = Setting("made up", "test", "each", "order", "seen", exclude_seen=True, cutoffs=(5, 10))


def compared(difference, *, stages=("retrieve:SASRec", "merge"), **more):
    """A funnel, and a SASRec that it leads by `difference`, both by NDCG."""
    funnel = SystemResult(
        "Funnel", {"ndcg@10": Estimate(0.2, 0.1, 0.3)}, stages={stage: {"recall@20": 0.5} for stage in stages}
    )
    other = SystemResult(
        "SASRec", {"ndcg@10": Estimate(0.25, 0.2, 0.3)}, difference={"ndcg@10": Estimate(*difference)}
    )
    return Result(SETTING, (funnel, other), np.arange(40), **more)


def test_a_result_in_text_has_every_part_once_and_no_blank_at_a_line_s_end():
    made = result()
    text = str(made)
    assert made.caption in text
    assert "left out: 17 queries whose every target is unseen in training" in text
    assert f".{made['ndcg@10']:.4f}".replace(".0.", ".") in text
    assert text.count("Funnel minus") == 1
    assert "stages of Funnel" in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_columns_stand_below_each_other():
    table = Table(["", "ndcg@10"], [["a", ".1000"], ["longer", ".20"]])
    assert str(table).splitlines() == ["        ndcg@10", "a         .1000", "longer      .20"]


@pytest.mark.parametrize(
    ("difference", "marked"), [((0.002, -0.01, 0.02), True), ((0.02, 0.01, 0.03), False)]
)
def test_only_what_may_be_chance_is_marked_and_explained(difference, marked):
    text = str(compared(difference))
    assert ("? cannot be told from chance" in text) == marked
    assert ("] ?" in text) == marked


def test_of_too_few_users_no_difference_is_marked():
    text = str(compared((0.002, -0.01, 0.02), verdict="Too few users to tell: 9."))
    assert "Too few users to tell: 9." in text
    assert "?" not in text


def test_one_query_is_not_one_queries():
    left_out = {
        "queries whose every target is unseen in training": 1,
        "further targets unseen in training": 1,
    }
    assert compared((0.1, 0.0, 0.2), left_out=left_out).omitted == [
        "1 query whose every target is unseen in training",
        "1 further target unseen in training",
    ]


def test_a_stage_that_is_clearly_better_alone_is_named_with_what_to_do():
    worse = compared((-0.05, -0.08, -0.02))
    assert "SASRec alone is better: drop stages or set funnel.weights" in str(worse)
    for made in (
        compared((-0.05, -0.11, 0.01)),
        compared((0.05, 0.02, 0.08)),
        compared((-0.05, -0.08, -0.02), stages=("retrieve:EASE",)),
        replace(worse, verdict="Too few users to tell."),
    ):
        assert better_alone(made) is None


def test_copies_are_those_of_all_systems():
    one, other = {"map@5": 0.5, "mrr@5": 0.5}, {"map@5": 0.5, "mrr@5": 0.25}
    assert copies([one, one]) == {"map@5": "mrr@5"}
    assert copies([one, other]) == {}
    assert copies([{"hit_rate@5": 0.5}]) == {}


def test_a_ranker_s_figures_follow():
    lines = [part for part in parts(result()) if isinstance(part, str)]
    assert "the ranker alone, on single items" in lines


def test_estimates_in_words():
    assert figure(Estimate(0.0567, 0.051, 0.0624)) == ".0567 [.0510, .0624]"
    assert figure(Estimate(0.01, -0.01, 0.03), signed=True) == "+.0100 [-.0100, +.0300] ?"
    assert figure(Estimate(-0.02, -0.03, -0.01), signed=True) == "-.0200 [-.0300, -.0100]  "
    assert figure(Estimate(1.0)) == "1.0000"
    assert figure(None) == ""
    assert figure(Estimate(float("nan"))) == ""
