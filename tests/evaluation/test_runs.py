"""Lists that other tools wrote: what they are read as, and what they are worth under our settings."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator

from listed import SMALL, lists_of, named
from logs import log_of, random_log
from penchant.data import Ragged, datasets, offsets_of, split_by_time, split_leave_last
from penchant.errors import ArgumentError
from penchant.evaluation import evaluate, published
from penchant.evaluation.runfiles import read_run, write_run
from penchant.evaluation.runs import Run, require_one_query_each
from penchant.nn.topk import topk
from penchant.retrieve import Popularity
from penchant.train import fit

RECTOOLS_RUN = Path(__file__).with_name("rectools_run.csv")


@pytest.fixture(scope="module")
def split():
    return split_leave_last(random_log(users=60, items=40, seed=3))


@pytest.fixture(scope="module")
def popular(split):
    return fit(Popularity(split.log.features), split)


# -- as good as what it was made from ----------------------------------------------------------------------


def test_a_model_and_its_own_lists_read_back_get_the_same_figures(split, popular, tmp_path):
    result = evaluate(popular, split.test, bootstrap=20, candidates="all", cutoffs=(5, 20))
    made = Run.of(result, split.log)
    for name in ("r.parquet", "r.csv", "r.tsv", "r.ndjson", "r.trec"):
        write_run(made, tmp_path / name, split.log)
        run = read_run(tmp_path / name, split.log)
        assert torch.equal(run.lists.values, made.lists.values)
        assert torch.equal(run.lists.offsets, made.lists.offsets)
        assert run.notes == ()
        again = evaluate(run, split.test, against=[popular], bootstrap=20, candidates="all", cutoffs=(5, 20))
        for row in again.systems:
            assert row.metrics == result.systems[0].metrics
        places = run.places(split.test(), again.setting)
        assert places.notes == ()
        assert (places.filled, places.queries) == (20 * len(split.test()), len(split.test()))


def test_a_frame_of_recommendations_is_a_run(split, popular, tmp_path):
    from penchant import Funnel

    funnel = Funnel(retrieve=[popular], data=split.log)
    people = split.log.users.vocabulary.all_ids
    frame = funnel.recommend(users=people, k=7, exclude_seen=False)
    run = read_run(frame, split.log)
    for user in people[:5]:
        assert named(split.log, run, user) == frame.filter(pl.col("user") == user)["item"].to_list()
    write_run(frame, tmp_path / "r.trec")
    again = read_run(tmp_path / "r.trec", split.log, rank="rank")
    assert torch.equal(again.lists.values, run.lists.values)


@given(st.integers(0, 2**31))
@settings(max_examples=25)
def test_scores_order_as_topk_orders_ties_included(seed):
    g = Generator().manual_seed(seed)
    scores = torch.randint(0, 4, (3, 6), generator=g).float()  # of users u2 to u4 and items i2 to i7
    frame = pl.DataFrame(
        [(f"u{u + 2}", f"i{i + 2}", float(scores[u, i])) for u in range(3) for i in range(6)],
        schema=["user", "item", "score"],
        orient="row",
    ).sample(fraction=1.0, shuffle=True, seed=seed % 1000)
    run = read_run(frame, SMALL)
    whole = torch.full((3, 8), -torch.inf)
    whole[:, 2:] = scores
    assert torch.equal(run.lists.values.view(3, 6), topk(whole, 6)[1])
    tied = sum(len(row.unique()) < 6 for row in scores)
    assert run.notes == (f"{tied:,} lists hold equal scores: these are in pseudo-random order",)


def test_items_that_the_log_does_not_know_fare_in_ties_as_others_do():
    frame = pl.DataFrame({"item": [f"i{i}" for i in range(2, 8)] + [f"x{i}" for i in range(200)]})
    run = read_run(frame.with_columns(user=pl.lit("u2"), score=0.5), SMALL)
    places = (lists_of(run, 2) >= 2).nonzero().squeeze(1)
    assert len(places) == 6
    assert ((places >= 6) & (places < 200)).sum() >= 3  # neither all in front nor all behind


def test_ranks_go_before_scores_unless_the_score_is_named():
    frame = pl.DataFrame(
        {"user": ["u2"] * 3, "item": ["i2", "i3", "i4"], "rank": [30, 2, 7], "score": [0.9, 0.1, 0.5]}
    )
    run = read_run(frame, SMALL)
    assert named(SMALL, run, "u2") == ["i3", "i4", "i2"]  # gaps do not matter
    assert "in 1 lists the score rises with the rank" in run.notes[0]
    assert named(SMALL, read_run(frame, SMALL, score="score"), "u2") == ["i2", "i4", "i3"]
    assert read_run(frame, SMALL, rank="rank").scores is None
    agreeing = frame.with_columns(score=-pl.col("rank").cast(pl.Float64))
    assert read_run(agreeing, SMALL).notes == ()


# -- what places are worth ---------------------------------------------------------------------------------


def test_lost_places_stay_lost():
    # u2 had i2 and i3 before the test on i5 (i4 is validation); u3 is asked for i6, u4 for i2.
    log = SMALL
    split = split_leave_last(log)
    frame = pl.DataFrame(
        [
            ("u2", "i3", 1), ("u2", "stranger", 2), ("u2", "i4", 3), ("u2", "i5", 4),
            ("u3", "i6", 1),
            ("nobody", "i2", 1),
        ],
        schema=["user", "item", "rank"], orient="row",
    )  # fmt: skip
    run = read_run(frame, log)
    assert len(run.notes) == 2
    assert "lists of 1 users that the log does not know" in run.notes[0]
    assert not len(lists_of(run, 1))  # nor does who is unknown get somebody's list
    assert "1 items that the log does not know stand at 1 places" in run.notes[1]
    result = evaluate(run, split.test, candidates="all", bootstrap=0, cutoffs=(3, 4, 9))
    assert result.systems[0].lists.tolist() == [[0, 0, 0, 5] + [0] * 5, [6] + [0] * 8, [0] * 9]
    row = result.systems[0].per_query
    assert row["mrr@4"].tolist() == [1 / 4, 1, 0]
    assert row["recall@3"].tolist() == [0, 1, 0]
    places = run.places(split.test(), result.setting)
    assert places.as_dict() == {
        "depth": 9, "queries": 3, "missing": 1, "short": 2, "longest": 4, "filled": 5, "unknown": 1,
        "seen": 2, "ineligible": 0,
    }  # fmt: skip
    assert [note.split(" ")[0] for note in places.notes] == ["1", "2", "1", "2"]
    kept = evaluate(run, split.test, candidates="all", exclude_seen=False, bootstrap=0, cutoffs=(4,))
    assert kept.systems[0].lists[0].tolist() == [3, 0, 4, 5]
    assert run.places(split.test(), kept.setting).seen == 0


def test_items_outside_the_candidates_lose_their_place():
    # i8 and i9 occur in no training row; i8 only in validation.
    log = log_of([[2, 3, 8, 4], [3, 2, 4, 9], [4, 3, 2, 3]], items=10)
    split = split_leave_last(log)
    frame = pl.DataFrame({"user": ["u2"] * 3, "item": ["i9", "i8", "i4"], "rank": [1, 2, 3]})
    run = read_run(frame, log)

    def found(candidates):
        result = evaluate(run, split.test, candidates=candidates, exclude_seen=False, bootstrap=0)
        return result.systems[0].lists[0, :3].tolist(), run.places(split.test(), result.setting).ineligible

    masked = evaluate(run, split.test, bootstrap=0)  # i8 is in the history, too: it counts once
    places = run.places(split.test(), masked.setting)
    assert (places.ineligible, places.seen, places.filled) == (2, 0, 3)
    assert found("seen") == ([0, 0, 4], 2)
    assert found("earlier") == ([0, 8, 4], 1)
    assert found("all") == ([9, 8, 4], 0)


@given(st.integers(0, 2**31))
@settings(max_examples=15)
def test_hides_what_requests_do_not_allow_and_nothing_else(seed):
    g = Generator().manual_seed(seed)
    log = random_log(users=12, items=20, seed=seed % 7)
    split = split_leave_last(log)
    asked = split.test()
    lists = torch.stack([torch.randperm(20, generator=g)[:9] + 2 for _ in range(len(asked))])
    users = asked.user
    lengths = torch.zeros(log.features.users, dtype=torch.int64)
    lengths[users] = 9
    run = Run(log.features, Ragged(lists.flatten(), offsets_of(lengths)))
    wide = torch.rand(len(asked), log.features.items, generator=g) < 0.5
    for eligible in (None, split.seen_items, wide):
        requests = replace(asked.requests(0, len(asked), exclude_seen=True), eligible=eligible)
        answer = run.retrieve(requests, 11)
        for q in range(len(asked)):
            past = split.log.item[log.offsets[users[q]] : asked.row[q]].tolist()
            allowed = eligible if eligible is None or eligible.dim() == 1 else eligible[q]
            expected = [
                item if item not in past and (allowed is None or bool(allowed[item])) else 0
                for item in lists[q].tolist()
            ]
            assert answer.item[q].tolist() == [*expected, 0, 0]
        assert torch.equal(answer.score == -torch.inf, answer.item == 0)


# -- one list a user ---------------------------------------------------------------------------------------


def test_several_queries_of_a_user_are_refused_with_the_remedy(split):
    by_time = split_by_time(split.log, valid=0.2, test=0.3)
    run = Run(split.log.features, Ragged(torch.zeros(0, dtype=torch.int64), offsets_of(torch.zeros(62))))
    assert (by_time.test().user.bincount() > 1).any()
    for size in (1, 3, 256):  # side by side in one batch, or cut in two
        with pytest.raises(ArgumentError, match=r'asked several times[\s\S]*at="cut"[\s\S]*split_leave_last'):
            evaluate(run, by_time.test, bootstrap=0, batch_size=size)
    with pytest.raises(ArgumentError, match="--at cut"):
        require_one_query_each(by_time.test())
    require_one_query_each(by_time.test(at="cut"))
    for size in (1, 256):
        for _ in range(2):  # the same questions once more are no others
            result = evaluate(run, by_time.test(at="cut"), bootstrap=0, batch_size=size)
            assert result["recall@10"] == 0
            evaluate(run, split.test, bootstrap=0, batch_size=size)


def test_a_run_is_refused_where_users_or_items_are_numbered_otherwise(split):
    run = read_run(pl.DataFrame({"user": ["u2"], "item": ["i2"], "rank": [1]}), SMALL)
    with pytest.raises(ArgumentError, match="numbers its items"):
        evaluate(run, split.test, bootstrap=0)
    more_users = log_of([[2, 3, 4, 5], [3, 4, 5, 6], [5, 6, 7, 2], [7, 6, 5, 4]])
    with pytest.raises(ArgumentError, match="numbers its users"):
        evaluate(run, split_leave_last(more_users).test, bootstrap=0)


def test_under_a_published_setting(split):
    frame = pl.DataFrame({"user": split.log.users.vocabulary.all_ids}).with_columns(
        item=pl.lit("i2"), rank=pl.lit(1)
    )
    run = read_run(frame, split.log)
    setting = published.setting("s3rec")
    result = evaluate(run, setting.split(split.log).test, setting=setting, bootstrap=0)
    asked = split.test()
    hits = (asked.targets.values == 2) & ~torch.tensor(
        [2 in split.log.item[split.log.offsets[u] : r] for u, r in zip(asked.user, asked.row, strict=True)]
    )
    assert result["recall@5"] == pytest.approx(hits.double().mean())
    assert hits.sum() > 0


# -- lists of a result -------------------------------------------------------------------------------------


def test_the_lists_of_a_result_are_taken_by_name_and_only_where_there_are_some(split, popular):
    result = evaluate(popular, split.test, against=[popular], bootstrap=0, cutoffs=(5,))
    second = Run.of(result, split.log, "Popularity-2")
    assert second.name == "Popularity-2"
    assert len(second.lists.values) == 5 * len(result.users)
    with pytest.raises(ArgumentError, match="did you mean 'Popularity-"):
        Run.of(result, split.log, "Popularity-3")
    by_time = split_by_time(split.log, valid=0.2, test=0.3)
    several = evaluate(popular, by_time.test, bootstrap=0)
    with pytest.raises(ArgumentError, match="asked several times"):
        Run.of(several, split.log)


def test_no_system_is_lost_where_a_run_bears_a_name_with_a_number(split, popular):
    run = Run.of(evaluate(popular, split.test, bootstrap=0), split.log)
    run.name = "Popularity-1"
    result = evaluate(popular, split.test, against=[popular, run], bootstrap=0)
    assert len({row.name for row in result.systems}) == len(result.systems) == 3


def test_a_lost_place_between_others_stays_lost_in_the_lists_of_a_result(split):
    people = split.log.users.vocabulary.all_ids
    frame = pl.DataFrame({"user": people}).join(
        pl.DataFrame({"item": ["x1", "i2", "x2", "i3", "x3"], "rank": [1, 2, 3, 4, 5]}), how="cross"
    )
    result = evaluate(read_run(frame, split.log), split.test, bootstrap=0, exclude_seen=False, cutoffs=(9,))
    run = Run.of(result, split.log)
    user = int(result.users[0])
    assert lists_of(run, user).tolist() == [1, 2, 1, 3]
    first = run.frame(split.log).filter(pl.col("user") == people[user - 2])
    assert first.rows() == [(people[user - 2], "i2", 2), (people[user - 2], "i3", 4)]


@pytest.mark.parametrize(
    ("lists", "scores"),
    [
        (Ragged(torch.tensor([2]), torch.tensor([0, 1])), None),
        (Ragged(torch.tensor([0]), torch.tensor([0, 0, 0, 1, 1, 1])), None),
        (Ragged(torch.tensor([8]), torch.tensor([0, 0, 0, 1, 1, 1])), None),
        (Ragged(torch.tensor([2]), torch.tensor([0, 0, 0, 1, 1, 1])), torch.zeros(2)),
    ],
)
def test_lists_that_do_not_fit_the_log_are_refused(lists, scores):
    with pytest.raises(ArgumentError):
        Run(SMALL.features, lists, scores)


def test_a_run_has_no_dials_and_no_empty_answer():
    run = read_run(pl.DataFrame({"user": ["u2"], "item": ["i2"], "rank": [1]}), SMALL)
    requests = split_leave_last(SMALL).test().requests(0, 3, exclude_seen=False)
    with pytest.raises(ArgumentError, match="dials"):
        run.retrieve(requests, 3, dials=1)
    with pytest.raises(ArgumentError, match="k=0"):
        run.retrieve(requests, 0)


# -- a run that RecTools wrote -----------------------------------------------------------------------------

# Written by benchmarks/peer_run.py --users 60 on MovieLens-100k (RecTools 0.19.0, EASE, 20 items, items of
# training rows filtered), which printed RecTools' own metrics on these lists:
RECTOOLS = {
    "recall@5": 0.08333333333333333, "recall@10": 0.16666666666666666, "recall@20": 0.31666666666666665,
    "hit_rate@5": 0.08333333333333333, "hit_rate@10": 0.16666666666666666, "hit_rate@20": 0.31666666666666665,
    "mrr@5": 0.058888888888888886, "mrr@10": 0.06953703703703704, "mrr@20": 0.0805944055944056,
    "ndcg@5": 0.06478088012057569, "ndcg@10": 0.09126749565403307, "ndcg@20": 0.13000484469632043,
}  # fmt: skip


@pytest.mark.real
def test_lists_of_rectools_get_the_figures_that_rectools_gives_them(penchant_data):
    log = datasets.movielens_100k(penchant_data("movielens-100k"))
    test = split_leave_last(log).test
    run = read_run(RECTOOLS_RUN, log)
    assert run.notes == ()
    asked = test()
    mine = (run.lists.lengths[asked.user] > 0).nonzero().squeeze(1)
    assert len(mine) == 60
    result = evaluate(run, asked.rows(mine), candidates="all", bootstrap=0)
    for name, theirs in RECTOOLS.items():
        assert result[name] == pytest.approx(theirs, abs=1e-12), name
    whole = evaluate(run, test, candidates="all", bootstrap=0)  # who has no list is a miss
    assert whole["ndcg@10"] == pytest.approx(RECTOOLS["ndcg@10"] * 60 / len(asked), abs=1e-12)
    places = run.places(asked, whole.setting)
    assert (places.missing, places.filled, places.unknown) == (len(asked) - 60, 1200, 0)
    assert 0 < places.seen < 60  # RecTools filtered what it learned from; validation rows it never saw
