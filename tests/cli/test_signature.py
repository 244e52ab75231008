"""Settings held against signatures."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest
from torch import Tensor, nn

from penchant.cli.document import Document, Problems
from penchant.cli.signature import REQUIRED, arguments_of, check, plain, plain_part, typed, words


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (float, "1e-3", 1e-3),  # YAML 1.1 reads 1e-3 as text
        (bool, True, True),
        (str | None, None, None),
        (Literal["a", "b"], "a", "a"),
        (tuple[int, ...], [5, 10], (5, 10)),
        (Sequence[str], ["a"], ["a"]),
        (Mapping[str, float], {"a": 1}, {"a": 1.0}),
        (float | str | date, "2015-01-01", "2015-01-01"),
        (float | str | date, 0.1, 0.1),
        (Path, "x/y", Path("x/y")),
        (Any, {"a": [1]}, {"a": [1]}),
    ],
)
def test_a_value_gets_its_type(kind, value, found):
    got = typed(kind, value)
    assert got == found
    assert type(got) is type(found)


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        (int, "wide", "expected an integer"),
        (int, 3.5, "expected an integer"),
        (int, True, "expected an integer"),
        (float, True, "expected a number"),
        (float | None, "much", "expected a number or null"),
        (bool, 1, "expected true or false"),
        (str, 3, "expected text"),
        (Literal["softmax", "bce"], "softmacs", r"expected 'softmax' or 'bce' \(did you mean 'softmax'\?\)"),
        (Sequence[int], 3, "expected a list of integers"),
        (tuple[int, ...], ["a"], "expected a list of integers"),
        (Sequence[str], "abc", "expected a list of text"),
        (Mapping[str, int], 3, "expected a mapping"),
        (Tensor, 3, "expected a Tensor, which a recipe cannot hold"),
    ],
)
def test_a_value_of_another_type_is_refused_in_words(kind, value, told):
    with pytest.raises(ValueError, match=told):
        typed(kind, value)


@pytest.mark.parametrize(
    "kind", [Callable, Callable[[int], int], type, type[nn.Module], nn.Module, Sequence[Tensor]]
)
def test_what_jsonargparse_would_import_never_gets_there(kind):
    assert not plain(kind)
    with pytest.raises(ValueError, match="cannot hold"):
        typed(kind, "os.system")


def test_the_plain_part_of_a_union():
    assert plain_part(nn.Module | int | None) == int | None
    assert plain_part(nn.Module) is None
    assert plain_part(list[int]) == list[int]
    assert words(nn.Module | None) == "a Module or null"


class Model(nn.Module):
    def __init__(
        self, features: object, *, width: int = 32, mode: Literal["a", "b"] = "a", must: float
    ) -> None: ...


def test_arguments_are_those_of_the_constructor():
    known = arguments_of(Model, without=("features",))
    assert list(known) == ["width", "mode", "must"]
    assert known["must"].default is REQUIRED
    assert known["width"].kind is int


def test_all_problems_are_found_at_once_with_the_nearest_name():
    problems = Problems(Document(Path("r.yaml"), {}, {("m", "widht"): 3, ("m",): 2}))
    known = arguments_of(Model, without=("features",))
    done = check({"widht": 3, "mode": "c", "zzz": 1}, known, ("m",), problems, of="Model")
    assert done == {}
    assert problems.found == [
        "line 3, m.widht: Model has no argument 'widht'; did you mean 'width'?",
        "line 2, m.mode: 'c': expected 'a' or 'b'",
        "line 2, m.zzz: Model has no argument 'zzz'; it has: width, mode, must",
        "line 2, m: Model needs must",
    ]


def test_arguments_that_are_no_mapping_are_told():
    problems = Problems(Document(Path("r.yaml"), {}, {}))
    check(3, arguments_of(Model), ("m",), problems, of="Model")
    assert "expected the arguments of Model as a mapping" in problems.found[0]
