"""The part `models` of a recipe, and names of models wherever a recipe uses them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from penchant.cli.changes import MODEL_KEYS
from penchant.cli.checker import Checker
from penchant.cli.classes import find_model
from penchant.cli.document import Keys
from penchant.cli.recipe_tune import space_of
from penchant.cli.signature import Argument, arguments_of, plain, plain_part, typed, words
from penchant.data.interactions import Features
from penchant.errors import nearest
from penchant.train import fit
from penchant.train.space import Dimension

# what `penchant train` decides itself, and what no recipe can hold
_NOT_FIT = ("model", "split", "valid", "weigher", "checkpoint", "resume", "callbacks", "progress")


@dataclass(frozen=True)
class Planned:
    """A model of a recipe.

    Attributes:
        name: what the recipe calls it.
        cls: its class.
        arguments: of its constructor; those that are models are `Planned` too.
        fit: arguments of `fit`.
        keys: where it stands.
        tune: where `penchant tune` looks for better ones, by argument of the constructor or of `fit`.
    """

    name: str
    cls: type[nn.Module]
    arguments: Mapping[str, Any]
    fit: Mapping[str, Any]
    keys: Keys
    tune: Mapping[str, Dimension] = field(default_factory=dict[str, Dimension])

    @property
    def retrieves(self) -> bool:
        """Whether it can stand in the first stage."""
        return hasattr(self.cls, "retrieve")

    @property
    def ranks(self) -> bool:
        """Whether it can stand in the last stage."""
        return hasattr(self.cls, "encode_user") and hasattr(self.cls, "score")

    def build(self, features: Features) -> nn.Module:
        """The model, untrained."""
        given = {
            name: value.build(features) if isinstance(value, Planned) else value
            for name, value in self.arguments.items()
        }
        if "features" in arguments_of(self.cls):
            given["features"] = features
        return self.cls(**given)


def models_of(checker: Checker, given: Any) -> tuple[Planned, ...]:
    """The models in their order."""
    if given is None:
        return ()
    if not isinstance(given, list):
        checker.problems.add(("models",), f"{given!r}: expected a list of models")
        return ()
    seed = _seed(checker)
    found = [_model(checker, model, ("models", place), seed) for place, model in enumerate(given)]
    models = [model for model in found if model is not None]
    for place, model in enumerate(models):
        if model.name in [other.name for other in models[:place]]:
            told = f"a second model named {model.name!r}: give it a `name` of its own"
            checker.problems.add(model.keys, told)
    return tuple(models)


def names_of(checker: Checker, value: Any, keys: Keys, known: Sequence[str], *, what: str) -> tuple[str, ...]:
    """Names of models: one, or a list."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list):
        checker.problems.add(keys, f"{value!r}: expected names of models ({', '.join(known)})")
        return ()
    for name in names:
        if name not in known:
            checker.problems.add(keys, f"{name!r} is no {what} of this recipe; {nearest(str(name), known)}")
    return tuple(name for name in names if name in known)


def _seed(checker: Checker) -> int | None:
    """The seed of the recipe: of every model and its training, unless they say their own."""
    value = checker.document.value.get("seed")
    try:
        return None if value is None else typed(int, value)
    except ValueError as error:
        checker.problems.add(("seed",), f"{value!r}: {error}")
        return None


def _model(
    checker: Checker, given: Any, keys: Keys, seed: int | None, *, nested: bool = False
) -> Planned | None:
    if isinstance(given, str):
        given = {"class_path": given}
    if not isinstance(given, Mapping) or not isinstance(given.get("class_path"), str):
        expected = "a class name, or a mapping with class_path, init_args, fit, name and tune"
        checker.problems.add(keys, f"{given!r}: expected {expected}")
        return None
    allowed = MODEL_KEYS[:2] if nested else MODEL_KEYS
    for key in given:
        if key not in allowed:
            checker.problems.add((*keys, key), f"a model has no key {key!r}; {nearest(str(key), allowed)}")
    try:
        cls = find_model(given["class_path"], checker.trusted)
    except ValueError as error:
        checker.problems.add((*keys, "class_path"), str(error))
        return None
    known = arguments_of(cls, without=("features",))
    special = {name: _Nested(checker, of, seed) for name, of in known.items() if not plain(of.kind)}
    place = (*keys, "init_args")
    init = checker.arguments(given.get("init_args"), cls, place, without=("features",), special=special)
    training = checker.arguments(
        given.get("fit"), fit, (*keys, "fit"), without=_NOT_FIT, more=_preferred(cls)
    )
    if seed is not None:
        training.setdefault("seed", seed)
        if "seed" in known:
            init.setdefault("seed", seed)
    space = space_of(checker, given.get("tune"), cls, (*keys, "tune"))
    return Planned(str(given.get("name") or cls.__name__), cls, init, training, keys, space)


def _preferred(cls: type[nn.Module]) -> dict[str, Argument]:
    """The arguments of `fit` for which a model has defaults of its own."""
    own = getattr(cls, "defaults", None)
    known = arguments_of(fit, without=_NOT_FIT).values()
    return {a.name: replace(a, default=getattr(own, a.name)) for a in known if hasattr(own, a.name)}


class _Nested:
    """An argument that may be a model, given as {class_path, init_args}."""

    def __init__(self, checker: Checker, argument: Argument, seed: int | None) -> None:
        self.checker, self.argument, self.seed = checker, argument, seed

    def __call__(self, value: Any, keys: Keys) -> Any:
        if isinstance(value, Mapping) and "class_path" in value:
            return _model(self.checker, value, keys, self.seed, nested=True)
        kind = plain_part(self.argument.kind)
        try:
            if kind is not None:
                return typed(kind, value)
        except ValueError:
            pass
        expected = f"{words(self.argument.kind)}, as a mapping with class_path and init_args"
        self.checker.problems.add(keys, f"{value!r}: expected {expected}")
        return None
