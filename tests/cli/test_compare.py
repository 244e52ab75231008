"""`penchant compare`: a table of differences, and a gate."""

import json
import shutil
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from penchant.cli import GATE, main
from penchant.data import read_events, split_leave_last
from penchant.evaluation import Run, compare_values, evaluate, read_run, write_run


@pytest.fixture(scope="module")
def pair(home, tmp_path_factory):
    """Two runs on the tiny log: a good one that lists the target first for most, and one that never does."""
    folder = tmp_path_factory.mktemp("pair")
    frame = pl.read_csv(home / "ratings.csv")
    log = read_events(frame, user="userId", item="movieId", time="timestamp", label="rating>=3")
    asked = split_leave_last(log).test()
    users = log.users.vocabulary.ids(asked.user.numpy())
    target = log.catalogue.vocabulary.ids(asked.targets.values.numpy())
    others = log.catalogue.vocabulary.all_ids
    rng = np.random.default_rng(0)
    for name, share in (("good", 0.8), ("bad", 0.0)):
        rows = []
        for user, best in zip(users, target, strict=True):
            rest = [i for i in rng.permutation(others.to_numpy()).tolist() if i != best][:12]
            rows += [(user, i, n) for n, i in enumerate([best, *rest] if rng.random() < share else rest, 1)]
        frame = pl.DataFrame(rows, schema=["user_id", "item_id", "rank"], orient="row")
        frame.write_parquet(folder / f"{name}.parquet")
    return folder


def test_two_runs_by_the_functions_of_the_library(penchant, home, pair):
    line = f"compare {pair / 'bad.parquet'} {pair / 'good.parquet'} --recipe {home / 'tiny.yaml'}"
    said = penchant(f"{line} --metrics ndcg@10,recall@5 --json --seed 3 --permutations 500 --bootstrap 100")
    assert said.code == 0, said.err
    log = read_events(
        home / "ratings.csv", user="userId", item="movieId", time="timestamp", label="rating>=3"
    )
    runs = [read_run(pair / f"{name}.parquet", log) for name in ("good", "bad")]
    result = evaluate(runs[0], split_leave_last(log).test, against=runs[1:], cutoffs=(5, 10), bootstrap=0)
    expected = compare_values(
        result.systems[1].per_query, result.systems[0].per_query, result.users,
        metrics=["ndcg@10", "recall@5"], seed=3, permutations=500, resamples=100,
    )  # fmt: skip
    assert said.json["comparisons"] == [one.as_dict() for one in expected]
    assert (said.json["a"], said.json["b"], said.json["passed"]) == ("bad", "good", True)
    assert [one["verdict"] for one in said.json["comparisons"]] == ["higher", "higher"]
    assert said.json["users"] == said.json["queries"] == len(result.users)
    assert [run["name"] for run in said.json["runs"]] == ["bad", "good"]


@pytest.mark.parametrize(
    ("order", "gates", "code"),
    [
        ("bad good", "--gate ndcg@10", 0),
        ("bad good", "--better ndcg@10 --better recall@10", 0),
        ("good bad", "--gate ndcg@10", GATE),
        ("good bad", "--better mrr@10", GATE),
        ("good good", "--gate ndcg@10 --gate recall@10", 0),
        ("good good", "--better ndcg@10", GATE),
        ("good bad", "", 0),
    ],
)
def test_the_exit_code_is_a_gate(penchant, home, pair, order, gates, code):
    a, b = (pair / f"{name}.parquet" for name in order.split())
    line = f"compare {a} {b} {gates} --recipe {home / 'tiny.yaml'} --bootstrap 50 --permutations 500"
    said = penchant(line)
    assert said.code == code, said.err
    assert GATE == 3
    assert ("gate failed" in said.err) == (code == GATE)
    assert ("gate passed" in said.out) == (bool(gates) and code == 0)
    quiet = penchant(f"{line} --quiet --json")
    assert quiet.code == code
    assert quiet.json["passed"] == (code == 0)
    assert ("gate failed" in quiet.err) == (code == GATE)


@pytest.mark.parametrize("more", ["", "--json", "--json --quiet"])
def test_a_gate_holds_where_nobody_reads_what_is_said(home, pair, more):
    line = f"compare {pair / 'good.parquet'} {pair / 'bad.parquet'} --recipe {home / 'tiny.yaml'} {more}"
    line += " --gate ndcg@10 --permutations 500 --bootstrap 50"
    command = f'"{sys.executable}" -m penchant {line} | true; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == GATE, done.stderr
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_what_learned_from_the_questions_passes_no_gate(penchant, home):
    line = f"compare {home / 'run'} {home / 'run'} --split leave_last,k=2 --bootstrap 50 --json"
    fair = penchant(f"{line} --part test --gate ndcg@10")
    assert fair.code == 0, fair.err
    assert fair.json["cautions"] == []
    for gate in ("--gate", "--better"):
        said = penchant(f"{line} --part valid {gate} ndcg@10")
        assert said.code == GATE
        assert "learned from what it was asked" in said.err
        assert "clearly" not in said.err
        assert len(said.json["cautions"]) == 2
    assert penchant(f"{line} --part valid").code == 0  # no gate, no verdict


def test_a_failed_gate_says_what_failed(penchant, home, pair):
    line = f"compare {pair / 'good.parquet'} {pair / 'bad.parquet'} --recipe {home / 'tiny.yaml'}"
    said = penchant(f"{line} --gate ndcg@10 --better recall@10 --bootstrap 50 --permutations 500")
    assert "gate failed: bad is clearly worse by ndcg@10" in said.err
    assert "gate failed: bad is not clearly better by recall@10" in said.err
    assert "p (Holm)" in said.out
    assert "bad minus good" in said.out
    assert "lower" in said.out
    said = penchant(f"{line.replace('good', 'x').replace('bad', 'good').replace('x', 'bad')} --gate ndcg@10")
    assert "gate passed: good is not clearly worse by ndcg@10" in said.out


def test_metrics_of_gates_join_the_family(penchant, home, pair):
    line = f"compare {pair / 'good.parquet'} {pair / 'bad.parquet'} --recipe {home / 'tiny.yaml'} --json"
    said = penchant(f"{line} --metrics ndcg@5 --gate recall@3 --better ndcg@5 --bootstrap 50")
    assert [one["metric"] for one in said.json["comparisons"]] == ["ndcg@5", "recall@3"]
    assert [(gate["metric"], gate["asks"]) for gate in said.json["gates"]] == [
        ("recall@3", "not worse"),
        ("ndcg@5", "better"),
    ]
    alone = penchant(f"{line} --metrics ndcg@5 --bootstrap 50").json["comparisons"][0]
    assert alone["p_holm"] == alone["p"] <= said.json["comparisons"][0]["p_holm"]
    variety = penchant(f"{line} --metrics novelty@10,category_entropy@10 --bootstrap 50")
    assert [one["metric"] for one in variety.json["comparisons"]] == ["novelty@10", "category_entropy@10"]


def test_a_bundle_against_a_run_finds_the_split_of_its_run(penchant, home, pair):
    line = f"compare {home / 'run'} {pair / 'good.parquet'} --bootstrap 50 --permutations 500 --json"
    said = penchant(line)
    assert said.code == 0, said.err
    assert (said.json["a"], said.json["b"]) == ("run", "good")
    before = json.loads((home / "run" / "result.json").read_text())["systems"][0]["metrics"]
    found = {one["metric"]: one["a"] for one in said.json["comparisons"]}
    assert found["ndcg@10"] == before["ndcg@10"]["value"]
    assert "flatter" not in said.err
    other = penchant(f"compare {pair / 'good.parquet'} {home / 'run' / 'result.json'} --json --bootstrap 50")
    assert {one["metric"]: one["b"] for one in other.json["comparisons"]} == found


def test_two_bundles(penchant, home, tmp_path):
    shutil.copytree(home / "run", tmp_path / "copy")
    said = penchant(f"compare {home / 'run'} {tmp_path / 'copy'} --gate ndcg@10 --bootstrap 50 --json")
    assert said.code == 0, said.err
    assert (said.json["a"], said.json["b"]) == ("run", "copy")
    assert {one["p"] for one in said.json["comparisons"]} == {1.0}
    shutil.move(tmp_path / "copy" / "bundle", tmp_path / "bundle")
    said = penchant(f"compare {tmp_path / 'bundle'} {home / 'run'} --bootstrap 50")
    assert said.code == 0, said.err
    assert "flatter" not in said.err  # the bundle itself says which rows it learned from


def test_bundles_of_logs_with_other_ids_are_refused(penchant, home, tables):
    file = tables / "ratings.csv"
    file.write_text(file.read_text() + "31,555,3,1000000000\n")
    (tables / "popular.yaml").write_text(
        "data: {source: ratings.csv, user: userId, item: movieId, time: timestamp}\n"
        "split: {leave_last: {k: 1}}\nmodels: [Popularity]\nevaluate: {bootstrap: 0}\nreport: false\n"
    )
    assert penchant(f"train {tables / 'popular.yaml'} --out {tables / 'other'} --quiet").code == 0
    said = penchant(f"compare {home / 'run'} {tables / 'other'}")
    assert said.code == 2
    assert "trained on the item ids of" in said.err


def test_queries_of_one_user_count_as_one(penchant, home):
    # Two test events a user: the users of the table are those of the log, not the queries.
    said = penchant(
        f"compare {home / 'run'} {home / 'run'} --split leave_last,k=2 --bootstrap 50 --json --metrics ndcg@5"
    )
    assert said.code == 0, said.err
    assert said.json["queries"] > said.json["users"]
    assert said.json["comparisons"][0]["difference"]["users"] == said.json["users"]


def test_too_few_users_pass_no_gate(penchant, home, pair, tmp_path):
    frame = pl.read_csv(home / "ratings.csv")
    frame.filter(pl.col("userId") <= 10).write_csv(tmp_path / "few.csv")
    (tmp_path / "few.yaml").write_text(
        "data: {source: few.csv, user: userId, item: movieId, time: timestamp, label: rating>=3}\n"
        "split: {leave_last: {k: 1}}\nmodels: [Popularity]\n"
    )
    line = f"compare {pair / 'bad.parquet'} {pair / 'good.parquet'} --recipe {tmp_path / 'few.yaml'}"
    said = penchant(f"{line} --gate ndcg@10")
    assert said.code == GATE
    assert "too few users" in said.out + said.err
    assert penchant(f"{line} --better ndcg@10").code == GATE


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{pair}/good.parquet {pair}/bad.parquet", "--recipe"),
        ("{pair}/good.parquet nowhere.csv --recipe {home}/tiny.yaml", "a file that is there"),
        ("{home}/run {pair}/good.parquet --metrics ndcg", "names such as ndcg@10"),
        ("{home}/run {pair}/good.parquet --metrics ncdg@10", "did you mean 'ndcg@10'"),
        ("{home}/run {pair}/good.parquet --metrics ncdg@10", "penchant: --metrics="),
        ("{home}/run {pair}/good.parquet --gate ncdg@10", "penchant: --gate='ncdg@10'"),
        ("{home}/run {pair}/good.parquet --better ncdg@10", "penchant: --better='ncdg@10'"),
        ("{home}/run {pair}/good.parquet --setting s4rec", "penchant: --setting='s4rec'"),
        ("{home}/run {pair}/good.parquet --gate ndcg@0", "names such as ndcg@10"),
        ("{home}/run {pair}/good.parquet --split leave_last,k=2", "--at cut"),
        ("{home}/run {pair}/good.parquet --level 95", "--level=95.0: expected"),
        ("{home}/run {pair}/good.parquet --permutations 18", "--permutations=18: expected at least 19"),
        ("{home}/run {pair}/good.parquet --level 0.99999", "--permutations=10000: expected at least 99,999"),
        ("{pair} {home}/run", "bundle"),
        ("{home}/run", "required: B"),
    ],
)
def test_what_cannot_be_compared_says_why(penchant, home, pair, line, told):
    said = penchant(f"compare {line.format(home=home, pair=pair)}")
    assert said.code == 2
    assert told in said.err
    assert "Traceback" not in said.err


def test_a_published_setting(penchant, home, pair):
    line = f"compare {pair / 'bad.parquet'} {pair / 'good.parquet'} --recipe {home / 'tiny.yaml'}"
    said = penchant(f"{line} --setting s3rec --bootstrap 50 --permutations 100 --json")
    assert said.code == 0, said.err
    assert said.json["setting"]["name"] == "s3rec"
    assert penchant(f"{line} --setting s3rec --metrics ndcg@7").code == 2  # not one of its cutoffs


def test_help_tells_of_the_gate(capsys):
    assert main(["--help"]) == 0
    assert "3    a gate" in capsys.readouterr().out


def test_lists_of_a_result_are_what_compare_takes(penchant, home, pair, tmp_path):
    log = read_events(
        home / "ratings.csv", user="userId", item="movieId", time="timestamp", label="rating>=3"
    )
    run = read_run(pair / "good.parquet", log)
    result = evaluate(run, split_leave_last(log).test, bootstrap=0, exclude_seen=False)
    write_run(Run.of(result, log), tmp_path / "again.trec", log)
    line = f"compare {pair / 'good.parquet'} {tmp_path / 'again.trec'} --recipe {home / 'tiny.yaml'}"
    said = penchant(f"{line} --seen keep --bootstrap 50 --json")
    assert {one["p"] for one in said.json["comparisons"]} == {1.0}


def test_what_is_not_there_is_named(penchant, home):
    said = penchant(f"compare {home / 'run'} {home / 'nowhere'}")
    assert said.code == 2
    assert "B=" in said.err
    assert "nowhere" in said.err
    assert "a bundle, the folder of a run, or lists" in said.err
