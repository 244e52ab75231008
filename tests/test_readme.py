"""What the README tells people to type works as written."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the two tables that the README speaks of, in demo/."""
    where = tmp_path_factory.mktemp("readme")
    subprocess.run(
        [sys.executable, "-m", "penchant", "demo", "--prepare", "--out", str(where / "demo")], check=True
    )
    return where


@pytest.mark.real
def test_the_quick_start_runs_as_written(folder):
    code = "\n".join(blocks("python"))
    assert code.count("\n") <= 36  # thirty lines and blanks: quick
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", code],
        cwd=folder,
        env=os.environ
        | {"POLARS_TABLE_WIDTH": "400", "POLARS_FMT_STR_LEN": "200", "POLARS_FMT_MAX_ROWS": "20"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "report.html").stat().st_size > 100_000
    assert (folder / "bundle" / "bundle.json").is_file()
    titles = pl.read_csv(folder / "demo" / "movies.csv")["title"].to_list()
    *_, known, stranger = re.findall(r"^shape: \(.*\n(?:.*\n)+?└.*┘$", done.stdout, flags=re.MULTILINE)
    for lists, length in ((known, 10), (stranger, 5)):  # a user of the log, and somebody who was never in it
        assert lists.startswith(f"shape: ({length}, ")
        assert sum(f" {title} " in lists for title in titles) >= length
        assert lists.count("found by") == length


def test_the_two_commands_stand_first():
    shell = blocks("")[0]
    assert [line.split("#")[0].strip() for line in shell.strip().splitlines()] == ["make demo", "make test"]
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in ("demo", "test"):
        assert re.search(rf"^{name}:", targets, flags=re.MULTILINE)


def test_every_package_that_the_map_names_exists():
    for name in re.findall(r"`(\w+)/`", README.split("## The house")[1]):
        assert (ROOT / "src" / "penchant" / name / "__init__.py").is_file() or name in ("demo",), name


def test_the_table_is_what_the_demo_found(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    import demo

    found = json.loads((ROOT / "docs" / "results" / "demo.json").read_text(encoding="utf-8"))
    assert demo.in_readme(README, found) == README
    headline = found["Everybody's last rating"]["systems"][0]["metrics"]["ndcg@10"]
    assert f"{headline['value']:.4f}" in README


@pytest.mark.parametrize(
    "page", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", *sorted(map(str, (ROOT / "docs").rglob("*.md")))]
)
def test_links_lead_somewhere(page):
    file = ROOT / page
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", file.read_text(encoding="utf-8"))
    links = [link for link in links if "://" not in link and not link.startswith("reference/")]  # built
    broken = [link for link in links if not (file.parent / link).exists()]
    assert not broken
