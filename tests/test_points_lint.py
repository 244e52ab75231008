"""The lint of card points, on small planted trees."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from points_lint import check

ENTRY = {
    "card": '"tin"',
    "number": "4",
    "model": '"penchant.rank.tin.TIN"',
    "claim": '"ages count from the target"',
}


def entry(**changes):
    """One [[point]] table; a key set to None is left out."""
    fields = {key: value for key, value in {**ENTRY, **changes}.items() if value is not None}
    return "[[point]]\n" + "\n".join(f"{key} = {value}" for key, value in fields.items()) + "\n"


@pytest.fixture
def tree(tmp_path):
    """Writes a tree in which TIN exists, with the given points and tests, and returns what the lint finds."""

    def write(points, tests="", source="class TIN: ...", module="rank/tin.py"):
        for name, text in {
            "tests/points.toml": points,
            "tests/rank/test_tin.py": tests,
            f"src/penchant/{module}": source,
        }.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return check(tmp_path)

    return write


@pytest.mark.parametrize(
    "tests",
    [
        "def test_tin_4(): ...",
        "def test_tin_4_ages(): ...",
        "class TestTIN:\n    async def test_tin_4_ages(self): ...",
    ],
)
def test_a_due_point_with_a_test_is_fine(tree, tests):
    assert tree(entry(), tests) == []


@pytest.mark.parametrize(
    "tests",
    [
        "",
        "def test_tin_40(): ...",
        "def check_tin_4(): ...",
        "# def test_tin_4(): ...",
        "def test_outer():\n    def test_tin_4(): ...",
    ],
)
def test_a_due_point_without_a_test_is_named_with_its_claim(tree, tests):
    problems = tree(entry() + entry(number="40", model='"penchant.rank.none.None_"'), tests)
    assert problems == ["test_tin_4...: no such test, and the point is due: ages count from the target"]


def test_a_test_in_a_file_that_pytest_does_not_collect_proves_nothing(tree, tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "cases.py").write_text("def test_tin_4(): ...")
    assert len(tree(entry())) == 1


def test_a_point_is_not_due_before_its_model_exists(tree):
    assert tree(entry(), source="TINY = 1") == []


def test_any_of_several_models_makes_a_point_due(tree):
    points = entry(model='["penchant.rank.din.DIN", "penchant.rank.tin.TIN"]')
    assert len(tree(points)) == 1
    assert tree(points, source="class BST: ...") == []


def test_a_class_of_a_package_and_a_function_count_as_models(tree):
    assert len(tree(entry(model='"penchant.rank.TIN"'), module="rank/__init__.py")) == 1
    assert (
        len(tree(entry(model='"penchant.nn.loss.gbce"'), source="def gbce(): ...", module="nn/loss.py")) == 1
    )


def test_a_model_that_moved_is_not_silently_undue(tree):
    (problem,) = tree(entry(), module="rank/temporal.py")
    assert "no penchant.rank.tin.TIN" in problem
    assert "penchant.rank.temporal" in problem


def test_each_part_needs_a_test_of_its_own(tree):
    points = entry(part='"trp"') + entry(part='"tti"')
    assert [problem.split("...")[0] for problem in tree(points, "def test_tin_4_trp_x(): ...")] == [
        "test_tin_4_tti"
    ]


@pytest.mark.parametrize("test", ["test_tin_5_order", "test_tin_4_chrono", "test_tin_4"])
def test_a_test_named_like_an_unlisted_point_is_found_with_its_place(tree, test):
    problems = tree(entry(part='"trp"'), f"def test_tin_4_trp(): ...\n\ndef {test}(): ...")
    assert problems == [
        f"tests/rank/test_tin.py:3: {test} is named like a card point that points.toml does not list"
    ]


def test_names_of_other_tests_are_free(tree):
    assert tree(entry(), "def test_tin_4(): ...\ndef test_tin_order(): ...\ndef test_top_5(): ...") == []


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (entry(card=None), "lacks card"),
        (entry(claim=None, model=None), "lacks claim, model"),
        (entry(author='"x"'), "unknown keys author"),
        (entry(card='"TIN"'), "card = 'TIN'"),
        (entry(part='""'), "part = ''"),
        (entry(number="0"), "number = 0"),
        (entry(number="true"), "number = True"),
        (entry(number='"4"'), "number = '4'"),
        (entry(model='"TIN"'), "model = 'TIN'"),
        (entry(model="[]"), "model = []"),
        (entry(model="[3]"), "model = [3]"),
        (entry(claim='" "'), "claim = ' '"),
        (entry(claim='"a\\nb"'), "claim = 'a\\nb'"),
        ("[[point]\n", "points.toml: "),
        ("point = 3", "expected [[point]] tables"),
        ("point = [3]", "expected a table"),
        ("[[points]]", "expected [[point]] tables"),
    ],
)
def test_malformed_entries_are_named_by_place_and_key(tree, points, said):
    assert any(said in problem for problem in tree(points))


@pytest.mark.parametrize("other", [{}, {"part": '"trp"'}])
def test_entries_that_one_test_would_prove_are_refused(tree, other):
    assert any("would prove two entries" in problem for problem in tree(entry() + entry(**other)))


@pytest.mark.parametrize(("tests", "code"), [("def test_tin_4(): ...", 0), ("", 1)])
def test_the_command_prints_what_it_finds_and_exits_with_it(tree, tmp_path, tests, code):
    problems = tree(entry(), tests)
    lint = shutil.copy(Path(__file__).with_name("points_lint.py"), tmp_path / "tests")
    done = subprocess.run([sys.executable, lint], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout.splitlines()[: len(problems)] == problems
