"""A tiny log as files, and one run on it that all tests of the command line share."""

import json
import shlex
from pathlib import Path

import pytest
from torch import Generator, randint

from penchant.cli import main

USERS, ITEMS = 30, 24
RECIPE = """\
data:
  source: ratings.csv
  user: userId
  item: movieId
  time: timestamp
  label: rating>=3
  items: {source: movies.csv, id: movieId, title: title, categories: {genres: "|"}}
split:
  leave_last: {k: 1}
models:
  - Popularity
  - class_path: penchant.retrieve.SASRec
    init_args: {width: 8, history: 10}
    fit: {epochs: 1, batch_size: 16}
  - class_path: DIN
    init_args: {width: 4, history: 10, attention: [4], head: [4]}
    fit: {epochs: 1, batch_size: 64}
  - class_path: NoHistory
    init_args: {width: 4, head: [4]}
    fit: {epochs: 1, batch_size: 64}
funnel: {candidates: 12, rank: DIN}
evaluate: {cutoffs: [5, 10], bootstrap: 20}
"""


def write_tables(folder: Path) -> None:
    """ratings.csv and movies.csv: everybody walks through the items from a place of their own."""
    g = Generator().manual_seed(0)
    rows = ["userId,movieId,rating,timestamp"]
    for user in range(1, USERS + 1):
        first, start = (int(randint(high, (1,), generator=g)) for high in (ITEMS, 1_000_000))
        rows += [
            f"{user},{100 + (first + step) % ITEMS},{2 + (step % 4)},{1_000_000_000 + start + 3600 * step}"
            for step in range(8 + user % 5)
        ]
    (folder / "ratings.csv").write_text("\n".join(rows) + "\n")
    movies = [
        "movieId,title,genres",
        *(f"{100 + i},Film [{i}],{'A|B' if i % 2 else 'C'}" for i in range(ITEMS)),
    ]
    (folder / "movies.csv").write_text("\n".join(movies) + "\n")


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A folder with the tables, a recipe, and a finished run in `run/`. Read only."""
    folder = tmp_path_factory.mktemp("cli")
    write_tables(folder)
    (folder / "tiny.yaml").write_text(RECIPE)
    assert main(["train", str(folder / "tiny.yaml"), "--out", str(folder / "run"), "--quiet"]) == 0
    return folder


@pytest.fixture
def tables(tmp_path):
    """A folder of one's own with the tables."""
    write_tables(tmp_path)
    return tmp_path


class Said:
    """What a command answered."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def penchant(capsys):
    """Runs a command line and says what came of it."""

    def run(line: str) -> Said:
        capsys.readouterr()
        code = main(shlex.split(line))
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run
