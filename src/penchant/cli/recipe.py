"""Recipes: a YAML file whose keys are the arguments of penchant's own functions and classes.

data:     a store, or `read_events` arguments, or {dataset: NAME}
split:    {leave_last | time | user | item: arguments of split_*}
seed:     of all weights and draws, unless a model says its own
models:   class names, or {class_path, init_args, fit, name}
funnel:   `Funnel` arguments; stages are names of models
evaluate: `evaluate` arguments; part, at; against: names of models
report:   the page's file in the run's folder; false for none
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import nn

from penchant.cli.changes import MODEL_KEYS, apply, name_of
from penchant.cli.classes import find_model, refuse_strangers
from penchant.cli.document import Document, Keys, Problems, read_document
from penchant.cli.signature import REQUIRED, Argument, arguments_of, check, plain, plain_part, typed, words
from penchant.data import datasets, split_by_item, split_by_time, split_by_user, split_leave_last
from penchant.data.events import at_least, categorical, items, read_events, users
from penchant.data.interactions import Features
from penchant.data.split import Split
from penchant.data.store import open_log
from penchant.errors import ArgumentError, RecipeError, nearest
from penchant.evaluation import evaluate
from penchant.funnel import Funnel
from penchant.train import fit

SPLITS: dict[str, Callable[..., Split]] = {
    "leave_last": split_leave_last,
    "time": split_by_time,
    "user": split_by_user,
    "item": split_by_item,
}
_TOP = ("data", "split", "seed", "models", "funnel", "evaluate", "report")
_RULE = re.compile(r"\s*(?P<column>.+?)\s*>=\s*(?P<threshold>[-+.\deE]+)\s*")
# what `penchant train` decides itself, and what no recipe can hold
_NOT_FIT = ("model", "split", "valid", "weigher", "checkpoint", "resume", "callbacks", "progress")
_NOT_EVALUATE = ("system", "queries", "against")


@dataclass(frozen=True)
class Call:
    """A function, the arguments that a recipe gives it, and where they stand."""

    function: Callable[..., Any]
    arguments: Mapping[str, Any]
    keys: Keys

    def __call__(self, *first: Any, **more: Any) -> Any:
        """The function's answer."""
        return self.function(*first, **{**self.arguments, **more})


@dataclass(frozen=True)
class Planned:
    """A model of a recipe: its class, the arguments of its constructor (some `Planned` themselves) and of `fit`."""

    name: str
    cls: type[nn.Module]
    arguments: Mapping[str, Any]
    fit: Mapping[str, Any]
    keys: Keys

    @property
    def retrieves(self) -> bool:
        """Whether it can stand in the first stage."""
        return hasattr(self.cls, "retrieve")

    @property
    def ranks(self) -> bool:
        """Whether it can stand in the last stage."""
        return hasattr(self.cls, "encode_user") and hasattr(self.cls, "score")


@dataclass(frozen=True)
class Recipe:
    """A recipe that was checked: everything in it exists and has the right type.

    Attributes:
        document: the file.
        data, split: how to get the log, and how to part it.
        models: in the order of the file.
        stages: names of the retrievers, and of the ranker if there is one.
        funnel, evaluate: further arguments of `Funnel` and `penchant.evaluate`.
        part, at: which questions to ask.
        against: names of the models to hold the funnel against.
        report: file name of the page, or None.
        changed: settings that differ from their defaults: (place, setting, value, default).
    """

    document: Document
    data: Call
    split: Call
    models: tuple[Planned, ...]
    stages: tuple[tuple[str, ...], str | None]
    funnel: Mapping[str, Any]
    evaluate: Mapping[str, Any]
    part: str
    at: str
    against: tuple[str, ...]
    report: str | None
    changed: tuple[tuple[str, str, Any, Any], ...]

    def build(self, planned: Planned, features: Features) -> nn.Module:
        """The model, untrained. RecipeError with the place where its constructor refuses an argument."""
        given = {
            name: self.build(value, features) if isinstance(value, Planned) else value
            for name, value in planned.arguments.items()
        }
        if "features" in arguments_of(planned.cls):
            given["features"] = features
        try:
            return planned.cls(**given)
        except ArgumentError as error:
            keys = (
                (*planned.keys, "init_args", error.name) if error.name in planned.arguments else planned.keys
            )
            raise RecipeError(f"{self.document.path}: {self.document.where(keys)}: {error}") from error


def read_recipe(path: Path, *, changes: Sequence[str] = (), trust: Sequence[str] = ()) -> Recipe:
    """Reads and checks a recipe.

    Args:
        path: a YAML file.
        changes: settings to change, each "KEY=VALUE" as `penchant train --set` takes them.
        trust: packages beside penchant whose classes may be imported.

    Raises:
        RecipeError: everything that is wrong with it, each with its line.
        TrustError: a class_path outside the trusted packages; nothing was imported.
    """
    document = read_document(path)
    for change in changes:
        apply(document, change)
    return _Reader(document, ("penchant", *trust)).recipe()


# -- reading -----------------------------------------------------------------------------------------------


@dataclass
class _Reader:
    document: Document
    trusted: tuple[str, ...]
    problems: Problems = field(init=False)
    changed: list[tuple[str, str, Any, Any]] = field(default_factory=list[tuple[str, str, Any, Any]])

    def __post_init__(self) -> None:
        self.problems = Problems(self.document)

    def recipe(self) -> Recipe:
        value = self.document.value
        refuse_strangers(self.document, self.trusted)
        for key in value:
            if key not in _TOP:
                self.problems.add((key,), f"a recipe has no key {key!r}; {nearest(str(key), _TOP)}")
        for key in ("data", "models"):
            if not value.get(key):
                self.problems.add((), f"the key {key!r} is missing")
        data, split, models = (
            self._data(value.get("data")),
            self._split(value.get("split")),
            self._models(value.get("models")),
        )
        stages, funnel = self._funnel(value.get("funnel"), models)
        asked = self._evaluate(value.get("evaluate"), models, stages[0])
        report = value.get("report", "report.html")
        if report is not False and (not isinstance(report, str) or Path(report).name != report):
            self.problems.add(("report",), f"{report!r}: expected a file name in the run's folder, or false")
        self.problems.stop()
        assert data is not None
        assert split is not None
        part, at, against = asked.pop("part", "test"), asked.pop("at", "each"), asked.pop("against")
        return Recipe(
            self.document,
            data,
            split,
            models,
            stages,
            funnel,
            asked,
            part,
            at,
            against,
            report or None,
            tuple(self.changed),
        )

    def _check(self, given: Any, function: Callable[..., Any], keys: Keys, **more: Any) -> dict[str, Any]:
        """Arguments of `function`; those that differ from their defaults are noted."""
        more.setdefault("of", function.__name__)
        known = arguments_of(function, without=more.pop("without", ()))
        done = check(given, known, keys, self.problems, **more)
        for name, value in done.items():
            self._note(keys, name, value, known[name].default)
        return done

    def _note(self, keys: Keys, name: str, value: Any, default: Any) -> None:
        if default is not REQUIRED and not callable(value) and value != default:
            self.changed.append((_place(keys, self.document), name, value, default))

    # -- data and split --

    def _data(self, given: Any) -> Call | None:
        keys: Keys = ("data",)
        if isinstance(given, str):
            return Call(open_log, {"path": self.document.folder / given}, keys)
        special = {
            "source": self._path,
            "folder": self._path,
            "label": self._label,
            "context": self._context,
            "items": lambda value, place: self._table(items, value, place),
            "users": lambda value, place: self._table(users, value, place),
        }
        function: Callable[..., Any] = read_events
        if isinstance(given, Mapping) and "dataset" in given:
            name = str(given["dataset"]).replace("-", "_")
            if name not in datasets.__all__:
                known = [public.replace("_", "-") for public in datasets.__all__]
                told = f"no data set {given['dataset']!r}; {nearest(str(given['dataset']), known)}"
                self.problems.add((*keys, "dataset"), told)
                return None
            function, given = getattr(datasets, name), {k: v for k, v in given.items() if k != "dataset"}
        return Call(function, self._check(given, function, keys, special=special), keys)

    def _path(self, value: Any, keys: Keys) -> Any:
        if not isinstance(value, str):
            self.problems.add(keys, f"{value!r}: expected a path")
            return None
        path = self.document.folder / value
        if not path.exists() and not any(sign in value for sign in "*?["):
            self.problems.add(keys, f"{value!r}: no such file ({path})")
        return path

    def _label(self, value: Any, keys: Keys) -> Any:
        try:
            return rule(value)
        except ArgumentError as error:
            self.problems.add(keys, f"{value!r}: expected {error.expected}")

    def _context(self, value: Any, keys: Keys) -> Any:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self.problems.add(keys, f"{value!r}: expected a list of columns, such as [price, hour=category]")
            return ()
        return [column(name) for name in names]

    def _table(self, function: Callable[..., Any], given: Any, keys: Keys) -> Any:
        before = len(self.problems.found)
        done = self._check(given, function, keys, special={"source": self._path})
        return function(**done) if len(self.problems.found) == before else None

    def _split(self, given: Any) -> Call | None:
        keys: Keys = ("split",)
        if given is None:
            given = "time"
        if isinstance(given, str):
            given = {given: None}
        if not isinstance(given, Mapping) or len(given) != 1:
            self.problems.add(keys, f"{given!r}: expected one of {', '.join(SPLITS)}")
            return None
        ((name, inner),) = given.items()
        if name not in SPLITS:
            self.problems.add(
                (*keys, name), f"there is no split {name!r}; {nearest(str(name), list(SPLITS))}"
            )
            return None
        place = (*keys, name)
        return Call(SPLITS[name], self._check(inner, SPLITS[name], place, without=("log",)), place)

    # -- models --

    def _models(self, given: Any) -> tuple[Planned, ...]:
        if given is None:
            return ()
        if not isinstance(given, list):
            self.problems.add(("models",), f"{given!r}: expected a list of models")
            return ()
        found = [self._model(model, ("models", place)) for place, model in enumerate(given)]
        models = [model for model in found if model is not None]
        for place, model in enumerate(models):
            if model.name in [other.name for other in models[:place]]:
                self.problems.add(
                    model.keys, f"a second model named {model.name!r}: give it a `name` of its own"
                )
        return tuple(models)

    def _model(self, given: Any, keys: Keys, *, nested: bool = False) -> Planned | None:
        if isinstance(given, str):
            given = {"class_path": given}
        if not isinstance(given, Mapping) or not isinstance(given.get("class_path"), str):
            self.problems.add(
                keys,
                f"{given!r}: expected a class name, or a mapping with class_path, init_args, fit and name",
            )
            return None
        allowed = MODEL_KEYS[:2] if nested else MODEL_KEYS
        for key in given:
            if key not in allowed:
                self.problems.add((*keys, key), f"a model has no key {key!r}; {nearest(str(key), allowed)}")
        cls = self._class(given["class_path"], (*keys, "class_path"))
        if cls is None:
            return None
        known = arguments_of(cls, without=("features",))
        place = (*keys, "init_args")
        special = {
            name: lambda v, k, a=a: self._nested(v, k, a) for name, a in known.items() if not plain(a.kind)
        }
        init = self._check(given.get("init_args"), cls, place, without=("features",), special=special)
        training = self._check(given.get("fit"), fit, (*keys, "fit"), without=_NOT_FIT)
        seed = self.document.value.get("seed")
        if seed is not None:
            seed = self._seed(seed)
            training.setdefault("seed", seed)
            if "seed" in known:
                init.setdefault("seed", seed)
        return Planned(str(given.get("name") or cls.__name__), cls, init, training, keys)

    def _seed(self, value: Any) -> int:
        try:
            return typed(int, value)
        except ValueError as error:
            self.problems.add(("seed",), f"{value!r}: {error}")
            return 0

    def _nested(self, value: Any, keys: Keys, argument: Argument) -> Any:
        """An argument that may be a model or part of one, given as {class_path, init_args}."""
        if isinstance(value, Mapping) and "class_path" in value:
            return self._model(value, keys, nested=True)
        part = plain_part(argument.kind)
        try:
            if part is not None:
                return typed(part, value)
        except ValueError:
            pass
        self.problems.add(
            keys, f"{value!r}: expected {words(argument.kind)}, as a mapping with class_path and init_args"
        )
        return None

    def _class(self, path: str, keys: Keys) -> type[nn.Module] | None:
        try:
            return find_model(path, self.trusted)
        except ValueError as error:
            self.problems.add(keys, str(error))
            return None

    # -- funnel and evaluation --

    def _funnel(
        self, given: Any, models: Sequence[Planned]
    ) -> tuple[tuple[tuple[str, ...], str | None], dict[str, Any]]:
        keys: Keys = ("funnel",)
        special = {
            "retrieve": lambda value, place: self._names(
                value, place, [m.name for m in models if m.retrieves], "retriever"
            ),
            "rank": lambda value, place: (
                None
                if value is None
                else self._names(value, place, [m.name for m in models if m.ranks], "ranker")
            ),
        }
        given = {
            "retrieve": [m.name for m in models if m.retrieves],
            **(given if isinstance(given, Mapping) else {}),
        }
        done = self._check(given, Funnel, keys, without=("data", "names"), special=special)
        retrievers, ranker = tuple(done.pop("retrieve")), done.pop("rank", ())
        if "rank" not in given:
            ranker = [m.name for m in models if m.ranks and m.name not in retrievers]
        if len(ranker or ()) > 1:
            self.problems.add(keys, f"which one ranks? Say rank: NAME; rankers: {', '.join(ranker)}")
        if models and not retrievers:
            self.problems.add(keys, "no retriever among the models: add one, such as Popularity")
        return (retrievers, next(iter(ranker or ()), None)), done

    def _names(self, value: Any, keys: Keys, known: Sequence[str], what: str) -> tuple[str, ...]:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list):
            self.problems.add(keys, f"{value!r}: expected names of models ({', '.join(known)})")
            return ()
        for name in names:
            if name not in known:
                self.problems.add(keys, f"{name!r} is no {what} of this recipe; {nearest(str(name), known)}")
        return tuple(name for name in names if name in known)

    def _evaluate(self, given: Any, models: Sequence[Planned], retrievers: Sequence[str]) -> dict[str, Any]:
        keys: Keys = ("evaluate",)
        known = arguments_of(evaluate, without=_NOT_EVALUATE) | {
            "part": Argument("part", Literal["valid", "test"], "test"),
            "at": Argument("at", Literal["each", "cut"], "each"),
            "against": Argument("against", Sequence[str], ()),
        }
        special = {
            "against": lambda value, place: self._names(
                value, place, [m.name for m in models if m.retrieves], "retriever"
            )
        }
        done = check(given, known, keys, self.problems, of="evaluate", special=special)
        for name, value in done.items():
            self._note(keys, name, value, known[name].default)
        alone = len(retrievers) == 1 and not any(m.ranks for m in models)
        done.setdefault("against", () if alone else tuple(retrievers))
        return done


def _place(keys: Keys, document: Document) -> str:
    words = [str(key) for key in keys]
    if keys[0] == "models":
        words[1:3] = [
            name_of(document.value["models"][keys[1]]),
            *([] if keys[2] == "init_args" else [str(keys[2])]),
        ]
    return ".".join(words)


def column(text: str) -> Any:
    """A context column of the command line or a recipe: "price", or "hour=category" where numbers are names."""
    name, _, kind = text.partition("=")
    if kind not in ("", "category"):
        raise ArgumentError(
            "context", text, expected="'COLUMN', or 'COLUMN=category' where numbers are names"
        )
    return categorical(name) if kind else name


def rule(text: Any) -> Any:
    """A label rule of the command line or a recipe: "rating>=4", or the name of a column of 0 and 1."""
    if not isinstance(text, str) or not text.strip():
        raise ArgumentError("label", text, expected="'COLUMN>=NUMBER' or the name of a column of 0 and 1")
    if not any(sign in text for sign in "<>="):
        return text
    found = _RULE.fullmatch(text)
    try:
        if found is not None:
            return at_least(found["column"], float(found["threshold"]))
    except ValueError:
        pass
    raise ArgumentError("label", text, expected="'COLUMN>=NUMBER' or the name of a column of 0 and 1")
