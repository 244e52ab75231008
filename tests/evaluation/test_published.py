"""Published settings: what they ask, and figures that were published with them, on the same files."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import penchant as pt
from asked import asked
from fixed import Fixed
from logs import log_of, random_log
from penchant.data import datasets, split_by_time, split_leave_last
from penchant.errors import ArgumentError, SplitError
from penchant.evaluation import evaluate, setting
from penchant.evaluation.published import RECBOLE_LOO, RECTOOLS_LOO, S3REC, with_masked
from penchant.nn.topk import topk
from penchant.protocols import Candidates
from penchant.retrieve import Popularity

# Cut-offs 5, 10, 20: HR, NDCG each. Zhou et al. 2020 counted the test items too; beside it what an honest
# count gives, worked out apart from this library.
POPULARITY = {
    "Beauty": (
        (0.0080, 0.0044, 0.0152, 0.0068, 0.0217, 0.0084),
        (0.0077, 0.0042, 0.0135, 0.0061, 0.0217, 0.0081),
    ),
    "Toys_and_Games": (
        (0.0066, 0.0046, 0.0113, 0.0061, 0.0163, 0.0073),
        (0.0065, 0.0044, 0.0090, 0.0052, 0.0143, 0.0065),
    ),
}


@pytest.mark.parametrize("name", POPULARITY)
def test_popularity_gives_the_published_figures_with_the_leak_and_without(name, penchant_data):
    split = S3REC.split(datasets.amazon_yelp(penchant_data("amazon-yelp"), name))
    leaking = replace(split, part=torch.ones_like(split.part))
    for learned, figures in zip((leaking, split.joined()), POPULARITY[name], strict=True):
        model = pt.fit(Popularity(split.log.features), learned)
        result = evaluate(model, split.test, setting=S3REC, bootstrap=0)
        found = [result[f"{metric}@{k}"] for k in (5, 10, 20) for metric in ("recall", "ndcg")]
        assert found == pytest.approx(figures, abs=1e-4)


@pytest.mark.parametrize(("name", "dead", "repeated", "kept"), [
    ("Beauty", 138, 0, 22_311),
    ("Toys_and_Games", 279, 0, 19_365),
    ("Yelp", 73, 2_027, 28_399),
])  # fmt: skip
def test_settings_ask_what_they_say(name, dead, repeated, kept, penchant_data):
    split = S3REC.split(datasets.amazon_yelp(penchant_data("amazon-yelp"), name))
    everybody, nobody = S3REC.queries(split.test)
    assert len(everybody) == len(split.log.users) - 2
    assert nobody == {}
    assert int((~split.seen_items[everybody.targets.values]).sum()) == dead
    fresh, left_out = RECTOOLS_LOO.queries(split.test)
    assert sum(left_out.values()) == repeated
    assert len(fresh) == len(everybody) - repeated
    model = pt.fit(Popularity(split.log.features), split)
    result = evaluate(model, split.test, setting=RECTOOLS_LOO, bootstrap=0)
    assert len(result.users) == kept
    assert sum(result.left_out.values()) == len(everybody) - kept


def test_a_result_says_its_setting_and_reads_no_more_than_it_allows():
    split = split_leave_last(random_log(users=30, mean=40, seed=3))
    model = Fixed(torch.rand(len(split.log.catalogue)))
    for chosen in (S3REC, RECBOLE_LOO):
        short = replace(chosen, history=7)
        result = evaluate(model, split.test, setting=short, bootstrap=0)
        assert str(result.setting).startswith(f"{chosen.name}: ")
        assert "histories of 7 events at most" in str(result.setting)
        assert result.as_dict()["setting"]["name"] == chosen.name
        assert int(model.asked[-1].histories.lengths.max()) == 7
        masked = model.asked[-1].exclude
        assert (masked is not None) == chosen.exclude_seen
        if masked is not None:  # all of the past, whatever is read
            assert int(masked.lengths.max()) > 7


def test_earlier_candidates_are_those_of_the_rows_before_the_part():
    # item 6 first occurs in a validation row, item 7 in a test row alone
    log = log_of([[2, 3, 6, 4], [3, 2, 4, 7], [2, 4, 3, 6], [4, 3, 2, 3]], items=8)
    split = split_leave_last(log)
    model = Fixed(torch.arange(8.0))
    tested = evaluate(model, split.test, candidates="earlier", exclude_seen=False, cutoffs=(1,), bootstrap=0)
    assert model.asked[-1].eligible.tolist() == [False, False, True, True, True, False, True, False]
    assert len(tested.users) == 3
    assert list(tested.left_out.values()) == [1]
    evaluate(model, split.valid, candidates="earlier", cutoffs=(1,), bootstrap=0)
    assert not model.asked[-1].eligible[6]


def test_joined_rows_are_learned_from_and_asked_about_no_more():
    split = split_leave_last(random_log(users=12, seed=5))
    joined = split.joined()
    assert set(joined.train.rows.tolist()) == {*split.train.rows.tolist(), *split.valid.rows.tolist()}
    assert joined.test.rows.equal(split.test.rows)
    assert len(joined.valid) == 0
    assert "validation rows learned from" in joined.name
    with pytest.raises(SplitError, match=r"valid part .* no positive"):
        joined.valid()


@given(st.integers(0, 10_000), st.integers(1, 12), st.sampled_from([0.0, 0.5, -0.25]))
def test_another_score_for_masked_items_is_what_scoring_them_so_would_have_given(seed, k, score):
    g = torch.Generator().manual_seed(seed)
    rows, items = 4, 11
    values = (torch.randn(rows, items, generator=g) * 2).round() / 2  # with ties, at 0 too
    past = [torch.randint(2, items, (int(n),), generator=g).tolist() for n in torch.arange(rows) * 2]
    requests = asked([[2]] * rows, exclude=past)
    values[:, :2] = -torch.inf
    hidden, whole = values.clone(), values.clone()
    for row, seen in enumerate(past):
        hidden[row, seen], whole[row, seen] = -torch.inf, score
    (scores, found), (wanted_scores, wanted) = topk(hidden, k), topk(whole, k)
    answer = with_masked(Candidates(found, scores), requests, score)
    assert answer.score.equal(wanted_scores)
    assert answer.item.equal(wanted)
    untouched = Candidates(found, scores)
    assert with_masked(untouched, requests, None) is untouched


def test_a_mask_of_score_zero_lets_worse_items_fall_behind_masked_ones():
    split = split_leave_last(random_log(users=20, mean=10, seed=1))
    model = Fixed(-1 - torch.rand(len(split.log.catalogue)))
    fresh = replace(S3REC, repeats=False)  # else a masked target gains by it
    hidden = evaluate(model, split.test, setting=fresh, bootstrap=0)
    zero = evaluate(model, split.test, setting=replace(fresh, masked_score=0.0), bootstrap=0)
    assert hidden["recall@20"] > zero["recall@20"]
    assert "seen items masked with score 0" in str(zero.setting)
    funnel = pt.Funnel(retrieve=pt.fit(Popularity(split.log.features), split), data=split.log)
    with pytest.raises(ArgumentError, match="masked_score=0"):
        evaluate(funnel, split.test, setting=replace(S3REC, masked_score=0.0), bootstrap=0)


def test_settings_refuse_other_splits_arguments_and_names():
    log = random_log(users=40, mean=12, seed=2)
    model = Fixed(torch.rand(len(log.catalogue)))
    for split in (split_by_time(log), split_leave_last(log, k=2), split_leave_last(log, ties="exclude")):
        with pytest.raises(SplitError, match=r"setting\('s3rec'\).split\(log\)"):
            evaluate(model, split.test, setting=S3REC)
    split = split_leave_last(log)
    with pytest.raises(ArgumentError, match=r"queries.*a part of a split"):
        evaluate(model, split.test(), setting=S3REC)
    for extra in ({"cutoffs": (3,)}, {"candidates": "seen"}, {"exclude_seen": False}):
        with pytest.raises(ArgumentError, match=f"{next(iter(extra))}.*nothing beside setting='s3rec'"):
            evaluate(model, split.test, setting=S3REC, **extra)
    with pytest.raises(ArgumentError, match="setting"):
        evaluate(model, split.test, setting="s3rec")
    with pytest.raises(ArgumentError, match="did you mean 's3rec'"):
        setting("s3req")
    assert setting("rectools_loo") is RECTOOLS_LOO


def test_repeats_are_found_however_often_and_long_ago_they_occurred():
    log = log_of([[2, 3, 2, 4, 2], [3, 4, 5, 6], [4, 4, 4, 4, 4]], items=8)
    split = split_leave_last(log)
    fresh, left_out = RECTOOLS_LOO.queries(split.test)
    assert fresh.user.tolist() == [3]
    assert list(left_out.values()) == [2]
    assert np.array_equal(fresh.row.numpy(), [8])


def test_a_masked_item_that_may_not_be_answered_gets_no_place():
    eligible = torch.tensor([False, False, True, True, False, True])
    requests = asked([[2]], exclude=[[3, 4]], eligible=eligible)
    answer = Candidates(torch.tensor([[2, 5]]), torch.tensor([[1.0, -1.0]]))
    found = with_masked(answer, requests, 0.0)
    assert found.item.tolist() == [[2, 3]]
