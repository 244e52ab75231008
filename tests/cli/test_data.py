"""`penchant import` and `penchant profile`."""

import argparse
import inspect

import pytest

from penchant.cli.arguments import logs
from penchant.data.events import items, read_events, users
from penchant.data.store import open_log

COLUMNS = "--user userId --item movieId --time timestamp"
ATTRIBUTES = "--items-title title --items-categories 'genres=|'"


def flags(command):
    parser = argparse.ArgumentParser()
    command(parser)
    return {action.dest for action in parser._actions}


def test_the_arguments_of_import_are_those_of_read_events():
    # The signature is the configuration: who adds an argument there adds it here.
    assert set(inspect.signature(read_events).parameters) <= flags(logs.import_)
    for function in (items, users):
        known = set(inspect.signature(function).parameters) - {"source"}
        assert {f"{function.__name__}_{name}" for name in known} <= flags(logs.import_)


def test_import_writes_a_store_that_profile_reads(penchant, tables):
    said = penchant(
        f"import {tables}/ratings.csv {COLUMNS} --label 'rating>=3' --items {tables}/movies.csv {ATTRIBUTES} "
        f"--out {tables}/log --json"
    )
    assert said.code == 0, said.err
    assert said.json["profile"]["users"] == 30
    log = open_log(tables / "log")
    assert log.catalogue.title == "title"
    assert set(log.catalogue.category("genres").labels.all_ids) == {"A", "B", "C"}
    again = penchant(f"profile {tables}/log --json")
    assert again.json == said.json["profile"]


def test_profile_of_a_table_and_of_its_store_is_the_same(penchant, tables):
    of_table = penchant(f"profile {tables}/ratings.csv {COLUMNS} --json").json
    penchant(f"import {tables}/ratings.csv {COLUMNS} --out {tables}/log")
    assert penchant(f"profile {tables}/log --json").json == of_table


def test_people_read_a_table(penchant, tables):
    said = penchant(f"profile {tables}/ratings.csv {COLUMNS}")
    assert said.code == 0
    assert "users" in said.out
    assert "2001-09" in said.out
    assert "{" not in said.out


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("profile {}/ratings.csv", "ratings.csv: which column is the user?"),
        ("profile {}/ratings.csv --user userid --item movieId", "userId"),
        ("profile {}/nowhere.csv --user u --item i", "nowhere.csv"),
        ("profile {}/nowhere", "nowhere': expected a table, or the folder of a store (known: "),
        ("profile {}/ratngs.csv", "a table, or the folder of a store (did you mean 'ratings.csv'?)"),
        (
            "import {}/ratings.csv --user userId --item movieId --label 'rating<3' --out {}/log",
            "COLUMN>=NUMBER",
        ),
        ("import {}/ratings.csv --user userId --item movieId --out {}", "other files"),
        ("profile {}", "store"),
    ],
)
def test_bad_input_ends_with_2_and_says_what(penchant, tables, line, told):
    said = penchant(line.replace("{}", str(tables)))
    assert said.code == 2
    assert told in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_bad_rows_are_dropped_and_counted_only_on_request(penchant, tables):
    file = tables / "ratings.csv"
    file.write_text(file.read_text() + ",100,3,1000000000\n")
    assert penchant(f"profile {file} {COLUMNS}").code == 2
    said = penchant(f"profile {file} {COLUMNS} --on-bad drop --json")
    assert said.code == 0
    assert sum(said.json["dropped"].values()) == 1
