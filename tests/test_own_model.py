"""The page "Bring your own model" runs as written, and its models pass the exam."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from torch import Generator, randint

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "own_model.md").read_text(encoding="utf-8")
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', flags=re.MULTILINE | re.DOTALL)
# the exam's files, and what stands behind SUBJECTS there
EXAM = {"test_retrievers.py": "\n\ndef those(", "test_rankers.py": "\nevery = "}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The two tables that the page speaks of: everybody walks through the films from a place of their own."""
    where = tmp_path_factory.mktemp("own_model")
    g = Generator().manual_seed(0)
    ratings = ["userId,movieId,rating,timestamp"]
    for user in range(1, 41):
        first = int(randint(24, (1,), generator=g))
        ratings += [f"{user},{100 + (first + i) % 24},4,{1_000_000_000 + 3600 * i + user}" for i in range(10)]
    films = ["movieId,title,genres", *(f"{100 + i},Film {i},Drama" for i in range(24))]
    (where / "ratings.csv").write_text("\n".join(ratings) + "\n")
    (where / "movies.csv").write_text("\n".join(films) + "\n")
    for _, title, text in FENCE.findall(PAGE):
        if title and title not in EXAM:
            (where / title).write_text(text)
    return where


def run(command: list[str], where: Path, **more: str) -> str:
    done = subprocess.run(
        command, cwd=where, capture_output=True, text=True, timeout=300, env={**os.environ, **more}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_block_runs_as_written(folder):
    said = ""
    for language, title, text in FENCE.findall(PAGE):
        if title:
            continue
        if language == "python":
            said += run([sys.executable, "-W", "error::DeprecationWarning", "-c", text], folder)
        for line in text.splitlines() if language == "shell" else ():
            program, *arguments = line.split()
            assert program == "python"
            said += run([sys.executable, *arguments], folder)
    assert (folder / "bundle" / "bundle.json").is_file()
    assert (folder / "run" / "result.json").is_file()
    assert "GRURetriever" in said
    assert "Film" in said


def test_both_models_pass_the_exam(folder):
    mine = folder / "exam"
    mine.mkdir()
    added = {title: text for _, title, text in FENCE.findall(PAGE) if title in EXAM}
    assert added.keys() == EXAM.keys()
    for name, behind in EXAM.items():
        before, after = (ROOT / "tests" / "exam" / name).read_text(encoding="utf-8").split(behind)
        (mine / name).write_text(f"{before}\n{added[name]}{behind}{after}", encoding="utf-8")
    said = run(
        [
            sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(mine), "-q",
            "-p", "conftest", "-p", "no:cacheprovider", "-k", "mine", *map(str, mine.glob("test_*.py")),
        ],
        folder,
        PYTHONPATH=os.pathsep.join([str(folder), str(ROOT / "tests")]),
    )  # fmt: skip
    assert int(re.findall(r"(\d+) passed", said)[0]) > 30, said
