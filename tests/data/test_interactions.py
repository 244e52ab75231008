"""What models may know of a log, and whether a log is theirs."""

import copy

import polars as pl
import pytest
import torch

import penchant
from logs import random_log
from penchant.data import (
    Batch,
    Features,
    Sequences,
    Source,
    Vocabulary,
    open_log,
    split_by_item,
    split_by_time,
    split_by_user,
    split_leave_last,
)
from penchant.data.events import items, read_events
from penchant.data.interactions import check_numbering
from penchant.errors import ArgumentError

EVENTS = pl.DataFrame({"u": ["a", "b", "a", "c"], "i": [7, 8, 9, 7]})


class Model:
    """Keeps what it was made with."""

    def __init__(self, features, **more):
        self.features = features
        self.__dict__.update(more)


def log(frame=EVENTS, **more):
    return read_events(frame, user="u", item="i", **more)


def test_a_log_that_numbers_its_items_in_another_way_is_refused():
    model, other = Model(log().features), log(EVENTS[[2, 1, 0, 3]])
    assert len(other.catalogue) == len(log().catalogue)
    with pytest.raises(ArgumentError, match=r"data=Interactions.* \(item 2 was 7 and is 9\)") as caught:
        check_numbering(model, other, argument="data")
    assert "features of this one" in caught.value.fix
    more = pl.concat([EVENTS, pl.DataFrame({"u": ["a"], "i": [1]})])
    with pytest.raises(ArgumentError, match="there were 3 items and are 4"):
        check_numbering(model, log(more), argument="data")


def test_the_same_items_from_elsewhere_are_the_same(tmp_path):
    one, two = log(), log(EVENTS.with_columns(pl.col("i").cast(pl.Int16)))
    one.save(tmp_path / "log")
    stored = open_log(tmp_path / "log")
    for a in (one, two, stored):
        for b in (one, two, stored):
            check_numbering(Model(a.features), b, argument="data")
    text = log(EVENTS.with_columns(pl.col("i").cast(pl.String)))
    with pytest.raises(ArgumentError, match="item 2 was 7 and is '7'"):
        check_numbering(Model(one.features), text, argument="data")


def test_users_count_where_a_model_reads_them_by_number():
    other = log(EVENTS.with_columns(u=pl.Series(["b", "a", "b", "c"])))
    check_numbering(Model(log().features), other, argument="data")
    for settings in ({"user_id": True}, {"people": ("age",)}):
        with pytest.raises(ArgumentError, match=r"numbers its users .*user 2 was 'a' and is 'b'"):
            check_numbering(Model(log().features, **settings), other, argument="data")


def test_of_bare_sizes_the_sizes_are_compared_and_of_nothing_nothing():
    check_numbering(Model(Features(items=5)), log(), argument="data")
    with pytest.raises(ArgumentError, match="there were 4 items and are 3"):
        check_numbering(Model(Features(items=6)), log(), argument="data")
    check_numbering(Model(None), log(), argument="data")
    check_numbering(object(), log(), argument="data")


def test_a_digest_tells_ids_and_their_order_apart():
    series = [
        pl.Series([1, 2, 3]), pl.Series([1, 3, 2]), pl.Series(["1", "2", "3"]), pl.Series(["1", "23", ""]),
        pl.Series(["12", "3", ""]), pl.Series([], dtype=pl.String), pl.Series([], dtype=pl.Int64),
        pl.Series(["é", "a" * 50]),
    ]  # fmt: skip
    found = [Vocabulary(ids).digest for ids in series]
    assert len(set(found)) == len(series)
    assert found == [Vocabulary(pl.Series(ids.to_list(), dtype=ids.dtype)).digest for ids in series]
    long = pl.Series(["x", "é", "yy", "z" * 30])
    assert Vocabulary(long[1:]).digest == Vocabulary(pl.Series(long[1:].to_list())).digest
    assert Vocabulary(pl.concat([long[:2], long[2:]], rechunk=False)).digest == Vocabulary(long).digest


def test_a_store_keeps_the_digest_so_that_opening_reads_no_ids(tmp_path):
    log().save(tmp_path / "log")
    stored = open_log(tmp_path / "log").catalogue.vocabulary
    assert stored.digest == log().catalogue.vocabulary.digest
    assert "all_ids" not in vars(stored)


def test_a_copied_model_reads_the_same_tables():
    features = log().features
    assert copy.deepcopy(features) is features


def test_what_is_printed_fits_a_line_or_two():
    many = pl.DataFrame({"u": range(3_000), "i": range(3_000), "g": ["x"] * 3_000})
    whole = log(many, items=items(categories=["g"]))
    split = split_leave_last(log(pl.concat([many] * 4)))
    queries = split.test()
    batch = next(iter(Source(Sequences(split), batch_size=512, seed=0)))
    assert isinstance(batch, Batch)
    requests = queries.requests(0, 9, exclude_seen=True)
    shown = [
        whole.features, whole.catalogue, whole.catalogue.categories["g"], whole.users.vocabulary, queries,
        requests, requests.histories, requests.histories.padded(4), requests.exclude, batch,
    ]  # fmt: skip
    for thing in shown:
        text = repr(thing)
        assert len(text) < 500, text
        assert "tensor" not in text
        assert " at 0x" not in text
        assert text.startswith(f"{type(thing).__name__}(")
    assert repr(whole.users.vocabulary) == "Vocabulary(3,000 ids, Int64)"
    assert repr(whole.catalogue) == "Attributes(3,002 rows; categories: g)"
    assert "user=int64[512]" in repr(batch)


MODELS = [
    made
    for package in (penchant.retrieve, penchant.rank)
    for name in package.__all__
    if isinstance(made := getattr(package, name), type) and issubclass(made, torch.nn.Module)
]


@pytest.mark.parametrize("model", MODELS)
def test_a_model_asks_for_what_a_log_holds_and_not_for_the_log(model):
    made = random_log(users=5, items=6, seed=0)
    for given in (made, split_leave_last(made)):
        with pytest.raises(ArgumentError, match=r"(?s)features=.*Fix: pass log\.features"):
            model(given)


def test_what_splits_or_serves_a_log_asks_for_a_log():
    split = split_leave_last(random_log(users=5, items=6, seed=0))
    popular = penchant.fit(penchant.retrieve.Popularity(split.log.features), split)
    with pytest.raises(ArgumentError, match=r"(?s)data=Split.*split\.log"):
        penchant.Funnel(retrieve=popular, data=split)
    for part in (split_by_item, split_by_time, split_by_user, split_leave_last):
        with pytest.raises(ArgumentError, match=r"(?s)log=Features.*read_events"):
            part(split.log.features)


def test_what_is_near_but_not_it_is_told_how_to_be_it():
    split = split_leave_last(random_log(users=5, items=6, seed=0))
    din = penchant.rank.DIN(split.log.features, width=4)
    popular = penchant.fit(penchant.retrieve.Popularity(split.log.features), split)
    with pytest.raises(ArgumentError, match=r"(?s)retrieve='DIN'.*Fix: pass it as rank="):
        penchant.Funnel(retrieve=din, data=split.log)
    with pytest.raises(ArgumentError, match=r"(?s)rank='Popularity'.*Fix: pass it as retrieve="):
        penchant.Funnel(retrieve=popular, rank=popular, data=split.log)
    with pytest.raises(ArgumentError, match=r"(?s)system=.*against=\[\.\.\.\]"):
        penchant.evaluate([popular, popular], split.test)
    with pytest.raises(ArgumentError, match=r"(?s)items='movies.csv'.*penchant.items\('movies.csv', "):
        read_events(EVENTS, user="u", item="i", items="movies.csv")
    with pytest.raises(KeyError, match="did you mean 'ndcg@10'"):
        penchant.evaluate(popular, split.test, candidates="all", bootstrap=0)["ndgc@10"]
    with pytest.raises(ArgumentError, match="expected a Result"):
        penchant.report.html(split.log, "page.html")


def test_there_are_models_to_be_asked():
    assert {made.__name__ for made in MODELS} >= {"Popularity", "EASE", "SASRec", "NoHistory", "DIN"}
