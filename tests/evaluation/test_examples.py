import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "evaluation.ranking",
        "evaluation.pointwise",
        "evaluation.beyond",
        "evaluation.compare",
        "evaluation.lines",
        "evaluation.runfiles",
        "evaluation.significance",
        "nn.topk",
    ],
)
def test_examples_in_docstrings_give_what_they_show(name):
    found = doctest.testmod(import_module(f"penchant.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
