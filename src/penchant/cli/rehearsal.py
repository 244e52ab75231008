"""A recipe rehearsed: all is built once and nothing learns, so that no training ends in a wrong number."""

from pathlib import Path
from typing import Any

from penchant.cli.document import Keys, Problems
from penchant.cli.recipe import Recipe
from penchant.cli.recipe_models import Planned
from penchant.data.events import read_events
from penchant.data.interactions import Interactions
from penchant.data.scan import open_table
from penchant.data.split import Split
from penchant.errors import ArgumentError, RecipeError, SplitError, nearest
from penchant.funnel import Funnel
from penchant.train.fit import planned as plan_of
from penchant.train.fit import preferences

_SMALL = 64 * 2**20  # bytes of a table that is read in passing


def _never(*_: Any, **__: Any) -> Any:
    raise AssertionError("a stand-in is asked nothing")


class _Stage:
    """Stands for a retriever or ranker that is not there yet: only the funnel's arguments are looked at."""

    retrieve = encode_user = score = _never


def rehearse(recipe: Recipe, log: Interactions, split: Split) -> None:
    """Builds every model, the plan of its training, a funnel of stand-ins, and a published setting's queries.

    Raises: RecipeError with everything that was refused, each with its line.
    """
    problems = Problems(recipe.document)
    for planned in recipe.models:
        try:
            recipe.build(planned, log.features)  # thrown away: another one is trained
        except RecipeError as error:
            problems.found.append(str(error).removeprefix(f"{recipe.document.path}: "))
        _fit(planned, problems)
    try:
        Funnel(
            retrieve=[_Stage() for _ in recipe.retrievers],
            rank=None if recipe.ranker is None else _Stage(),
            data=log,
            names=recipe.retrievers,
            **recipe.funnel,
        )
    except ArgumentError as error:
        problems.add(_place(("funnel",), error.name, recipe.funnel), str(error))
    if (setting := recipe.evaluate.get("setting")) is not None:
        try:
            setting.queries(split.test if recipe.part == "test" else split.valid)
        except SplitError as error:
            problems.add(("evaluate", "setting"), str(error))
    problems.stop()


def _fit(planned: Planned, problems: Problems) -> None:
    settings = {name: value for name, value in planned.fit.items() if name != "device"}
    if not hasattr(planned.cls, "loss"):
        return  # it is solved, not trained
    try:
        plan_of(preferences(planned.cls), settings)
    except ArgumentError as error:
        problems.add(_place((*planned.keys, "fit"), error.name, planned.fit), str(error))


def _place(keys: Keys, name: str, given: Any) -> Keys:
    return (*keys, name) if name in given else keys


def look_at_data(recipe: Recipe) -> Interactions | None:
    """The log, where it is read in a moment; None for a large table, of which the header is looked at.

    Raises: RecipeError for a column that the header lacks; DataError and others as reading the log does.
    """
    call = recipe.data
    source = call.arguments.get("source")
    if call.function is not read_events or not isinstance(source, Path):
        return recipe.data()
    if source.is_file() and source.stat().st_size <= _SMALL:
        return recipe.data()
    problems, columns = Problems(recipe.document), open_table(source).columns
    for name in ("user", "item", "time", "event"):
        column = call.arguments.get(name)
        if column is not None and column not in columns:
            problems.add((*call.keys, name), f"no column {column!r}; {nearest(str(column), columns)}")
    problems.stop()
    return None
