"""Holds tests/points.toml against the code: `.venv/bin/python tests/points_lint.py`.

A card is our summary of a paper; its last part numbers what an implementation must prove. points.toml
lists these points in our own words and explains its form. Here source is parsed, never imported: the
lint runs in half a second, and on a tree whose imports are broken.
"""

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

NAME = re.compile(r"[a-z][a-z0-9_]*")
MODEL = re.compile(r"penchant(\.\w+)+")
REQUIRED = {"card", "number", "model", "claim"}
OPTIONAL = {"part"}


@dataclass(frozen=True)
class Point:
    """One entry of points.toml."""

    card: str
    number: int
    part: str
    models: tuple[str, ...]
    claim: str

    @property
    def test(self) -> str:
        """How the name of a test that proves this point begins."""
        return f"test_{self.card}_{self.number}" + (f"_{self.part}" if self.part else "")

    def proved_by(self, test: str) -> bool:
        return test == self.test or test.startswith(f"{self.test}_")


def check(root: Path) -> list[str]:
    """Everything wrong in the tree at `root`, as lines to print; empty where all is well."""
    points, problems = read_points(root / "tests" / "points.toml")
    homes = definitions(root / "src")
    tests = collected_tests(root / "tests")
    for point in points:
        problems += _moved(point, homes)
        if any(_exists(model, homes) for model in point.models) and not any(map(point.proved_by, tests)):
            problems.append(f"{point.test}...: no such test, and the point is due: {point.claim}")
    cards = "|".join(sorted({point.card for point in points}))
    like_a_point = re.compile(rf"test_({cards or '(?!)'})_\d+(_|$)")
    for test, where in tests.items():
        if like_a_point.match(test) and not any(point.proved_by(test) for point in points):
            problems.append(f"{where}: {test} is named like a card point that points.toml does not list")
    return problems


def read_points(path: Path) -> tuple[list[Point], list[str]]:
    """The well-formed entries of the file, and what is wrong with the others."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        return [], [f"{path}: {error}"]
    entries = table.get("point", [])
    if set(table) - {"point"} or not isinstance(entries, list):
        return [], [f"{path}: expected [[point]] tables and nothing else, found {sorted(table)}"]
    points: list[Point] = []
    problems: list[str] = []
    for place, entry in enumerate(entries, 1):
        faults = list(_faults(entry))
        problems += [f"points.toml, entry {place}: {fault}" for fault in faults]
        if not faults:
            points.append(_point(entry))
    return points, problems + list(_clashes(points))


def definitions(source: Path) -> dict[str, set[str]]:
    """Name of each class and function at the top of a module -> the modules that define one."""
    homes: dict[str, set[str]] = defaultdict(set)
    for file in sorted(source.rglob("*.py")):
        parts = file.relative_to(source).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for node in ast.parse(file.read_text(encoding="utf-8"), str(file)).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                homes[node.name].add(module)
    return homes


def collected_tests(folder: Path) -> dict[str, str]:
    """Each test that pytest would collect under `folder` -> "file:line"."""
    return {
        node.name: f"{file.relative_to(folder.parent)}:{node.lineno}"
        for file in sorted(folder.rglob("test_*.py"))
        for node in _functions(ast.parse(file.read_text(encoding="utf-8"), str(file)))
        if node.name.startswith("test_")
    }


def _functions(scope: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in scope.body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _faults(entry: object) -> Iterator[str]:
    """What is wrong with one entry taken by itself."""
    if not isinstance(entry, dict):
        yield f"expected a table, found {entry!r}"
        return
    if missing := REQUIRED - set(entry):
        yield f"lacks {', '.join(sorted(missing))}"
    if unknown := set(entry) - REQUIRED - OPTIONAL:
        yield f"has unknown keys {', '.join(sorted(unknown))} beside {', '.join(sorted(REQUIRED | OPTIONAL))}"
    for key in ("card", "part"):
        if key in entry and not (isinstance(entry[key], str) and NAME.fullmatch(entry[key])):
            yield f"{key} = {entry[key]!r}: expected lower-case letters, digits and underscores"
    if "number" in entry and not (type(entry["number"]) is int and entry["number"] >= 1):
        yield f"number = {entry['number']!r}: expected a whole number from 1"
    models = _models(entry.get("model", ["penchant.x"]))
    if not models or not all(isinstance(model, str) and MODEL.fullmatch(model) for model in models):
        yield f"model = {entry['model']!r}: expected a dotted path below penchant, or a list of them"
    claim = entry.get("claim", "x")
    if not isinstance(claim, str) or not claim.strip() or "\n" in claim:
        yield f"claim = {claim!r}: expected one line of text"


def _models(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _point(entry: dict) -> Point:
    models = tuple(_models(entry["model"]))
    return Point(entry["card"], entry["number"], entry.get("part", ""), models, entry["claim"])


def _clashes(points: list[Point]) -> Iterator[str]:
    """Entries of which one test would prove two: equal ones, or one whose part begins another's."""
    for one, other in combinations(points, 2):
        if one.proved_by(other.test) or other.proved_by(one.test):
            test = max(one.test, other.test, key=len)
            yield f"points.toml: a test named {test} would prove two entries; give each a part of its own"


def _exists(model: str, homes: dict[str, set[str]]) -> bool:
    module, _, name = model.rpartition(".")
    return module in homes.get(name, ())


def _moved(point: Point, homes: dict[str, set[str]]) -> Iterator[str]:
    """A path that names nothing while the same name lives elsewhere would keep a point from falling due."""
    for model in point.models:
        found = homes.get(model.rpartition(".")[2])
        if found and not _exists(model, homes):
            yield f"points.toml, {point.test}: no {model}, but {', '.join(sorted(found))} defines that name"


def main() -> int:
    problems = check(Path(__file__).resolve().parents[1])
    for problem in problems:
        print(problem)
    if problems:
        print(f"{len(problems)} problem(s) with card points; the rules stand at the top of tests/points.toml")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
