"""The part `tune` of a recipe's model: where `penchant tune` looks, by argument.

width: [32, 64, 128]                                  one of these
learning_rate: {low: 1e-4, high: 1e-2, log: true}     a number in between
depth: {low: 1, high: 4}                              an integer, as the argument is one; `step` may be given
"""

import types
import typing
from collections.abc import Mapping
from typing import Any, Union

from torch import nn

from penchant.cli.checker import Checker
from penchant.cli.document import Keys
from penchant.cli.signature import arguments_of, check, plain, plain_part, typed
from penchant.errors import ArgumentError, nearest
from penchant.train import fit
from penchant.train.space import Choice, Dimension, Uniform, Whole
from penchant.train.tune import TUNED_FIT


def space_of(checker: Checker, given: Any, cls: type[nn.Module], keys: Keys) -> dict[str, Dimension]:
    """The space of a model; what is wrong with it goes to the checker's problems."""
    if given is None:
        return {}
    own = arguments_of(cls, without=("features", "seed"))
    trained = arguments_of(fit) if hasattr(cls, "loss") else {}
    known = {name: trained[name] for name in TUNED_FIT if name in trained} | own
    if not isinstance(given, Mapping):
        expected = f"a mapping of arguments to where to look ({', '.join(known)})"
        checker.problems.add(keys, f"{given!r}: expected {expected}")
        return {}
    found: dict[str, Dimension] = {}
    for name, value in given.items():
        place = (*keys, name)
        if name not in known:
            of = f"neither {cls.__name__} nor fit" if trained else cls.__name__
            has = "has an argument" if trained else "has no argument"
            hint = nearest(str(name), list(known))
            checker.problems.add(place, f"{of} {has} {name!r} that can be tuned; {hint}")
        elif (dimension := _dimension(checker, value, known[name].kind, place)) is not None:
            found[name] = dimension
    return found


def _dimension(checker: Checker, value: Any, kind: Any, keys: Keys) -> Dimension | None:
    """A list is a choice; a mapping a range."""
    try:
        if isinstance(value, list):
            return _choice(checker, value, kind, keys)
        if not isinstance(value, Mapping):
            expected = "a list to choose from, or {low, high} with log or step where wanted"
            checker.problems.add(keys, f"{value!r}: expected {expected}")
            return None
        if not _takes(kind, int) and not _takes(kind, float):
            checker.problems.add(keys, "no number, so it has no range: give a list to choose from")
            return None
        of = Uniform if _takes(kind, float) else Whole
        before = len(checker.problems.found)
        done = check(value, arguments_of(of), keys, checker.problems, of="a range")
        return of(**done) if len(checker.problems.found) == before else None
    except ArgumentError as error:
        inner = isinstance(value, Mapping) and error.name in value
        checker.problems.add((*keys, error.name) if inner else keys, str(error))
        return None


def _choice(checker: Checker, options: list[Any], kind: Any, keys: Keys) -> Choice | None:
    wanted = kind if plain(kind) else plain_part(kind)
    if wanted is None:
        checker.problems.add(keys, "a model, of which a recipe cannot say several")
        return None
    found: list[Any] = []
    for place, option in enumerate(options):
        try:
            found.append(typed(wanted, option))
        except ValueError as error:
            checker.problems.add((*keys, place), f"{option!r}: {error}")
    return Choice(*found) if len(found) == len(options) else None


def _takes(kind: Any, wanted: type) -> bool:
    """Whether a type is `wanted`, or a union with it."""
    union = typing.get_origin(kind) in (Union, types.UnionType)
    return kind is wanted or (union and any(_takes(inner, wanted) for inner in typing.get_args(kind)))
