"""Settings held against real signatures: the arguments of a function or class are the only list of keys."""

import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Union

from jsonargparse import ArgumentError, ArgumentParser

from penchant.cli.document import Keys, Problems

Special = Callable[[Any, Keys], Any]
"""Checks one argument that is no plain value: takes it and its place, answers what the function gets."""
REQUIRED = inspect.Parameter.empty
_PLAIN = (int, float, str, bool, type(None), Path, date, datetime)


@dataclass(frozen=True)
class Argument:
    """An argument of a function or constructor: name, type, default (`REQUIRED` where there is none)."""

    name: str
    kind: Any
    default: Any


def arguments_of(function: Callable[..., Any], *, without: Collection[str] = ()) -> dict[str, Argument]:
    """The arguments of `function` by name, in order; those `without` left out."""
    real = function.__init__ if inspect.isclass(function) else function
    hints = typing.get_type_hints(real)
    named = inspect.signature(function).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {
        p.name: Argument(p.name, hints.get(p.name, Any), p.default)
        for p in named
        if p.kind in kinds and p.name not in without
    }


def check(
    given: Any,
    known: Mapping[str, Argument],
    keys: Keys,
    problems: Problems,
    *,
    of: str,
    special: Mapping[str, Special] | None = None,
) -> dict[str, Any]:
    """The settings `given` with the types of the arguments; what is wrong goes to `problems`.

    Args:
        given: a mapping from a recipe; None counts as empty.
        known: the arguments.
        keys: where `given` stands.
        problems: what is wrong, with its place.
        of: what the arguments belong to, for messages.
        special: checkers of single arguments that take the value and its place.
    """
    special = special or {}
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        problems.add(keys, f"{given!r}: expected the arguments of {of} as a mapping ({', '.join(known)})")
        return {}
    done: dict[str, Any] = {}
    for name, value in given.items():
        place = (*keys, name)
        if name not in known:
            problems.add(place, f"{of} has no argument {name!r}; {_suggest(str(name), known)}")
        elif name in special:
            done[name] = special[name](value, place)
        else:
            try:
                done[name] = typed(known[name].kind, value)
            except ValueError as error:
                problems.add(place, f"{value!r}: {error}")
    missing = [a.name for a in known.values() if a.default is REQUIRED and a.name not in given]
    if missing:
        problems.add(keys, f"{of} needs {', '.join(missing)}")
    return done


def _suggest(name: str, known: Mapping[str, Argument]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return (
        f"did you mean {close[0]!r}?"
        if close
        else f"it has: {', '.join(known) or 'none that a recipe can set'}"
    )


def typed(kind: Any, value: Any) -> Any:
    """`value` as the type `kind`, by jsonargparse.

    Only plain types get there: jsonargparse imports what strings name where a class or function is wanted.

    Raises: ValueError that says what was expected.
    """
    if not plain(kind):
        raise ValueError(f"expected {words(kind)}, which a recipe cannot hold")
    if isinstance(value, bool) and not _takes(kind, bool):
        raise ValueError(f"expected {words(kind)}")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=kind)
    try:
        return parser.parse_object({"value": value}).value
    except ArgumentError:
        close = get_close_matches(str(value), [str(choice) for choice in _choices(kind)], n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(f"expected {words(kind)}{hint}") from None


def _takes(kind: Any, wanted: type) -> bool:
    return (
        kind is Any
        or kind is wanted
        or any(_takes(inner, wanted) for inner in typing.get_args(kind) if _union(kind))
    )


def _union(kind: Any) -> bool:
    return typing.get_origin(kind) in (Union, types.UnionType)


def _choices(kind: Any) -> list[object]:
    if typing.get_origin(kind) is Literal:
        return list(typing.get_args(kind))
    return [choice for inner in typing.get_args(kind) for choice in _choices(inner)] if _union(kind) else []


def plain(kind: Any) -> bool:
    """Whether a type is made of JSON's values, paths and dates alone."""
    origin = typing.get_origin(kind)
    if kind is Any or kind in _PLAIN or origin is Literal:
        return True
    if origin is None:
        return kind in (list, tuple, dict)
    return (
        origin is not type
        and all(plain(inner) for inner in typing.get_args(kind) if inner is not ...)
        and (_union(kind) or issubclass(origin, list | tuple | Mapping | Collection))
    )


def plain_part(kind: Any) -> Any:
    """The plain members of a union, or the type itself; None where nothing is plain."""
    if not _union(kind):
        return kind if plain(kind) else None
    members = [member for member in typing.get_args(kind) if plain(member)]
    return Union[tuple(members)] if members else None  # noqa: UP007


def words(kind: Any) -> str:
    """A type for people: "an integer", "'a' or 'b'", "a list of numbers"."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return "any value"
    if origin is Literal:
        return " or ".join(repr(choice) for choice in inner)
    if _union(kind):
        return " or ".join(dict.fromkeys(words(member) for member in inner))
    simple = {
        int: "an integer", float: "a number", str: "text", bool: "true or false", type(None): "null",
        Path: "a path", date: "a date", datetime: "a time",
        list: "a list", tuple: "a list", dict: "a mapping",
    }  # fmt: skip
    if kind in simple:
        return simple[kind]
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return "a mapping"
    if inspect.isclass(origin) and issubclass(origin, Collection):
        return (
            f"a list of {words(inner[0]).removeprefix('a ').removeprefix('an ')}s"
            if inner and inner[0] is not str
            else "a list of text"
        )
    return f"a {getattr(kind, '__name__', kind)}"
