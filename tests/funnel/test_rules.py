"""What holds for a list whatever the models think: said in ids, obeyed by every list, told in reasons."""

from collections import Counter
from copy import deepcopy
from dataclasses import replace

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from logs import log_of, random_log
from penchant.data import split_leave_last
from penchant.errors import ArgumentError
from penchant.evaluation import evaluate
from penchant.funnel import Funnel, Rules
from penchant.funnel.answers import strongest
from penchant.funnel.rules import terms_of
from penchant.protocols import Contribution
from penchant.retrieve import Popularity
from penchant.train import fit

USERS = ["u2", "u9", "nobody"]


def of(frame, whose):
    return frame.filter(pl.first() == whose)["item"].to_list()


def genre(item):
    """Of an item of `random_log`."""
    return f"g{2 + (int(item[1:]) - 2) % 4}"


def made(models, split, **given):
    retrieve = [models["sasrec"], models["ease"], models["popular"]]
    return Funnel(retrieve=retrieve, rank=models["din"], data=split.log, candidates=20, **given)


# -- quotas ------------------------------------------------------------------------------------------------


def test_a_quota_that_nothing_reaches_changes_no_bit(funnel):
    plain = funnel.recommend(users=USERS, k=9)
    assert funnel.recommend(users=USERS, k=9, quota={"genres": 99}).equals(plain)
    assert funnel.recommend(users=USERS, k=9, quota={"genres": {}}, pinned=[], deny=[]).equals(plain)


@given(
    k=st.integers(1, 30),
    limit=st.integers(0, 4),
    single=st.dictionaries(st.sampled_from(["g2", "g3", "g4", "g5"]), st.integers(0, 3)),
    deny=st.sets(st.integers(2, 31), max_size=6),
    pinned=st.lists(st.integers(2, 31), max_size=2, unique=True),
)
def test_no_list_ever_holds_more_than_its_quota(funnel, k, limit, single, deny, pinned):
    most = {name: single.get(name, limit) for name in ("g2", "g3", "g4", "g5")}
    ids = [f"i{i}" for i in pinned]
    room = Counter(map(genre, ids))
    if len(ids) > k or any(room[name] > most[name] for name in room) or deny & set(pinned):
        ids = []
    frame = funnel.recommend(
        users=USERS, k=k, quota={"genres": {None: limit, **single}}, deny=[f"i{i}" for i in deny], pinned=ids,
        exclude_seen=False,
    )  # fmt: skip
    for user in USERS:
        items = of(frame, user)
        counts = Counter(map(genre, items))
        assert all(counts[name] <= most[name] for name in most)
        assert len(set(items)) == len(items)
        assert not set(items) & {f"i{i}" for i in deny}
        assert items[: len(ids)] == ids
        # as long as it can be: here everything may be answered that rules allow
        left = Counter(genre(f"i{i}") for i in range(2, 32) if i not in deny)
        assert len(items) == min(k, sum(min(left[name], most[name]) for name in most))


def test_candidates_are_taken_in_order_and_those_behind_fill_in(funnel):
    ranked = funnel.recommend(users=["u2"], k=30, exclude_seen=False)["item"].to_list()
    counts, expected = Counter(), []
    for item in ranked:
        if counts[genre(item)] < 2:
            counts[genre(item)] += 1
            expected.append(item)
    full = funnel.recommend(users=["u2"], k=30, quota={"genres": 2}, exclude_seen=False)
    assert full["item"].to_list() == expected
    assert len(expected) == 8


def test_the_stages_are_asked_again_where_the_candidates_are_of_full_categories(models, split):
    narrow = Funnel(retrieve=models["ease"], data=split.log, candidates=3)
    best = narrow.recommend(users=["u2"], k=30, exclude_seen=False)["item"].to_list()
    first = [item for item in best if genre(item) == genre(best[0])][:1]
    rest = [item for item in best if genre(item) != genre(best[0])]
    other = {f"g{n}": 30 for n in range(2, 6) if f"g{n}" != genre(best[0])}
    frame = narrow.recommend(users=["u2"], k=5, quota={"genres": {None: 1, **other}}, exclude_seen=False)
    assert frame["item"].to_list() == sorted([*first, *rest[:4]], key=best.index)


def test_an_item_counts_for_each_of_its_categories_once():
    genres = [[2, 3], [2, 2], [3], [], [2, 3]]
    log = log_of([[2, 3, 4, 5, 6], [2, 3, 4], [2, 3], [2]], genres=genres)
    popular = fit(Popularity(log.features), split_leave_last(log_of([[2, 3, 4, 5, 6, 2]], genres=genres)))
    popular.weight.copy_(torch.tensor([0.0, 0, 5, 4, 3, 2, 1]))
    funnel = Funnel(retrieve=popular, data=log)

    def asked(quota):
        return funnel.recommend(histories=[["i6"]], k=5, quota=quota, exclude_seen=False)["item"].to_list()

    assert asked({"genres": 1}) == ["i2", "i5"]  # i5 has no category
    assert asked({"genres": 2}) == ["i2", "i3", "i4", "i5"]
    assert asked({"genres": {"g3": 1}}) == ["i2", "i3", "i5"]
    assert asked({"genres": {"g2": 3}}) == ["i2", "i3", "i4", "i5", "i6"]
    assert asked({"genres": {"g3": 0}}) == ["i3", "i5"]
    assert asked({"genres": {"g2": 3, None: 0}}) == ["i3", "i5"]


# -- pins --------------------------------------------------------------------------------------------------


def test_pinned_items_stand_at_their_places_seen_or_not(funnel):
    plain = of(funnel.recommend(users=["u2"], k=6), "u2")
    log = funnel.data
    seen = log.catalogue.vocabulary.ids([int(log.item[log.offsets[2]])])[0]
    frame = funnel.recommend(users=["u2"], k=6, pinned=[seen, plain[4]])
    assert frame["item"].to_list() == [seen, plain[4], *plain[:4]]
    assert frame["score"].is_null().to_list() == [True, True] + [False] * 4
    assert frame["stage"].to_list() == ["rules"] * 2 + ["rank:DIN"] * 4
    assert frame["reason"].to_list()[:2] == ["pinned", "pinned"]
    assert frame["reason"][2].endswith("; moved down 2 by pinned items")
    by_place = funnel.recommend(users=["u2"], k=6, pinned={plain[5]: 2, seen: 4})
    assert by_place["item"].to_list() == [plain[0], plain[5], plain[1], seen, plain[2], plain[3]]
    assert "moved" not in by_place["reason"][0]


def test_a_pinned_item_stands_in_the_list_of_who_has_no_history_too(funnel):
    frame = funnel.recommend(users=["nobody"], k=3, pinned=["i7"])
    assert frame["item"][0] == "i7"
    assert frame["reason"].to_list()[0] == "pinned; user not in the log"
    assert frame["reason"][1].startswith("popular: user not in the log")


def test_a_pinned_item_moves_up_where_the_list_is_short(funnel):
    frame = funnel.recommend(users=["u2"], k=9, available=["i3", "i4"], pinned={"i4": 8}, exclude_seen=False)
    assert frame["item"].to_list() == ["i3", "i4"]
    assert frame["rank"].to_list() == [1, 2]


def test_a_pin_beyond_the_list_takes_nothing_from_it(models, split):
    narrow = Funnel(retrieve=models["ease"], data=split.log, candidates=3)
    best = narrow.recommend(users=["u2"], k=4)["item"].to_list()
    later = Funnel(retrieve=models["ease"], data=split.log, candidates=3, rules=Rules(pinned={best[0]: 15}))
    assert later.recommend(users=["u2"], k=3)["item"].to_list() == best[1:]


# -- reasons -----------------------------------------------------------------------------------------------


def test_reasons_say_what_a_quota_did(funnel):
    plain = of(funnel.recommend(users=["u2"], k=20), "u2")
    frame = funnel.recommend(users=["u2"], k=8, quota={"genres": 1})
    moved = 0
    for row in frame.iter_rows(named=True):
        up = plain.index(row["item"]) + 1 - row["rank"]
        moved += up > 0
        assert ("moved" in row["reason"]) == (up > 0)
        assert row["reason"].startswith("found by ")
        if up:
            assert row["reason"].endswith(f"; moved up {up} by quota genres<=1")
    assert moved
    by_value = funnel.recommend(users=["u2"], k=8, quota={"genres": {genre(plain[0]): 1}})
    assert f"by quota genres:{genre(plain[0])}<=1" in by_value["reason"].to_list()[-1]


def test_what_stood_behind_all_candidates_is_told_to(models, split):
    narrow = Funnel(retrieve=models["ease"], data=split.log, candidates=2)
    wide = Funnel(retrieve=models["ease"], data=split.log, candidates=30)
    asked = {"users": ["u2"], "k": 4, "quota": {"genres": 1}, "exclude_seen": False}
    far, near = narrow.recommend(**asked), wide.recommend(**asked)
    assert far["item"].equals(near["item"])
    assert "moved up by quota genres<=1" in far["reason"][-1]
    assert "moved up by quota" not in "".join(near["reason"])  # there it is known by how much


def test_because_names_the_event_that_explain_puts_first(funnel, models, split):
    for asked in (funnel, Funnel(retrieve=models["ease"], data=split.log)):
        plain = asked.recommend(users=USERS, k=4)
        frame = asked.recommend(users=USERS, k=4, because=True)
        assert frame.drop("reason").equals(plain.drop("reason"))
        told = 0
        for row, before in zip(frame.iter_rows(named=True), plain["reason"]):
            said = asked.explain(row["item"], user=row["user"]).filter(pl.col("value") > 0)
            tail = f"; because of {said['item'][0]}" if len(said) else ""
            assert row["reason"] == before + tail
            told += bool(tail)
        assert told >= 4


def test_the_strongest_event_speaks_for_an_item_and_is_the_first_of_equals():
    def said(items, values):
        return Contribution(torch.tensor(items, dtype=torch.int32), torch.tensor(values), "")

    told = [
        said([5, 6, 7], [0.1, 0.9, -2.0]),
        said([], []),
        said([5, 6], [-1.0, -0.5]),
        said([4, 3, 2], [0.5, 0.7, 0.7]),
        said([1, 0, 9], [3.0, 2.0, 1.0]),  # unknown, padding
    ]
    assert strongest(told).tolist() == [6, 0, 0, 3, 9]
    assert strongest(told[1:2]).tolist() == [0]


def test_because_needs_a_stage_that_explains(models, split):
    with pytest.raises(ArgumentError, match="a stage with an `explain` method"):
        Funnel(retrieve=models["popular"], data=split.log).recommend(users=["u2"], because=True)


def test_because_is_silent_where_nothing_is_known_or_nothing_listed(funnel):
    frame = funnel.recommend(histories=[[], ["i5"]], k=2, pinned=["i9"], because=True)
    reasons = frame["reason"].to_list()
    assert reasons[:2] == ["pinned; no history", "popular: no history; moved down 1 by pinned items"]
    assert reasons[2] == "pinned"
    assert len(funnel.recommend(users=["u2"], available=[], because=True)) == 0
    assert len(funnel.recommend(users=[], because=True)) == 0


# -- standing rules ----------------------------------------------------------------------------------------


def test_standing_rules_are_those_of_every_request(models, split, funnel):
    rules = Rules(deny=["i4"], pinned={"i9": 2}, quota={"genres": {None: 3, "g2": 1}})
    standing = made(models, split, rules=rules)
    asked = {"deny": ["i4"], "pinned": {"i9": 2}, "quota": {"genres": {None: 3, "g2": 1}}}
    assert standing.recommend(users=USERS, k=8).equals(funnel.recommend(users=USERS, k=8, **asked))
    assert "rules 1 denied; 1 pinned; quota genres<=3, genres:g2<=1" in repr(standing)


def test_a_request_adds_to_standing_rules_and_loosens_none(models, split):
    rules = Rules(
        deny=["i4"], available=[f"i{i}" for i in range(2, 28)], pinned=["i9", "i10"], quota={"genres": 3}
    )
    standing = made(models, split, rules=rules)
    frame = standing.recommend(
        users=["u2"], k=20, deny=["i5"], available=["i4", "i31", *(f"i{i}" for i in range(5, 20))],
        quota={"genres": {None: 9, "g2": 1}}, pinned={"i11": 1}, exclude_seen=False,
    )  # fmt: skip
    items = frame["item"].to_list()
    assert items[:2] == ["i11", "i10"]  # i9 gave up its place
    assert not {"i4", "i5", "i31"} & set(items)
    counts = Counter(map(genre, items))
    assert counts["g2"] == 1
    assert max(counts.values()) == 3


def test_a_standing_pin_gives_way_to_what_a_request_refuses(models, split):
    standing = made(models, split, rules=Rules(pinned=["i9", "i13"]))  # both g5
    assert of(standing.recommend(users=["u2"], k=3), "u2")[:2] == ["i9", "i13"]
    assert of(standing.recommend(users=["u2"], k=3, deny=["i9"]), "u2")[1] == "i13"
    assert "i9" not in of(standing.recommend(users=["u2"], k=3, deny=["i9"]), "u2")
    assert of(standing.recommend(users=["u2"], k=9, quota={"genres": 1}), "u2")[0] == "i9"
    assert "i13" not in of(standing.recommend(users=["u2"], k=9, quota={"genres": 1}), "u2")
    assert of(standing.recommend(users=["u2"], k=1), "u2") == ["i9"]  # place 2 is not asked for
    moved = of(standing.recommend(users=["u2"], k=3, pinned={"i9": 3}), "u2")
    assert moved[1:] == ["i13", "i9"]
    assert moved[0] != "i9"


def test_what_is_evaluated_is_what_is_served(models, split):
    rules = Rules(deny=["i5"], pinned={"i9": 2}, quota={"genres": 2})
    for rank in (models["din"], None):
        plain, ruled = (
            Funnel(
                retrieve=[models["ease"], models["popular"]],
                rank=rank,
                data=split.log,
                candidates=20,
                rules=r,
            )
            for r in (None, rules)
        )
        result = evaluate(ruled, split.test, against=[plain], cutoffs=[5, 8], bootstrap=20)
        lists = result.systems[0].lists
        ids = split.log.catalogue.vocabulary.ids
        assert set(ids(lists[:, 1].numpy())) == {"i9"}
        assert "i5" not in set(ids(lists[lists > 0].numpy()))
        assert "i5" in set(ids(result.systems[1].lists[result.systems[1].lists > 0].numpy()))
        for row in lists:
            assert max(Counter(map(genre, ids(row[row > 0].numpy()))).values()) <= 2
        assert "rules" in result.systems[0].stages
        queries = split.test()
        requests = queries.requests(0, 5, exclude_seen=result.setting.exclude_seen)
        assert torch.equal(ruled.retrieve(requests, 8).item, lists[:5])


def test_a_retriever_s_own_rules_of_each_request_are_kept(models, split):
    ruled = made(models, split, rules=Rules(deny=["i3"], pinned=["i9"], quota={"genres": 2}))
    requests = split.test().requests(0, 4, exclude_seen=True)
    eligible = torch.ones(4, len(split.log.catalogue), dtype=torch.bool)
    eligible[1, 9] = False  # i9 is item 9
    eligible[2, 12:] = False
    answer = ruled.retrieve(
        requests.__class__(
            requests.users, requests.histories, requests.at, requests.context, eligible, requests.exclude
        ),
        6,
    ).item
    assert answer[:, 0].eq(9).tolist() == [True, False, True, True]
    assert 9 not in answer[1]
    assert answer[2].max() < 12
    assert not (answer == 3).any()


# -- what cannot be ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"pinned": ["i5"], "deny": ["i5"]}, r"pinned='i5'.*it is denied or not available"),
        ({"pinned": ["i5"], "available": ["i6"]}, r"pinned='i5'.*it is denied or not available"),
        (
            {"pinned": ["i5"], "quota": {"genres": {"g5": 0}}},
            r"pinned='i5'.*more than the quota genres:g5<=0",
        ),
        ({"pinned": ["i5", "i9"], "quota": {"genres": 1}}, r"pinned='i9'.*more than the quota genres<=1"),
        ({"pinned": ["i5", "i5"]}, "every item once"),
        ({"pinned": {"i5": 1, "i6": 1}}, r"one item at place 1"),
        ({"pinned": {"i5": 0}}, r"pinned\['i5'\]=0: expected an integer of at least 1"),
        ({"pinned": "i5"}, r"pass pinned=\['i5'\]"),
        ({"pinned": ["i555"]}, r"pinned='i555'.*did you mean 'i5'"),
        ({"pinned": {"i5": 31}}, "a place up to "),
        ({"quota": {"genre": 1}}, r"quota='genre'.*did you mean 'genres'"),
        (
            {"quota": {"genres": {"g22": 1}}},
            r"quota\['genres'\]='g22'.*a value of genres \(did you mean 'g2'",
        ),
        ({"quota": {"genres": -1}}, r"quota\['genres'\]=-1: expected a number of items, 0 or more"),
        ({"quota": {"genres": {"g2": 1.5}}}, r"quota\['genres'\]\['g2'\]=1.5"),
        ({"quota": {"genres": True}}, "a number of items"),
        ({"quota": ["genres"]}, "a mapping from category columns"),
        ({"quota": {3: 1}}, "the name of a category column"),
    ],
    ids=str,
)
def test_rules_that_cannot_hold_say_why_to_a_funnel_and_to_a_request(funnel, models, split, rules, message):
    with pytest.raises(ArgumentError, match=message):
        funnel.recommend(users=["u2"], k=30, **rules)
    with pytest.raises(ArgumentError, match=message):
        Funnel(retrieve=models["ease"], data=split.log, rules=Rules(**rules))


def test_a_request_that_pins_what_may_not_stand_there_is_told(models, split):
    standing = made(models, split, rules=Rules(deny=["i5"], quota={"genres": {"g3": 0}}))
    with pytest.raises(ArgumentError, match=r"pinned='i5'.*denied"):
        standing.recommend(users=["u2"], pinned=["i5"])
    with pytest.raises(ArgumentError, match=r"pinned='i3'.*quota"):
        standing.recommend(users=["u2"], pinned=["i3"])
    with pytest.raises(ArgumentError, match=r"pinned\['i6'\]=4: expected a place up to k=3"):
        standing.recommend(users=["u2"], k=3, pinned={"i7": 1, "i6": 4})


def test_a_log_without_categories_has_no_quotas():
    log = log_of([[2, 3, 4], [3, 4]])
    funnel = Funnel(retrieve=fit(Popularity(log.features), split_leave_last(log)), data=log)
    with pytest.raises(ArgumentError, match=r"quota='genres'.*known: none"):
        funnel.recommend(users=["u2"], quota={"genres": 1})


def test_rules_are_rules(models, split):
    with pytest.raises(ArgumentError, match=r"pass rules=Rules\("):
        Funnel(retrieve=models["ease"], data=split.log, rules={"deny": ["i5"]})


def test_rules_are_the_same_after_json():
    rules = Rules(
        deny=["a", "b"], available=("c", "d"), pinned=["d"], quota={"genres": 3, "x": {"y": 0, None: 2}}
    )
    assert Rules.from_json(rules.as_json()) == rules
    assert Rules.from_json(Rules().as_json()) == Rules()
    assert not Rules()
    assert Rules(available=[])
    assert str(Rules(available=[])) == "0 available"
    with pytest.raises(ArgumentError, match=r"what Rules\.as_json wrote"):
        Rules.from_json({"deny": []})


def test_rules_stay_what_they_were_made():
    given = {"genres": {"g2": 1}}
    pinned = {"i9": 2}
    rules = Rules(deny=["i3"], available=["i9"], pinned=pinned, quota=given)
    given["genres"]["g2"] = 7
    given["more"] = pinned["i8"] = 1
    assert dict(rules.places) == {"i9": 2}
    assert rules.limits == [("genres", "g2", 1)]
    for held in (rules.places, rules.pinned, rules.quota, rules.quota["genres"]):
        with pytest.raises(AttributeError):
            held.clear()
        with pytest.raises(TypeError):
            held["i8"] = 1
    rules.limits.clear()
    assert rules.limits


def test_equal_rules_are_one_key_and_can_be_copied():
    parts = {"deny": ["a"], "pinned": {"d": 2, "e": 1}, "quota": {"x": {"y": 0, None: 2}, "z": 3}}
    rules = Rules(**parts)
    again = Rules(["a"], None, {"e": 1, "d": 2}, {"z": 3, "x": {None: 2, "y": 0}})
    assert {rules: "kept"}[again] == "kept"
    assert len({rules, again, Rules(), replace(rules, deny=["b"])}) == 3
    assert deepcopy(rules) == replace(rules) == rules


def test_ids_that_are_numbers():
    assert Rules(pinned=torch.tensor([7, 8])).places == {7: 1, 8: 2}
    log = random_log(users=6, items=8)
    assert terms_of(log, Rules(deny=["never heard of"])).eligible.sum() == 8


def test_a_funnel_in_a_funnel_keeps_its_rules(models, split):
    inner = Funnel(retrieve=models["ease"], data=split.log, rules=Rules(pinned=["i9"], quota={"genres": 1}))
    outer = Funnel(retrieve=[inner], data=split.log)
    assert outer.recommend(users=["u2"], k=4)["item"].equals(inner.recommend(users=["u2"], k=4)["item"])
