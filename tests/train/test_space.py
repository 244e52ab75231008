"""Where settings are looked for: bounds that hold, and values that come back as they were."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penchant.errors import ArgumentError
from penchant.train import Choice, Uniform, Whole

optuna = pytest.importorskip("optuna")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Choice(), "options=.*at least one"),
        (lambda: Choice(1, 2, 1), "options=1: expected every option once"),
        (lambda: Choice([1], (1,)), "every option once"),
        (lambda: Choice(object()), "JSON values"),
        (lambda: Uniform(1, 1), "high=1: expected more than low=1"),
        (lambda: Uniform(0, 1, log=True), "low=0: expected more than 0"),
        (lambda: Uniform(0, math.inf), "high=inf: expected a finite number"),
        (lambda: Uniform("0", 1), "low='0'"),
        (lambda: Whole(1, 2.5), "high=2.5: expected an integer"),
        (lambda: Whole(True, 2), "low=True"),
        (lambda: Whole(1, 8, step=0), "step=0"),
        (lambda: Whole(1, 8, step=2, log=True), "step=2: expected 1"),
        (lambda: Whole(1, 8, step=2), "high=8: expected low plus a number of steps, such as 7"),
    ],
)
def test_a_space_that_is_none_is_refused(make, told):
    with pytest.raises(ArgumentError, match=told):
        make()


DIMENSIONS = (
    st.lists(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.integers())), min_size=1
    )
    .filter(lambda found: all(a != b for i, a in enumerate(found) for b in found[:i]))
    .map(lambda found: Choice(*found))
    | st.tuples(st.integers(1, 50), st.integers(1, 50), st.booleans()).map(
        lambda x: Uniform(x[0], x[0] + x[1], log=x[2])
    )
    | st.tuples(st.integers(1, 50), st.integers(1, 9), st.integers(1, 5)).map(
        lambda x: Whole(x[0], x[0] + x[1] * x[2], step=x[2])
    )
)


@given(DIMENSIONS, st.integers(0, 99))
def test_what_is_drawn_lies_inside_and_can_be_asked_for(dimension, seed):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    value = dimension.draw(study.ask(), "x")
    assert dimension.holds(value)
    study.enqueue_trial({"x": dimension.stored(value)})
    assert dimension.draw(study.ask(), "x") == value
    assert json.loads(json.dumps(dimension.as_dict())) == dimension.as_dict()


def test_what_lies_outside_is_not_held():
    assert not Uniform(0, 1).holds(2)
    assert not Uniform(0, 2).holds(True)
    assert not Uniform(0, 1).holds(None)
    assert not Whole(1, 9, step=2).holds(4)
    assert not Whole(1, 9).holds(4.0)
    assert not Choice(1, 2).holds("1")
    assert Choice([1, 2]).holds((1, 2))
