"""The parts `data` and `split` of a recipe."""

from collections.abc import Callable, Mapping
from typing import Any

from penchant.cli.checker import Call, Checker
from penchant.cli.columns import context_of
from penchant.cli.document import Keys
from penchant.data import datasets, split_by_item, split_by_time, split_by_user, split_leave_last
from penchant.data.events import items, read_events, users
from penchant.data.labels import label_of
from penchant.data.scan import neighbours
from penchant.data.split import Split
from penchant.data.store import open_log
from penchant.errors import ArgumentError, nearest

SPLITS: dict[str, Callable[..., Split]] = {
    "leave_last": split_leave_last,
    "time": split_by_time,
    "user": split_by_user,
    "item": split_by_item,
}


def data_of(checker: Checker, given: Any) -> Call:
    """How to get the log: a store, a data set by name, or an event table."""
    keys: Keys = ("data",)
    if isinstance(given, str):
        return Call(open_log, {"path": checker.document.folder / given}, keys)
    special = {
        "source": _Path(checker),
        "folder": _Path(checker),
        "label": _Column(checker, label_of),
        "context": _Columns(checker),
        "items": _Table(checker, items),
        "users": _Table(checker, users),
    }
    function: Callable[..., Any] = read_events
    if isinstance(given, Mapping) and "dataset" in given:
        named = {public.replace("_", "-"): getattr(datasets, public) for public in datasets.__all__}
        name = str(given["dataset"]).replace("_", "-")
        if name not in named:
            checker.problems.add(
                (*keys, "dataset"), f"no data set {given['dataset']!r}; {nearest(name, list(named))}"
            )
            return Call(read_events, {}, keys)
        function, given = named[name], {key: value for key, value in given.items() if key != "dataset"}
    return Call(function, checker.arguments(given, function, keys, special=special), keys)


def split_of(checker: Checker, given: Any) -> Call:
    """How to part the log: the name of a split, or {NAME: arguments}; by time where nothing is said."""
    keys: Keys = ("split",)
    given = "time" if given is None else given
    given = {given: None} if isinstance(given, str) else given
    nothing = Call(split_by_time, {}, keys)
    if not isinstance(given, Mapping) or len(given) != 1:
        checker.problems.add(keys, f"{given!r}: expected one of {', '.join(SPLITS)}")
        return nothing
    ((name, inner),) = given.items()
    keys = (*keys, name)
    if name not in SPLITS:
        checker.problems.add(keys, f"there is no split {name!r}; {nearest(str(name), list(SPLITS))}")
        return nothing
    return Call(SPLITS[name], checker.arguments(inner, SPLITS[name], keys, without=("log",)), keys)


class _Path:
    """A path relative to the recipe; it must be there, unless it is a pattern."""

    def __init__(self, checker: Checker) -> None:
        self.checker = checker

    def __call__(self, value: Any, keys: Keys) -> Any:
        if not isinstance(value, str):
            self.checker.problems.add(keys, f"{value!r}: expected a path")
            return None
        path = self.checker.document.folder / value
        if not path.exists() and not any(sign in value for sign in "*?["):
            self.checker.problems.add(keys, f"{value!r}: no such file: {path}{neighbours(path)}")
        return path


class _Column:
    """A column, or a rule on one, as it is written."""

    def __init__(self, checker: Checker, read: Callable[[Any], Any]) -> None:
        self.checker, self.read = checker, read

    def __call__(self, value: Any, keys: Keys) -> Any:
        try:
            return self.read(value)
        except ArgumentError as error:
            self.checker.problems.add(keys, f"{value!r}: expected {error.expected}")


class _Columns:
    """A list of context columns."""

    def __init__(self, checker: Checker) -> None:
        self.checker, self.one = checker, _Column(checker, context_of)

    def __call__(self, value: Any, keys: Keys) -> Any:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list):
            self.checker.problems.add(keys, f"{value!r}: expected a list of columns")
            return ()
        return [self.one(name, (*keys, place)) for place, name in enumerate(names)]


class _Table:
    """The arguments of `items` or `users`."""

    def __init__(self, checker: Checker, function: Callable[..., Any]) -> None:
        self.checker, self.function = checker, function

    def __call__(self, value: Any, keys: Keys) -> Any:
        before = len(self.checker.problems.found)
        special = {"source": _Path(self.checker)}
        done = self.checker.arguments(value, self.function, keys, special=special)
        if len(self.checker.problems.found) > before:
            return None
        try:
            return self.function(**done)
        except ArgumentError as error:
            self.checker.problems.add((*keys, error.name), str(error))
