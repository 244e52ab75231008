import json

import numpy as np
import pytest
import torch
from tests.logs import log_of, random_log
from torch import Tensor

from penchant.data import Requests, Split, split_by_item, split_by_time, split_leave_last
from penchant.errors import ArgumentError, SplitError
from penchant.evaluation import evaluate
from penchant.nn.topk import topk
from penchant.protocols import Candidates


class Fixed:
    """Scores every item alike for every user, by rules as any retriever keeps them."""

    def __init__(self, score: Tensor) -> None:
        self.score = score.float()
        self.asked: list[Requests] = []

    def retrieve(self, requests: Requests, k: int, dials: object = None) -> Candidates:
        self.asked.append(requests)
        scores = self.score.expand(len(requests), -1).clone()
        scores[:, :2] = -torch.inf
        if requests.eligible is not None:
            scores[:, ~requests.eligible] = -torch.inf
        if requests.exclude is not None:
            scores[requests.exclude.owner, requests.exclude.values.long()] = -torch.inf
        values, items = topk(scores, k)
        return Candidates(items, values)


class Oracle:
    """Knows the target of every query by user and time."""

    def __init__(self, split: Split) -> None:
        queries = split.test()
        self.answer = dict(
            zip(
                zip(queries.user.tolist(), queries.at.tolist(), strict=True),
                queries.targets.values.tolist(),
                strict=True,
            )
        )

    def retrieve(self, requests: Requests, k: int, dials: object = None) -> Candidates:
        item = torch.zeros(len(requests), k, dtype=torch.int64)
        item[:, 0] = torch.tensor(
            [self.answer[key] for key in zip(requests.users.tolist(), requests.at.tolist(), strict=True)]
        )
        return Candidates(item, torch.where(item > 0, 1.0, -torch.inf))


class ByItem:
    """A ranker whose logit is the item's number, whatever the user did."""

    def __init__(self, sign: float = 1.0) -> None:
        self.sign, self.calls = sign, 0

    def encode_user(self, requests: Requests) -> Tensor:
        self.calls += 1
        return requests.users

    def score(self, state: Tensor, items: Tensor) -> Tensor:
        return self.sign * items.float()


@pytest.fixture
def split() -> Split:
    return split_leave_last(random_log(users=60, items=25, seed=3))


def test_an_oracle_is_perfect_and_the_figures_know_it(split):
    result = evaluate(Oracle(split), split.test, candidates="all", exclude_seen=False)
    assert result["recall@5"] == result["ndcg@10"] == result["mrr@20"] == 1.0
    assert result["precision@5"] == pytest.approx(0.2)
    assert result.n_users == 60


def test_a_popularity_list_scores_what_counting_by_hand_says(split):
    result = evaluate(Fixed(split.item_counts), split.test, cutoffs=[3], exclude_seen=True, bootstrap=50)
    hits = []
    queries, (_, order) = split.test(), topk(split.item_counts.float()[None], 40)
    for q in range(len(queries)):
        seen = set(split.histories(queries.user[q : q + 1], queries.end[q : q + 1]).item.tolist())
        shown = [i for i in order[0].tolist() if i > 1 and i not in seen][:3]
        hits.append(int(queries.targets.values[q]) in shown)
    assert result["recall@3"] == pytest.approx(np.mean(hits))


def test_histories_of_queries_end_before_their_target_and_nothing_seen_is_answered(split):
    system = Fixed(torch.rand(len(split.log.catalogue)))
    result = evaluate(system, split.test, batch_size=7, bootstrap=10)
    begin = 0
    for requests in system.asked:
        latest = [requests.histories.time[b - 1] for b in requests.histories.offsets[1:].tolist()]
        assert (torch.stack(latest) < requests.at).all()
        lists = result.systems[0].lists[begin : begin + len(requests)]
        for b in range(len(requests)):
            seen = requests.histories.item[
                requests.histories.offsets[b] : requests.histories.offsets[b + 1]
            ].long()
            assert not torch.isin(lists[b], seen).any()
        begin += len(requests)


def test_the_batch_size_plays_no_part(split):
    model = Fixed(split.item_counts)
    small, large = (
        evaluate(model, split.test, batch_size=size, bootstrap=20).as_dict() for size in (3, 1000)
    )
    for found in (small, large):
        for system in found["systems"]:
            del system["seconds"]
    assert small == large


def test_a_system_leads_itself_by_nothing_and_its_reverse_by_the_opposite(split):
    good, bad = Fixed(split.item_counts), Fixed(-split.item_counts)
    same = evaluate(good, split.test, against=[good]).systems[1]
    for lead in same.difference.values():  # equal columns of one matrix product may differ in the last bit
        assert (lead.value, lead.low, lead.high) == pytest.approx((0, 0, 0), abs=1e-12)
    one = evaluate(good, split.test, against=[bad]).systems[1].difference["ndcg@10"]
    other = evaluate(bad, split.test, against=[good]).systems[1].difference["ndcg@10"]
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))


def test_targets_that_training_never_saw_are_left_out_or_are_misses():
    split = split_by_item(random_log(users=60, items=25, seed=3), valid=0.2, test=0.2)
    with pytest.raises(SplitError, match="no held-out item occurs in the training rows"):
        evaluate(Fixed(split.item_counts), split.test)
    cold = Fixed(split.item_counts)
    assert evaluate(cold, split.test, candidates="all", cutoffs=[5]).n_users > 0
    # one cold and one warm target: the cold one is left out, and counted
    log = log_of([[2, 3, 4, 9], [3, 4, 2, 5], [5, 4, 3, 2]])
    mixed = split_leave_last(log)
    result = evaluate(Fixed(mixed.item_counts), mixed.test, exclude_seen=False)
    assert (len(result.users), dict(result.left_out)) == (
        2,
        {"queries whose every target is unseen in training": 1},
    )
    assert len(evaluate(Fixed(mixed.item_counts), mixed.test, candidates="all").users) == 3


def test_few_users_are_said_to_be_few():
    split = split_by_time(random_log(users=30, seed=1))
    result = evaluate(Fixed(split.item_counts), split.test)
    assert result.n_users < 20
    assert "Too few users to tell" in result.verdict
    assert "Too few users to tell" in str(result)


def test_at_the_cut_every_user_is_asked_once(split):
    split = split_by_time(random_log(users=60, mean=30, seed=2), valid=0.2, test=0.4)
    queries = split.test(at="cut")
    assert len(queries) == len(set(queries.user.tolist()))
    result = evaluate(Fixed(split.item_counts), queries, candidates="all", exclude_seen=False)
    assert result.setting.at == "cut"
    assert len(result.users) == len(queries)


def test_result_is_json_and_holds_what_the_table_says(split):
    result = evaluate(Fixed(split.item_counts), split.test, against=[Fixed(-split.item_counts)])
    said = json.loads(json.dumps(result.as_dict()))
    assert said["systems"][0]["metrics"]["ndcg@10"]["value"] == result["ndcg@10"]
    assert f"{result['ndcg@10']:.4f}" in str(result)
    assert {s["by"] for s in said["systems"][0]["slices"]} == {"history", "target"}


def test_slices_add_up_to_the_whole(split):
    result = evaluate(Fixed(split.item_counts), split.test, bootstrap=20)
    for by in ("history", "target"):
        parts = [s for s in result.systems[0].slices if s.by == by]
        assert sum(s.n for s in parts) == len(result.users)
        total = sum(s.n * s.metrics["recall@10"].value for s in parts) / len(result.users)
        assert total == pytest.approx(result["recall@10"])


def test_a_ranker_that_knows_the_sample_is_perfect_and_a_constant_one_a_coin(split):
    class Knows(ByItem):
        def score(self, state, items):
            return (
                torch.cat([torch.ones(len(items), 1), torch.zeros(len(items), items.shape[1] - 1)], 1) * 10
                - 5
            )

    perfect = evaluate(Knows(), split.test)
    assert perfect["auc"] == perfect["gauc"] == 1.0
    coin = evaluate(ByItem(sign=0.0), split.test)
    assert coin["auc"] == coin["gauc"] == 0.5
    assert coin["log_loss"] == pytest.approx(np.log(2))
    assert coin.setting.negatives == 20


def test_a_ranker_is_judged_on_the_log_s_own_labels_where_it_has_them():
    split = split_by_time(random_log(users=50, labels=True, seed=5), valid=0.2, test=0.3)
    result = evaluate(ByItem(), split.test)
    rows = split.test.rows
    from sklearn.metrics import roc_auc_score

    assert result["auc"] == pytest.approx(
        roc_auc_score(split.log.label[rows], split.log.item[rows]), abs=1e-12
    )
    assert result.setting.negatives == 0


def test_rankers_are_compared_in_pairs(split):
    result = evaluate(ByItem(), split.test, against=[ByItem(-1.0)])
    lead = result.systems[1].difference["gauc"]
    assert lead.value == pytest.approx(result["gauc"] - result.systems[1].metrics["gauc"].value)


@pytest.mark.parametrize("wrong", [{"cutoffs": []}, {"cutoffs": [0]}, {"candidates": "warm"}])
def test_wrong_arguments_are_named(split, wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        evaluate(Fixed(split.item_counts), split.test, **wrong)
