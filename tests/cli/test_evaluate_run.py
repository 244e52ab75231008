"""`penchant evaluate --run`: lists of other tools under our settings, beside a bundle or alone."""

import json

import polars as pl
import pytest

from penchant.data import read_events, split_leave_last
from penchant.evaluation import evaluate, read_run


@pytest.fixture(scope="module")
def lists(home, tmp_path_factory):
    """The funnel's own lists on the test questions, as another tool would get them, and as it might write
    them."""
    from penchant.cli import main

    folder = tmp_path_factory.mktemp("lists")
    line = ["evaluate", str(home / "run"), "--cutoffs", "5", "10", "--bootstrap", "0", "--quiet"]
    assert main([*line, "--lists", str(folder / "ours.csv")]) == 0
    ours = pl.read_csv(folder / "ours.csv")
    theirs = ours.rename({"user": "user_id", "item": "item_id"}).with_columns(score=-pl.col("rank") * 0.25)
    theirs.drop("rank").sample(fraction=1.0, shuffle=True, seed=1).write_parquet(folder / "theirs.parquet")
    worst = ours.with_columns(rank=11 - pl.col("rank"))
    lines = (f"{user} Q0 {item} {rank} {1 / rank} tag\n" for user, item, rank in worst.rows())
    (folder / "worst.trec").write_text("".join(lines))
    return folder


def metrics(system):
    return {name: found["value"] for name, found in system["metrics"].items() if "@" in name}


def test_our_lists_read_back_get_the_figures_of_the_bundle(penchant, home, lists):
    line = f"evaluate {home / 'run'} --run {lists / 'ours.csv'} --run {lists / 'theirs.parquet'}"
    said = penchant(f"{line} --cutoffs 5 10 --bootstrap 20 --json")
    assert said.code == 0, said.err
    first, second, funnel = said.json["systems"]
    assert [first["name"], second["name"], funnel["name"]] == ["ours", "theirs", "Funnel"]
    assert metrics(first) == metrics(second) == metrics(funnel)
    assert second["difference"]["ndcg@10"]["value"] == 0
    before = json.loads((home / "run" / "result.json").read_text())["systems"][0]["metrics"]
    assert first["metrics"]["ndcg@10"]["value"] == before["ndcg@10"]["value"]
    assert [run["name"] for run in said.json["runs"]] == ["ours", "theirs"]
    assert said.json["runs"][0]["places"]["queries"] == said.json["queries"]


def test_a_run_is_tested_against_the_bundle_as_compare_does(penchant, home, lists):
    line = f"evaluate {home / 'run'} --run {lists / 'worst.trec'} --bootstrap 50 --seed 3"
    said = penchant(line)
    assert "paired permutation test over users, worst against " in said.out
    (told,) = penchant(f"{line} --json").json["tests"]
    more = "--bootstrap 50 --seed 3 --metrics ndcg@10,recall@10,mrr@10 --json"
    compared = penchant(f"compare {home / 'run'} {lists / 'worst.trec'} {more}").json
    assert (told["a"], told["b"]) == ("Funnel", "worst")
    assert told["comparisons"] == compared["comparisons"]
    by_name = {one["metric"]: one for one in told["comparisons"]}
    assert by_name["mrr@10"]["b"] == metrics(penchant(f"{line} --json").json["systems"][0])["mrr@10"]
    assert by_name["mrr@10"]["difference"]["value"] == by_name["mrr@10"]["b"] - by_name["mrr@10"]["a"] != 0
    assert by_name["mrr@10"]["difference"]["low"] < by_name["mrr@10"]["difference"]["high"]
    assert by_name["recall@10"]["p"] == 1.0
    (plain,) = penchant(line.replace("--bootstrap 50", "--bootstrap 0") + " --json").json["tests"]
    for one, other in zip(plain["comparisons"], told["comparisons"], strict=True):
        assert (one["p"], one["difference"]["value"]) == (other["p"], other["difference"]["value"])
        assert one["difference"]["low"] is None


def test_without_a_bundle_the_recipe_says_data_and_split(penchant, home, lists):
    line = f"evaluate --run {lists / 'ours.csv'} --recipe {home / 'tiny.yaml'} --cutoffs 5 10 --bootstrap 0"
    said = penchant(f"{line} --json")
    assert said.code == 0, said.err
    log = read_events(
        home / "ratings.csv", user="userId", item="movieId", time="timestamp", label="rating>=3"
    )
    run = read_run(lists / "ours.csv", log)
    expected = evaluate(run, split_leave_last(log).test, cutoffs=(5, 10), bootstrap=0)
    (found,) = said.json["systems"]
    assert metrics(found) == {name: one.value for name, one in expected.systems[0].metrics.items()}
    assert said.json["setting"]["split"] == "leave last 1 out, per user"
    told = penchant(line)
    assert "leave last 1 out, per user; test part" in told.out
    assert "ours" in told.out


def test_a_store_and_a_split_do_as_well(penchant, tables, lists):
    file = tables / "ratings.csv"
    penchant(f"import {file} --user userId --item movieId --time timestamp --out {tables / 'log'}")
    line = f"evaluate --run {lists / 'worst.trec'} --data {tables / 'log'}"
    said = penchant(f"{line} --split leave_last,k=1 --bootstrap 0 --json --candidates all --seen keep")
    assert said.code == 0, said.err
    assert (said.json["setting"]["candidates"], said.json["setting"]["exclude_seen"]) == ("all", False)
    assert "--split" in penchant(line).err


def test_a_published_setting_says_it_all(penchant, home, lists):
    line = f"evaluate --run {lists / 'ours.csv'} --recipe {home / 'tiny.yaml'} --setting s3rec"
    said = penchant(f"{line} --bootstrap 0 --json")
    assert said.code == 0, said.err
    assert said.json["setting"]["name"] == "s3rec"
    assert said.json["setting"]["cutoffs"] == [5, 10, 20]
    assert "hold fewer than 20 items (the longest has 10)" in said.err
    for more in ("--candidates all", "--seen keep", "--cutoffs 5", "--at cut"):
        refused = penchant(f"{line} {more}")
        assert refused.code == 2
        assert f"{more.split()[0]}=" in refused.err
    assert "s3rec" in penchant(f"{line}x").err  # the nearest name


def test_what_costs_a_run_hits_is_told(penchant, home, lists, tmp_path):
    strange = pl.read_csv(lists / "ours.csv").filter(pl.col("user") > 3)
    strange = strange.with_columns(item=pl.when(pl.col("rank") == 2).then(999).otherwise("item"))
    strange.write_csv(tmp_path / "strange.csv")
    line = f"evaluate --run {tmp_path / 'strange.csv'} --recipe {home / 'tiny.yaml'} --bootstrap 0"
    said = penchant(line)
    assert "strange: 1 items that the log does not know stand at 27 places" in said.err
    assert "strange: 3 of 30 queries have no list: each is a miss" in said.err
    assert "(10.0%) hold an item that the log does not know: no hit is possible there" in said.err


def test_places_are_counted_in_the_queries_that_were_kept(penchant, home, lists, tmp_path):
    pl.read_csv(home / "ratings.csv").filter(pl.col("userId") <= 6).write_csv(tmp_path / "few.csv")
    (tmp_path / "few.yaml").write_text(
        "data: {source: few.csv, user: userId, item: movieId, time: timestamp, label: rating>=3}\n"
        "split: {leave_last: {k: 1}}\nmodels: [Popularity]\n"
    )
    said = penchant(f"evaluate --run {lists / 'ours.csv'} --recipe {tmp_path / 'few.yaml'} --json")
    assert said.code == 0, said.err
    assert sum(said.json["left_out"].values()) == 6 - said.json["queries"] > 0
    assert said.json["runs"][0]["places"]["queries"] == said.json["queries"]


def test_files_of_one_name_are_told_apart(penchant, home, lists, tmp_path):
    (tmp_path / "ours.csv").write_text((lists / "ours.csv").read_text())
    line = f"evaluate --recipe {home / 'tiny.yaml'} --bootstrap 0 --json --run {lists / 'ours.csv'}"
    assert [s["name"] for s in penchant(f"{line} --run {tmp_path / 'ours.csv'}").json["systems"]] == [
        "ours.csv-1",
        "ours.csv-2",
    ]


def test_columns_may_be_named(penchant, home, lists, tmp_path):
    frame = pl.read_csv(lists / "ours.csv").rename({"user": "who", "item": "what", "rank": "nth"})
    frame.write_csv(tmp_path / "odd.csv")
    line = f"evaluate --recipe {home / 'tiny.yaml'} --bootstrap 0 --json --run {tmp_path / 'odd.csv'}"
    refused = penchant(line)
    assert refused.code == 2
    assert "no column that says that it holds users" in refused.err
    named = penchant(f"{line} --run-user who --run-item what --run-rank nth")
    assert named.code == 0, named.err
    ours = penchant(f"{line.replace('odd', 'ours').replace(str(tmp_path), str(lists))}")
    assert metrics(named.json["systems"][0]) == metrics(ours.json["systems"][0])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "give a bundle, --run FILE, or both"),
        ("--run nowhere.csv --recipe {home}/tiny.yaml", "a file that is there"),
        ("--run {lists}/ours.csv", "--recipe"),
        ("--run nowhere.csv --recipe {home}/tiny.yaml --split leave_last,k=2", "--at cut"),
        ("--run {lists}/ours.csv --recipe {home}/tiny.yaml --split leave_last,k=2", "--at cut"),
        ("{home}/run --lists lists.xlsx", ".parquet"),
        ("{home}/run --bootstrap -1", "penchant: --bootstrap=-1: expected"),
        ("{home}/run --lists lists.csv --split leave_last,k=2", "--at cut"),
    ],
)
def test_what_cannot_be_asked_says_why(penchant, home, lists, line, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = penchant(f"evaluate {line.format(home=home, lists=lists)}")
    assert said.code == 2
    assert told in said.err
    assert "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_page_shows_the_run_by_its_name(penchant, home, lists, tmp_path):
    line = f"evaluate {home / 'run'} --run {lists / 'worst.trec'} --bootstrap 20"
    said = penchant(f"{line} --report {tmp_path / 'page.html'}")
    assert said.code == 0, said.err
    page = (tmp_path / "page.html").read_text()
    assert "worst" in page
    assert "worst minus" in said.out
