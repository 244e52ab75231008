"""Recipes: a YAML file whose keys are the arguments of penchant's own functions and classes.

data:     a store, or `read_events` arguments, or {dataset: NAME}
split:    {leave_last | time | user | item: arguments of split_*}
seed:     of all weights and draws, unless a model says its own
models:   class names, or {class_path, init_args, fit, name, tune}
funnel:   `Funnel` arguments; stages are names of models; rules: `Rules` arguments
evaluate: `evaluate` arguments; setting: the name of a published one; part, at; against: names of models,
          retrievers and rankers
report:   the page's file in the run's folder; false for none
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from torch import nn

from penchant.cli.changes import apply
from penchant.cli.checker import Call, Change, Checker
from penchant.cli.classes import refuse_strangers
from penchant.cli.document import Document, Keys, read_document
from penchant.cli.recipe_data import data_of, split_of
from penchant.cli.recipe_models import Planned, models_of, names_of
from penchant.cli.signature import Argument
from penchant.data.interactions import Features
from penchant.errors import ArgumentError, RecipeError, nearest
from penchant.evaluation import PublishedSetting, evaluate, setting
from penchant.evaluation.system import check_arguments
from penchant.funnel import Funnel, Rules

PartName = Literal["valid", "test"]
At = Literal["each", "cut"]
_KEYS = ("data", "split", "seed", "models", "funnel", "evaluate", "report")
_ASKED = {
    "part": Argument("part", PartName, "test"),
    "at": Argument("at", At, "each"),
    "against": Argument("against", Sequence[str], ()),
}


@dataclass(frozen=True)
class Recipe:
    """A recipe that was checked: everything in it exists and has the right type.

    Attributes:
        document: the file.
        data, split: how to get the log, and how to part it.
        models: in the order of the file.
        retrievers, ranker: names of the models that stand in the funnel.
        funnel, evaluate: further arguments of `Funnel` and `penchant.evaluate`.
        part, at: which questions to ask.
        against: names of the models to hold the funnel against.
        report: file name of the page, or None.
        changed: settings that differ from their defaults.
    """

    document: Document
    data: Call
    split: Call
    models: tuple[Planned, ...]
    retrievers: tuple[str, ...]
    ranker: str | None
    funnel: Mapping[str, Any]
    evaluate: Mapping[str, Any]
    part: PartName
    at: At
    against: tuple[str, ...]
    report: str | None
    changed: tuple[Change, ...]

    def build(self, planned: Planned, features: Features) -> nn.Module:
        """The model, untrained. RecipeError with the place where its constructor refuses an argument."""
        try:
            return planned.build(features)
        except ArgumentError as error:
            keys: Keys = planned.keys
            if error.name in planned.arguments:
                keys = (*keys, "init_args", error.name)
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
    checker = Checker(document, ("penchant", *trust))
    refuse_strangers(document, checker.trusted)
    value = document.value
    for key in value:
        if key not in _KEYS:
            checker.problems.add((key,), f"a recipe has no key {key!r}; {nearest(str(key), _KEYS)}")
    for key in ("data", "models"):
        if not value.get(key):
            checker.problems.add((), f"the key {key!r} is missing")
    data, split = data_of(checker, value.get("data", {})), split_of(checker, value.get("split"))
    models = models_of(checker, value.get("models"))
    funnel = _funnel(checker, value.get("funnel"), models)
    retrievers, ranker = funnel.pop("retrieve"), funnel.pop("rank")
    others = [model.name for model in models if model.ranks and model.name not in (*retrievers, ranker)]
    asked = _evaluate(checker, value.get("evaluate"), models, others if ranker is not None else [])
    alone = len(retrievers) == 1 and ranker is None
    beside = () if ranker is None else tuple(others)
    defaults: dict[str, Any] = {"part": "test", "at": "each", "against": () if alone else retrievers + beside}
    asked = defaults | asked
    report = _report(checker, value.get("report", "report.html"))
    checker.problems.stop()
    return Recipe(
        document, data, split, models, retrievers, ranker, funnel,
        part=asked.pop("part"), at=asked.pop("at"), against=asked.pop("against"), evaluate=asked,
        report=report, changed=tuple(checker.changed),
    )  # fmt: skip


def _funnel(checker: Checker, given: Any, models: Sequence[Planned]) -> dict[str, Any]:
    """Arguments of `Funnel`, with the names of the retrievers and of the ranker (or None)."""
    keys: Keys = ("funnel",)
    retrieving = [model.name for model in models if model.retrieves]
    ranking = [model.name for model in models if model.ranks]

    def retrieve(value: Any, place: Keys) -> tuple[str, ...]:
        return names_of(checker, value, place, retrieving, what="retriever")

    def rank(value: Any, place: Keys) -> tuple[str, ...]:
        return () if value is None else names_of(checker, value, place, ranking, what="ranker")

    if given is None or isinstance(given, Mapping):
        given = {"retrieve": retrieving} | dict(given or {})

    def rules(value: Any, place: Keys) -> Rules | None:
        known = [each.name for each in fields(Rules)]
        given: Any = value if isinstance(value, Mapping) else {} if value is None else {str(value): None}
        strange = [name for name in given if name not in known]
        for name in strange:
            checker.problems.add(place, f"rules have no {name!r}; {nearest(str(name), known)}")
        try:
            return None if value is None or strange else Rules(**given)
        except ArgumentError as error:
            checker.problems.add((*place, error.name), str(error))

    special = {"retrieve": retrieve, "rank": rank, "rules": rules}
    done = checker.arguments(given, Funnel, keys, without=("data", "names"), special=special)
    retrievers = tuple(done.setdefault("retrieve", ()))
    rankers = done.get("rank", [name for name in ranking if name not in retrievers])
    if len(rankers) > 1:
        checker.problems.add(keys, f"which one ranks? Say rank: NAME; rankers: {', '.join(rankers)}")
    if models and not retrieving:
        checker.problems.add(keys, "no retriever among the models: add one, such as Popularity")
    return done | {"retrieve": retrievers, "rank": next(iter(rankers), None)}


def _evaluate(
    checker: Checker, given: Any, models: Sequence[Planned], rankers: Sequence[str]
) -> dict[str, Any]:
    """Arguments of `evaluate`, and what is asked of whom; `rankers` stand beside the funnel's own."""
    retrieving = [model.name for model in models if model.retrieves]

    def against(value: Any, place: Keys) -> tuple[str, ...]:
        what = "retriever or further ranker" if rankers else "retriever"
        return names_of(checker, value, place, [*retrieving, *rankers], what=what)

    def published(value: Any, place: Keys) -> PublishedSetting | None:
        try:
            return setting(value)
        except ArgumentError as error:
            checker.problems.add(place, f"{value!r}: expected {error.expected}")

    without, special = ("system", "queries", "against"), {"against": against, "setting": published}
    done = checker.arguments(given, evaluate, ("evaluate",), without=without, special=special, more=_ASKED)
    try:
        check_arguments(**done)
    except ArgumentError as error:
        checker.problems.add(("evaluate", error.name), str(error))
    return done


def _report(checker: Checker, value: Any) -> str | None:
    if value is False or value is None:
        return None
    if not isinstance(value, str) or Path(value).name != value or not value.endswith(".html"):
        expected = "a file name that ends in .html, in the run's folder; or false"
        checker.problems.add(("report",), f"{value!r}: expected {expected}")
    return str(value)
