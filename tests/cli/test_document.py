"""Recipes as text: lines, changes, and what YAML can hide."""

import pytest

from penchant.cli.changes import apply
from penchant.cli.document import Problems, dotted, parse_value, read_document
from penchant.errors import RecipeError

TEXT = """\
data: log
models:
  - Popularity
  - class_path: SASRec
    init_args:
      width: 32
split: {leave_last: {k: 1}}
"""


# Five lines that stand for 9^5 values.
LAUGHS = "a: &a [1,2,3,4,5,6,7,8,9]\n" + "".join(
    f"{name}: &{name} [{', '.join(9 * ['*' + before])}]\n"
    for before, name in zip("abcd", "bcde", strict=True)
)


@pytest.fixture
def document(tmp_path):
    def read(text=TEXT):
        file = tmp_path / "recipe.yaml"
        file.write_text(text)
        return read_document(file)

    return read


def test_every_key_knows_its_line(document):
    lines = document().lines
    assert lines[("models", 1, "init_args", "width")] == 6
    assert lines[("models", 0)] == 3
    assert lines[("split", "leave_last", "k")] == 7


def test_a_place_that_is_not_in_the_file_gets_the_line_of_what_holds_it(document):
    assert document().where(("models", 1, "init_args", "depth")) == "line 5, models[1].init_args.depth"
    assert document().where(()) == "the file"


def test_a_key_said_twice_is_refused_and_both_lines_are_named(document):
    with pytest.raises(RecipeError, match=r"line 1 and line 2"):
        document("data: a\ndata: b\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("data: [", "line 1: not YAML"),
        ("- a\n- b", "expected a mapping"),
        ("", "expected a mapping"),
        ("data: !!python/object/apply:os.getcwd []", "not YAML"),
        ("a: &a [*a]", "deep"),
        (LAUGHS, "settings"),
    ],
)
def test_what_is_no_recipe_is_told_as_such(document, text, told):
    with pytest.raises(RecipeError, match=told):
        document(text)


def test_bytes_that_are_no_text_are_told(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_bytes(b"data: \xff\xfe")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_document(file)


def test_a_missing_file_names_what_lies_beside_it(tmp_path):
    (tmp_path / "sasrec.yaml").write_text("data: log")
    with pytest.raises(RecipeError, match=r"no such file.\n.*sasrec\.yaml"):
        read_document(tmp_path / "sasrek.yaml")


def test_problems_stand_in_one_error(document):
    problems = Problems(document())
    problems.add(("data",), "one thing")
    problems.add(("data",), "one thing")
    problems.add(("models", 0), "another")
    with pytest.raises(
        RecipeError, match=r"2 problems.\n  1. line 1, data: one thing\n  2. line 3, models\[0\]: another"
    ):
        problems.stop()


@pytest.mark.parametrize(
    ("change", "keys", "value"),
    [
        ("split.leave_last.k=2", ("split", "leave_last", "k"), 2),
        ("models.SASRec.width=16", ("models", 1, "init_args", "width"), 16),
        ("models[1].init_args.width=16", ("models", 1, "init_args", "width"), 16),
        ("models.1.fit.epochs=3", ("models", 1, "fit", "epochs"), 3),
        ("models.Popularity.halflife=30", ("models", 0, "init_args", "halflife"), 30),
        ("evaluate.cutoffs=[1, 5]", ("evaluate", "cutoffs"), [1, 5]),
        ("seed=7", ("seed",), 7),
        ("report=false", ("report",), False),
    ],
)
def test_a_change_lands_where_it_says(document, change, keys, value):
    changed = document()
    apply(changed, change)
    found = changed.value
    for key in keys:
        found = found[key]
    assert found == value
    assert changed.where(keys) == f"--set {change}: {dotted(keys)}"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("width", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("model.width=3", "which one?"),
        ("models.SASrec.width=3", "did you mean 'SASRec'"),
        ("models[7].width=3", "no model '7'"),
        ("data.source=x", "has no data.source"),
    ],
)
def test_a_change_that_lands_nowhere_is_refused(document, change, told):
    with pytest.raises(RecipeError, match=told):
        apply(document(), change)


def test_model_alone_means_the_only_one(document):
    changed = document("models:\n  - class_path: SASRec\n")
    apply(changed, "model.width=8")
    assert changed.value["models"][0]["init_args"] == {"width": 8}


def test_a_value_that_is_no_yaml_is_text():
    assert parse_value("rating>=4") == "rating>=4"
    assert parse_value("[1") == "[1"
    assert parse_value("0.1") == 0.1
