from datetime import UTC, datetime

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from penchant.data import Histories, Requests, read_events, split_leave_last
from penchant.errors import ArgumentError, DataError
from penchant.evaluation import evaluate
from penchant.funnel import Funnel
from penchant.protocols import Candidates
from penchant.rank import DIN
from penchant.retrieve import EASE, SASRec
from penchant.train import fit


def of(frame: pl.DataFrame, whose: object) -> list[str]:
    """The list of a user, or of a history by its place."""
    return frame.filter(pl.first() == whose)["item"].to_list()


def history(funnel: Funnel, user: str) -> list[str]:
    log = funnel.data
    u = int(log.users.vocabulary.index([user])[0])
    return log.catalogue.vocabulary.ids(log.item[log.offsets[u] : log.offsets[u + 1]].numpy()).to_list()


def test_lists_are_ranked_unseen_and_as_long_as_asked(funnel):
    frame = funnel.recommend(users=["u2", "u9"], k=5)
    assert frame.columns == ["user", "rank", "item", "score", "stage", "reason"]
    for user in ("u2", "u9"):
        mine = frame.filter(pl.col("user") == user)
        assert mine["rank"].to_list() == [1, 2, 3, 4, 5]
        assert mine["score"].is_sorted(descending=True)
        assert not set(mine["item"]) & set(history(funnel, user))
    assert set(frame["stage"]) == {"rank:DIN"}


def test_the_answer_is_the_ranker_s_order_of_the_merged_candidates(funnel, models, split):
    queries = split.test()
    requests = queries.requests(0, 9, exclude_seen=True)
    stages = funnel.stages(requests, 6)
    assert list(stages) == ["retrieve:SASRec", "retrieve:EASE", "retrieve:Popularity", "merge", "rank:DIN"]
    din = models["din"]
    for b in range(9):
        mine = requests.rows(torch.tensor([b]))
        items = stages["merge"].item[b]
        with torch.no_grad():
            logits = din.score(din.encode_user(mine), items[None])[0].masked_fill(items == 0, -torch.inf)
        best = logits.sort(descending=True, stable=True)
        assert stages["rank:DIN"].item[b].tolist() == items[best.indices[:6]].tolist()
        torch.testing.assert_close(stages["rank:DIN"].score[b], best.values[:6])


def test_blend_zero_keeps_the_merged_order_and_one_is_the_ranker(models, split):
    retrieve = [models["sasrec"], models["ease"]]
    requests = split.test().requests(0, 20, exclude_seen=True)
    flat = Funnel(retrieve=retrieve, rank=models["din"], data=split.log, candidates=12, blend=0.0)
    stages = flat.stages(requests, 12)
    assert torch.equal(stages["rank:DIN"].item, stages["merge"].item)
    with pytest.raises(ArgumentError, match="blend"):
        Funnel(retrieve=retrieve, data=split.log, blend=1.5)


def test_a_user_nobody_knows_and_one_without_history_get_what_is_popular_and_are_told(funnel, models):
    frame = funnel.recommend(users=["u2", "nobody"], k=4)
    assert set(frame.filter(pl.col("user") == "nobody")["reason"]) == {"popular: user not in the log"}
    frame = funnel.recommend(histories=[[], ["i5"]], k=4)
    assert frame.columns[:2] == ["history", "rank"]  # no number that reads as the id of a user
    assert set(frame.filter(pl.col("history") == 0)["reason"]) == {"popular: no history"}
    assert all(reason.startswith("found by") for reason in frame.filter(pl.col("history") == 1)["reason"])
    only = Funnel(retrieve=[models["ease"], models["popular"]], data=funnel.data)
    top = models["popular"].retrieve(
        Requests(
            torch.tensor([1]),
            Histories(torch.tensor([0, 0]), torch.zeros(0, dtype=torch.int32)),
            torch.zeros(1),
        ),
        4,
    )
    ids = funnel.data.catalogue.vocabulary.ids(top.item[0].numpy()).to_list()
    assert of(only.recommend(users=["nobody"], k=4), "nobody") == ids


def test_a_visitor_s_list_is_that_of_a_user_with_the_same_history(funnel):
    # by models that read items only; DIN of this fixture and SASRec do
    known = history(funnel, "u2")
    assert of(funnel.recommend(users=["u2"], k=6), "u2") == of(funnel.recommend(histories=[known], k=6), 0)


def test_events_are_added_to_what_is_known(funnel):
    fresh = pl.DataFrame({"user": ["u2", "new", "u2"], "item": ["i5", "i6", "i7"]})
    frame = funnel.recommend(events=fresh, k=5)
    assert frame["user"].unique(maintain_order=True).to_list() == ["u2", "new"]
    assert not {"i5", "i7"} & set(of(frame, "u2"))
    longer = funnel.recommend(histories=[[*history(funnel, "u2"), "i5", "i7"]], k=5)
    assert of(frame, "u2") == of(longer, 0)
    assert of(frame, "new") == of(funnel.recommend(histories=[["i6"]], k=5), 0)


def test_events_come_in_the_order_of_their_times(funnel):
    events = pl.DataFrame({"user": ["a"] * 3, "item": ["i7", "i5", "i6"], "time": [30, 10, 20]})
    dated = events.with_columns(pl.from_epoch("time"))
    expected = of(funnel.recommend(histories=[["i5", "i6", "i7"]], k=5), 0)
    assert of(funnel.recommend(events=events, k=5), "a") == expected
    assert of(funnel.recommend(events=dated, k=5), "a") == expected


def test_rules_deny_and_allow(funnel):
    free = of(funnel.recommend(users=["u2"], k=5), "u2")
    denied = of(funnel.recommend(users=["u2"], k=5, deny=free[:2]), "u2")
    assert not set(free[:2]) & set(denied)
    allowed = funnel.recommend(users=["u2"], k=5, available=[*free[:2], "never heard of"])
    assert set(of(allowed, "u2")) == set(free[:2])
    assert len(funnel.recommend(users=["u2"], k=5, available=[])) == 0


@given(k=st.integers(1, 200), deny=st.sets(st.integers(2, 31)))
def test_no_rule_is_ever_broken_whatever_is_asked(funnel, k, deny):
    ids = [f"i{i}" for i in deny]
    frame = funnel.recommend(users=["u3", "zz"], k=k, deny=ids)
    for user, seen in (("u3", history(funnel, "u3")), ("zz", [])):
        items = of(frame, user)
        assert len(items) == len(set(items)) <= k
        assert not set(items) & (set(ids) | set(seen))


def test_k_above_the_catalogue_gives_all_there_is(funnel):
    frame = funnel.recommend(users=["u2"], k=10_000, exclude_seen=False)
    assert sorted(of(frame, "u2")) == sorted(funnel.data.catalogue.vocabulary.all_ids.to_list())


def test_who_has_seen_everything_gets_nothing(funnel):
    everything = funnel.data.catalogue.vocabulary.all_ids.to_list()
    assert len(funnel.recommend(histories=[everything], k=5)) == 0


def test_unknown_items_of_a_history_are_left_out_and_counted(funnel):
    frame = funnel.recommend(histories=[["i5", "i6"], ["x", "i5", "y", "i6"], ["i5", "z", "i6"]], k=5)
    assert of(frame, 0) == of(frame, 1) == of(frame, 2)
    told = {(row["history"], row["reason"].partition("; ")[2]) for row in frame.iter_rows(named=True)}
    assert told == {(0, ""), (1, "2 unknown items left out"), (2, "1 unknown item left out")}


def test_a_history_of_unknown_items_alone_gets_what_is_popular(funnel):
    frame = funnel.recommend(histories=[[777, 888], []], k=5)
    assert of(frame, 0) == of(frame, 1)
    assert set(frame.filter(pl.col("history") == 0)["reason"]) == {"popular: no known item in the history"}
    events = pl.DataFrame({"user": ["new", "u2"], "item": ["x", "x"]})
    reasons = funnel.recommend(events=events, k=1)["reason"].to_list()
    assert reasons[0] == "popular: no known item in the history"
    assert reasons[1].endswith("; 1 unknown item left out")


def test_the_popular_list_is_the_popular_list_whatever_the_ranker_thinks(models, split):
    popular = Funnel(retrieve=models["popular"], data=split.log).recommend(users=["nobody"], k=8)
    for retrieve in (["popular"], ["sasrec", "popular"], ["popular", "ease", "sasrec"]):
        for weights in (None, [1] * len(retrieve)):
            for blend in (1.0, 0.3):
                funnel = Funnel(
                    retrieve=[models[name] for name in retrieve], rank=models["din"], data=split.log,
                    candidates=20, weights=weights, blend=blend,
                )  # fmt: skip
                frame = funnel.recommend(users=["nobody", "u2"], k=8)
                assert frame.head(8).equals(popular)
                assert set(frame.tail(8)["stage"]) == {"rank:DIN"}


def test_popularity_only_fills_in_beside_others_unless_it_is_given_a_weight(models, split):
    class Few:
        def retrieve(self, requests: Requests, k: int, dials: object = None) -> Candidates:
            found = models["ease"].retrieve(requests, k)
            late = torch.arange(found.item.shape[1]) >= 3
            return Candidates(found.item.masked_fill(late, 0), found.score.masked_fill(late, -torch.inf))

    requests = split.test().requests(0, 30, exclude_seen=True)
    popular = models["popular"].retrieve(requests, 20).item
    answer = Funnel(retrieve=[Few(), models["popular"]], data=split.log).retrieve(requests, 8)
    assert torch.equal(answer.item[:, :3], Few().retrieve(requests, 3).item)
    assert (answer.origin[:, :3] == 0).all()
    assert (answer.origin[:, 3:] == 1).all()
    for b in range(30):
        rest = [item for item in popular[b].tolist() if item not in answer.item[b, :3]]
        assert answer.item[b, 3:].tolist() == rest[:5]
    alike = Funnel(retrieve=[Few(), models["popular"]], data=split.log, weights=[1, 1])
    assert not torch.equal(alike.retrieve(requests, 8).item[:, :3], answer.item[:, :3])


def test_one_retriever_says_that_it_found_what_it_found(models, split):
    frame = Funnel(retrieve=models["ease"], data=split.log).recommend(users=["u2", "nobody"], k=2)
    assert set(frame.filter(pl.col("user") == "u2")["reason"]) == {"found by EASE"}
    assert set(frame.filter(pl.col("user") == "nobody")["reason"]) <= {"found by EASE; user not in the log"}


def test_nobody_asked_for_is_an_empty_table_of_the_same_columns(funnel):
    full = funnel.recommend(users=["u2"], k=2)
    nothing = pl.DataFrame({"user": [], "item": []})
    for question in ({"users": []}, {"events": nothing}, {"users": [], "events": nothing}):
        assert funnel.recommend(**question).schema == full.schema
    assert funnel.recommend(histories=[]).schema == funnel.recommend(histories=[["i5"]]).schema


def test_explanations_are_of_the_history_and_similar_items_of_the_catalogue(funnel):
    item = of(funnel.recommend(users=["u2"], k=1), "u2")[0]
    said = funnel.explain(item, user="u2")
    assert set(said["item"]) <= set(history(funnel, "u2"))
    assert said["value"].abs().is_sorted(descending=True)
    near = funnel.similar(["i5", "i6"], k=3)
    assert near["similar"].len() == 6
    assert not (near["item"] == near["similar"]).any()


def test_a_moment_may_be_a_time_or_a_date(funnel):
    at = int(funnel.data.time.max()) + 86_400
    by_number = funnel.recommend(users=["u2"], at=at)
    assert by_number.equals(funnel.recommend(users=["u2"], at=datetime.fromtimestamp(at, UTC)))


def test_a_stage_that_has_not_learned_is_refused(models, split):
    features = split.log.features
    with pytest.raises(ArgumentError, match=r"retrieve='SASRec': expected a fitted model[\s\S]*fit\("):
        Funnel(retrieve=[models["popular"], SASRec(features, width=8)], data=split.log)
    with pytest.raises(ArgumentError, match="rank='DIN': expected a fitted model"):
        Funnel(retrieve=models["popular"], rank=DIN(features, width=8), data=split.log)


def test_a_funnel_reads_what_its_most_curious_stage_reads(models, split):
    def window(*retrieve, rank=None):
        return Funnel(retrieve=retrieve, rank=rank, data=split.log).history

    sasrec, popular, din = models["sasrec"], models["popular"], models["din"]
    assert window(popular) == 1  # whether there is a history at all decides who answers
    assert window(sasrec, popular) == 10
    longer = DIN(split.log.features, width=8, history=12)
    longer.fitted = True
    assert window(sasrec, popular, rank=longer) == window(sasrec, rank=longer) == 12
    assert window(sasrec, models["ease"], rank=din) is None  # EASE reads all


def test_a_funnel_of_windows_answers_as_if_it_had_read_all(models, split):
    funnel = Funnel(
        retrieve=[models["sasrec"], models["popular"]], rank=models["din"], data=split.log, candidates=20
    )
    queries = split.test()
    whole, newest = (
        funnel.retrieve(queries.requests(0, 40, exclude_seen=True, history=history), 6)
        for history in (None, funnel.history)
    )
    assert torch.equal(whole.item, newest.item)
    torch.testing.assert_close(whole.score, newest.score)


def test_a_funnel_is_evaluated_as_any_retriever_and_shows_its_stages(funnel, models, split):
    result = evaluate(funnel, split.test, against=[models["ease"]], bootstrap=50)
    stages = result.systems[0].stages
    assert list(stages)[-1] == "rank:DIN"
    found = [next(iter(recall.values())) for recall in list(stages.values())]
    assert found[3] >= found[4]  # no ranker finds what the merge lost
    assert result.ranker.systems[0].reliability
    assert result.systems[1].name == "EASE"


def test_without_a_ranker_merged_candidates_are_measured_whole_and_the_list_apart(models, split):
    pair = Funnel(retrieve=[models["sasrec"], models["ease"]], data=split.log, candidates=12)
    found = evaluate(pair, split.test, cutoffs=[5]).systems[0]
    recalls = {stage: next(iter(recall.items())) for stage, recall in found.stages.items()}
    assert [name for name, _ in recalls.values()] == ["recall@12"] * 3 + ["recall@5"]
    assert list(recalls)[2:] == ["merge", "list"]
    assert recalls["list"][1] == pytest.approx(found.metrics["recall@5"].value)
    assert recalls["merge"][1] >= recalls["list"][1]
    assert found.lists.shape[1] == 5


def test_at_an_earlier_time_nothing_later_speaks(funnel):
    log = funnel.data
    u = int(log.users.vocabulary.index(["u2"])[0])
    begin, end = int(log.offsets[u]), int(log.offsets[u + 1])
    middle = (begin + end) // 2
    past = log.catalogue.vocabulary.ids(log.item[begin:middle].numpy()).to_list()
    then = funnel.recommend(users=["u2"], at=int(log.time[middle]), k=6)
    assert of(then, "u2") == of(funnel.recommend(histories=[past], k=6), 0)
    before_all = funnel.recommend(users=["u2"], at=int(log.time[begin]), k=3)
    assert set(before_all["reason"]) == {"popular: no history"}


class TestWrong:
    def test_events_of_users_nobody_asked_about_are_not_dropped(self, funnel):
        events = pl.DataFrame({"user": ["u2", "u9"], "item": ["i5", "i6"]})
        with pytest.raises(ArgumentError, match="u9"):
            funnel.recommend(users=["u2"], events=events)

    def test_questions_without_a_user(self, funnel):
        with pytest.raises(ArgumentError, match="users=, histories= or events="):
            funnel.recommend()

    def test_two_kinds_of_questions(self, funnel):
        with pytest.raises(ArgumentError, match="histories"):
            funnel.recommend(users=["u2"], histories=[["i5"]])

    def test_a_name_instead_of_a_list(self, funnel):
        with pytest.raises(ArgumentError, match=r"users=\['u2'\]"):
            funnel.recommend(users="u2")
        with pytest.raises(ArgumentError, match=r"histories\[0\]"):
            funnel.recommend(histories=["i5"])

    def test_k_below_one(self, funnel):
        with pytest.raises(ArgumentError, match="k=0"):
            funnel.recommend(users=["u2"], k=0)

    @pytest.mark.parametrize("k", ["3", 1.5, True, None, -1])
    def test_what_is_no_number_of_items(self, funnel, models, k):
        with pytest.raises(ArgumentError, match="an integer of at least 1"):
            funnel.recommend(users=["u2"], k=k)
        with pytest.raises(ArgumentError, match="an integer of at least 1"):
            funnel.similar(["i5"], k)
        with pytest.raises(ArgumentError, match="candidates"):
            Funnel(retrieve=models["ease"], data=funnel.data, candidates=k)

    @pytest.mark.parametrize("weights", [[-1, 1], [0, 0], [1], 3])
    def test_weights_that_weigh_nothing(self, models, split, weights):
        with pytest.raises(ArgumentError, match="weights"):
            Funnel(retrieve=[models["ease"], models["popular"]], data=split.log, weights=weights)

    @pytest.mark.parametrize(
        ("ask", "message"),
        [
            (lambda f: f.recommend(users=5), r"pass users=\[5\]"),
            (lambda f: f.recommend(users=[None]), r"users\[0\]=None"),
            (lambda f: f.recommend(users=[["u2"]]), "integers or text"),
            (lambda f: f.recommend(histories=5), "a list of histories"),
            (lambda f: f.recommend(histories="i5"), "a list of histories"),
            (lambda f: f.recommend(histories=[5]), r"histories\[0\]"),
            (lambda f: f.recommend(users=["u2"], deny="100"), r"pass deny=\['100'\]"),
            (lambda f: f.recommend(users=["u2"], available="100"), r"pass available=\['100'\]"),
            (lambda f: f.similar("SKU"), r"pass items=\['SKU'\]"),
            (lambda f: f.similar([]), "at least one item id"),
            (lambda f: f.similar(5), r"pass items=\[5\]"),
            (lambda f: f.explain(["i5"], user="u2"), "pass item='i5'"),
            (lambda f: f.explain("i5", user=["u2"]), "pass user='u2'"),
            (lambda f: f.explain("i5", history="i6"), r"pass history=\['i6'\]"),
        ],
    )
    def test_one_thing_where_a_list_belongs_and_the_other_way_round(self, funnel, ask, message):
        with pytest.raises(ArgumentError, match=message):
            ask(funnel)

    def test_an_unknown_item(self, funnel):
        with pytest.raises(ArgumentError, match="an item id of the log"):
            funnel.explain("nothing", user="u2")
        with pytest.raises(ArgumentError, match=r"an item id of the log \(did you mean 'i5'\?\)"):
            funnel.similar(["i555"])

    def test_events_without_columns_or_with_nulls(self, funnel):
        with pytest.raises(DataError, match="column 'item' is missing"):
            funnel.recommend(events=pl.DataFrame({"user": ["u2"], "items": ["i5"]}))
        with pytest.raises(DataError, match="column 'user' is null in 1 row"):
            funnel.recommend(events=pl.DataFrame({"user": ["u2", None], "item": ["i5", "i6"]}))

    def test_dials_that_nobody_takes(self, funnel):
        with pytest.raises(ArgumentError, match="dials that one of the retrievers takes"):
            funnel.recommend(users=["u2"], dials=object())
        with pytest.raises(ArgumentError, match="did you mean 'SASRec'"):
            funnel.recommend(users=["u2"], dials={"SASRek": object()})

    def test_stages_that_are_none(self, split, models):
        with pytest.raises(ArgumentError, match="retrieve"):
            Funnel(retrieve=[models["din"]], data=split.log)
        with pytest.raises(ArgumentError, match="rank"):
            Funnel(retrieve=[models["ease"]], rank=models["popular"], data=split.log)
        with pytest.raises(ArgumentError, match="at least one retriever"):
            Funnel(retrieve=[], data=split.log)


def test_dials_reach_the_retriever_they_are_for(split, models):
    class Dialled:
        class Dials:
            pass

        def __init__(self) -> None:
            self.got: list[object] = []

        def retrieve(self, requests: Requests, k: int, dials: object = None) -> Candidates:
            self.got.append(dials)
            return models["popular"].retrieve(requests, k)

    model, dials = Dialled(), Dialled.Dials()
    funnel = Funnel(retrieve=[model, models["popular"]], data=split.log)
    funnel.recommend(users=["u2"], dials=dials)
    funnel.recommend(users=["u2"], dials={"Dialled": dials})
    funnel.recommend(users=["u2"])
    assert model.got == [dials, dials, None]


def test_a_log_that_numbers_its_items_in_another_way_is_refused():
    frame = pl.DataFrame({"u": [1, 1, 2, 2, 2], "i": [7, 8, 9, 8, 9], "t": [1, 2, 3, 4, 5]})
    one, other = (read_events(rows, user="u", item="i", time="t") for rows in (frame, frame.reverse()))
    here, there = split_leave_last(one), split_leave_last(other)
    assert len(one.catalogue) == len(other.catalogue)  # sizes alone tell nothing
    ease = fit(EASE(one.features), here)
    with pytest.raises(ArgumentError, match=r"data=.*numbers its items"):
        Funnel(retrieve=ease, data=other)
    with pytest.raises(ArgumentError, match=r"queries=.*numbers its items"):
        evaluate(ease, there.test)
    with pytest.raises(ArgumentError, match=r"queries=.*numbers its items"):
        evaluate(Funnel(retrieve=ease, data=one), there.test)
    with pytest.raises(ArgumentError, match=r"split=.*numbers its items"):
        fit(SASRec(one.features, width=4), there)
