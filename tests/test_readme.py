"""What the README tells people to type works as written."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the two tables that the README speaks of."""
    where = tmp_path_factory.mktemp("readme")
    subprocess.run([sys.executable, "-m", "penchant", "demo", "--prepare", "--out", str(where)], check=True)
    return where


@pytest.mark.real
def test_the_quick_start_runs_as_written(folder):
    code = "\n".join(blocks("python"))
    assert code.count("\n") <= 30  # twenty lines and blanks: quick
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "report.html").stat().st_size > 100_000
    assert (folder / "bundle" / "bundle.json").is_file()
    # a user of the log, and somebody who was never in it, both get titles
    assert "found by" in done.stdout


def test_the_two_commands_stand_first():
    shell = blocks("")[0]
    assert [line.split("#")[0].strip() for line in shell.strip().splitlines()] == ["make demo", "make test"]
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in ("demo", "test"):
        assert re.search(rf"^{name}:", targets, flags=re.MULTILINE)


def test_every_package_that_the_map_names_exists():
    for name in re.findall(r"`(\w+)/`", README.split("## The house")[1]):
        assert (ROOT / "src" / "penchant" / name / "__init__.py").is_file() or name in ("demo",), name
