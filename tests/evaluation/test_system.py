import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fixed import Fixed
from logs import log_of, random_log
from penchant.data import Requests, Split, split_by_item, split_by_time, split_leave_last
from penchant.errors import ArgumentError, SplitError
from penchant.evaluation import evaluate, intra_list_diversity, log_loss
from penchant.nn.topk import topk
from penchant.protocols import Candidates
from penchant.retrieve import EASE, SASRec


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


def test_targets_that_stand_in_a_masked_history_are_told():
    split = split_leave_last(random_log(users=40, items=8, seed=2))  # few items: people repeat
    log, queries = split.log, split.test()
    again = sum(
        int(log.item[row] in log.item[log.offsets[user] : row])
        for user, row in zip(queries.user.tolist(), queries.row.tolist(), strict=True)
    )
    model = Fixed(torch.arange(10.0))
    assert 1 < again < len(queries)
    for batch_size in (7, 256):
        result = evaluate(
            model, split.test, candidates="all", exclude_seen=True, bootstrap=5, batch_size=batch_size
        )
        assert result.masked == again
    assert f"{again} targets stand in a history that is masked: sure misses" in str(result)
    assert result.as_dict()["masked"] == again
    assert evaluate(model, split.test, candidates="all", exclude_seen=False, bootstrap=5).masked == 0


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


class Brief(Fixed):
    """Says that it reads the newest three events."""

    history = 3


def test_a_system_is_handed_the_events_that_it_reads_and_hides_all_that_was_seen(split):
    score = torch.rand(len(split.log.catalogue))
    whole, brief = Fixed(score), Brief(score)
    result = evaluate(whole, split.test, against=[brief], batch_size=7, bootstrap=0)
    assert torch.equal(result.systems[0].lists, result.systems[1].lists)
    assert int(split.test().history_lengths().max()) > 3
    for every, newest in zip(whole.asked, brief.asked, strict=True):
        assert torch.equal(newest.histories.item, every.histories.tail(3).item)
        assert torch.equal(newest.exclude.values, every.exclude.values)
        assert torch.equal(newest.exclude.offsets, every.exclude.offsets)


def test_a_ranker_is_handed_the_events_that_it_reads(split):
    class Looks(ByItem):
        history = 2

        def encode_user(self, requests: Requests) -> Tensor:
            lengths.append(int(requests.histories.lengths.max()))
            return super().encode_user(requests)

    lengths: list[int] = []
    found = evaluate(Looks(), split.test, bootstrap=0)
    assert max(lengths) == 2
    assert found["auc"] == evaluate(ByItem(), split.test, bootstrap=0)["auc"]


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
    assert f"{result['ndcg@10']:.4f}".lstrip("0") in str(result)
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


class Two(Fixed):
    """A retriever with a ranker behind it."""

    def __init__(self, score: Tensor, ranker: ByItem | None) -> None:
        super().__init__(score)
        self.ranker = ranker

    def stages(self, requests: Requests, k: int, dials: object = None) -> dict[str, Candidates]:
        return {"": self.retrieve(requests, k, dials)}


def test_the_ranker_of_a_funnel_is_held_against_rankers_as_it_would_be_alone(split):
    two, other = Two(split.item_counts, ByItem(0.1)), ByItem(-0.1)
    result = evaluate(two, split.test, against=[other, Fixed(split.item_counts)], bootstrap=50)
    assert [row.name for row in result.systems] == ["Two", "Fixed"]
    alone = evaluate(two.ranker, split.test, against=[other], bootstrap=50)
    assert [row.name for row in result.ranker.systems] == ["ByItem-1", "ByItem-2"]
    for found, same in zip(result.ranker.systems, alone.systems, strict=True):
        assert found.metrics == same.metrics
        assert found.difference == same.difference
        assert found.reliability == same.reliability
    assert set(found.metrics) >= {"auc", "gauc", "log_loss", "ece", "pcoc"}
    assert np.isfinite(found.difference["gauc"].low)
    assert json.loads(json.dumps(result.as_dict()))["ranker"]["systems"][0]["metrics"]["auc"]["value"] > 0
    assert "gauc" in str(result)
    assert evaluate(Fixed(split.item_counts), split.test, bootstrap=0).ranker is None


def test_at_the_cut_a_ranker_is_asked_about_each_event():
    split = split_by_time(random_log(users=60, mean=30, seed=2), valid=0.2, test=0.4)
    two = Two(split.item_counts, ByItem(0.1))
    cut = evaluate(two, split.test(at="cut"), bootstrap=0)
    assert (cut.setting.at, cut.ranker.setting.at) == ("cut", "each")
    assert cut.ranker["auc"] == evaluate(two, split.test, bootstrap=0).ranker["auc"]


@pytest.mark.parametrize("labels", [False, True])
def test_a_funnel_s_ranker_is_asked_a_spread_of_many_queries(monkeypatch, labels):
    split = split_by_time(random_log(users=60, labels=labels, seed=5), valid=0.2, test=0.3)
    monkeypatch.setattr("penchant.evaluation.system._JUDGED", 10)
    result = evaluate(Two(split.item_counts, ByItem(0.1)), split.test, candidates="all", bootstrap=0)
    assert len(result.ranker.users) == 10 < len(result.users)
    if labels:
        rows = split.test.rows[torch.arange(10) * len(split.test.rows) // 10]
        wanted = log_loss(0.1 * split.log.item[rows].float(), split.log.label[rows])
        assert result.ranker["log_loss"] == pytest.approx(wanted)


def test_a_ranker_needs_a_ranker_to_be_held_against(split):
    with pytest.raises(ArgumentError, match=r"against='ByItem'.*no ranker"):
        evaluate(Fixed(split.item_counts), split.test, against=[ByItem()])
    with pytest.raises(ArgumentError, match="a retriever, a funnel or a ranker"):
        evaluate(Fixed(split.item_counts), split.test, against=[object()])


def test_diversity_is_that_of_categories_or_else_of_vectors(split):
    catalogue = split.log.catalogue
    vectors = torch.eye(len(catalogue))
    plain = replace(catalogue, categories={}, vectors={"v": vectors})
    for log, wanted in (
        (split.log, catalogue.category("genres").padded),
        (replace(split.log, catalogue=plain), vectors),
    ):
        found = evaluate(Fixed(split.item_counts), split_leave_last(log).test, cutoffs=[5])
        lists = found.systems[0].lists
        assert found["intra_list_diversity@5"] == pytest.approx(
            np.nanmean(intra_list_diversity(lists, wanted))
        )
        assert ("category_entropy@5" in found.systems[0].metrics) == (log is split.log)
    bare = replace(split.log, catalogue=replace(catalogue, categories={}))
    metrics = evaluate(Fixed(split.item_counts), split_leave_last(bare).test).systems[0].metrics
    assert "intra_list_diversity@10" not in metrics


def test_an_unfitted_model_is_refused_and_one_that_does_not_say_is_taken_at_its_word(split):
    with pytest.raises(ArgumentError, match=r"system='SASRec': expected a fitted model(.|\n)*Fix: call fit"):
        evaluate(SASRec(split.log.features, width=8), split.test)
    ease = EASE(split.log.features)
    with pytest.raises(ArgumentError, match="against='EASE'"):
        evaluate(Fixed(split.item_counts), split.test, against=[ease])
    ease.solve(split)
    evaluate(Fixed(split.item_counts), split.test, against=[ease], bootstrap=0)


def test_a_split_is_not_a_part(split):
    for wrong in (split, split.log):
        with pytest.raises(ArgumentError, match=r"queries=(.|\n)*Fix: pass split.test"):
            evaluate(Fixed(split.item_counts), wrong)
    with pytest.raises(ArgumentError, match="against"):
        evaluate(Fixed(split.item_counts), split.test, against=Fixed(split.item_counts))


@pytest.mark.parametrize(
    "wrong",
    [
        {"cutoffs": []},
        {"cutoffs": [0]},
        {"cutoffs": 10},
        {"candidates": "warm"},
        {"negatives": -1},
        {"bootstrap": -1},
        {"level": 1.0},
        {"samples": -1},
        {"batch_size": 0},
    ],
)
def test_wrong_arguments_are_named(split, wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        evaluate(Fixed(split.item_counts), split.test, **wrong)


def test_no_query_at_all_is_refused():
    split = split_leave_last(random_log(users=5, seed=1))
    nobody = split.test().rows(torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ArgumentError, match="at least one query"):
        evaluate(Fixed(torch.rand(len(split.log.catalogue))), nobody)
