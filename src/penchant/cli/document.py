"""A YAML file as plain values that know their line, with settings changed from the command line."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from penchant.errors import RecipeError

Keys: TypeAlias = tuple[str | int, ...]
_DEPTH = 20
_NODES = 10_000  # more than any recipe has; aliases can make a small file stand for billions


@dataclass
class Problems:
    """What is wrong with a document, found in one pass."""

    document: "Document"
    found: list[str] = field(default_factory=list[str])

    def add(self, keys: Keys, what: str) -> None:
        """Something is wrong at `keys`."""
        problem = f"{self.document.where(keys)}: {what}"
        if problem not in self.found:
            self.found.append(problem)

    def stop(self) -> None:
        """RecipeError with all that was found, if anything was."""
        if self.found:
            head = f"{self.document.path}: {len(self.found)} problem{'s' * (len(self.found) != 1)}."
            raise RecipeError(
                "\n".join([head, *(f"  {i}. {problem}" for i, problem in enumerate(self.found, 1))])
            )


@dataclass
class Document:
    """A YAML file.

    Attributes:
        path: the file.
        value: what it says, as dicts, lists, strings and numbers.
        lines: the line of every key, from 1; for what `change` brought, the words that brought it.
    """

    path: Path
    value: dict[str, Any]
    lines: dict[Keys, int | str]

    @property
    def folder(self) -> Path:
        """What paths in the file are relative to."""
        return self.path.parent

    def where(self, keys: Keys) -> str:
        """A place in the file for people: "line 12, models[1].init_args.width"."""
        known = next((keys[:n] for n in range(len(keys), 0, -1) if keys[:n] in self.lines), None)
        line = None if known is None else self.lines[known]
        place = dotted(keys)
        if isinstance(line, str):
            return f"{line}: {place}"
        return f"line {line}, {place}" if line is not None else place or "the file"

    def change(self, keys: Keys, value: Any, *, by: str) -> None:
        """Sets `keys` to `value`; `by` says who wanted it."""
        at: Any = self.value
        for place, key in enumerate(keys, 1):
            there = _keys_of(at)
            if key not in there and not isinstance(at, dict):
                raise RecipeError(f"{by}: {self.path} has no {dotted(keys[:place])}.")
            if place == len(keys):
                at[key] = value
                self.lines[keys] = by
            elif key not in there or at[key] is None:
                at[key] = {}
                self.lines[keys[:place]] = by
            at = at[key]


def _keys_of(value: Any) -> Collection[Any]:
    """What may stand in brackets behind `value`."""
    return value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()


def dotted(keys: Keys) -> str:
    """`models[1].init_args.width`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return text.removeprefix(".")


def read_document(path: Path) -> Document:
    """Reads a YAML file without running anything that it says.

    Raises: RecipeError if it cannot be read, is no YAML mapping, or says a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such file.{_neighbours(path)}") from None
    except IsADirectoryError:
        fix = f"give a YAML file; a store stands in one under data, as in `data: {path}`"
        raise RecipeError(f"{path}: a folder, not a recipe.\n  Fix: {fix}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error}).") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}"
        what = getattr(error, "problem", None) or str(error)
        raise RecipeError(f"{path}{where}: not YAML ({what}).") from None
    if not isinstance(value, dict):
        raise RecipeError(
            f"{path}: expected a mapping with the keys data, split and models, found {type(value).__name__}."
        )
    document = Document(path, value, {})
    problems = Problems(document)
    for count, (keys, line, twice) in enumerate(_keys(node, ())):
        if count > _NODES:
            raise RecipeError(f"{path}: more than {_NODES:,} settings; no recipe needs that many.")
        if twice:
            problems.add(keys, f"said twice (line {document.lines[keys]} and line {line})")
        document.lines[keys] = line
    problems.stop()
    return document


def _neighbours(path: Path) -> str:
    there = sorted(file.name for file in path.parent.glob("*.y*ml"))[:8] if path.parent.is_dir() else []
    return f"\n  Fix: give a YAML file; in {path.parent}/ there are: {', '.join(there)}." if there else ""


def _keys(node: Any, above: Keys) -> Iterator[tuple[Keys, int, bool]]:
    """Every key path with its line, and whether it stood in the same mapping before."""
    if len(above) > _DEPTH:  # an alias inside itself has no end
        raise RecipeError(f"{dotted(above[:3])}...: nested more than {_DEPTH} deep.")
    if isinstance(node, yaml.MappingNode):
        before: set[str] = set()
        for key, inner in node.value:
            keys = (*above, str(key.value))
            yield keys, key.start_mark.line + 1, key.value in before
            before.add(key.value)
            yield from _keys(inner, keys)
    elif isinstance(node, yaml.SequenceNode):
        for place, inner in enumerate(node.value):
            yield (*above, place), inner.start_mark.line + 1, False
            yield from _keys(inner, (*above, place))


def parse_value(text: str) -> Any:
    """A value as YAML reads it; text that is no YAML is that text."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def walk(value: Any, above: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Every value below `value` with its key path, `value` first."""
    yield above, value
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from walk(inner, (*above, key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for place, inner in enumerate(value):
            yield from walk(inner, (*above, place))
