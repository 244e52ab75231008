"""A recipe under examination: its document, what is wrong with it, and what differs from a default."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penchant.cli.changes import name_of
from penchant.cli.document import Document, Keys, Problems
from penchant.cli.signature import REQUIRED, Argument, Special, arguments_of, check


@dataclass(frozen=True)
class Call:
    """A function, the arguments that a recipe gives it, and where they stand."""

    function: Callable[..., Any]
    arguments: Mapping[str, Any]
    keys: Keys

    def __call__(self, *first: Any) -> Any:
        """The function's answer."""
        return self.function(*first, **self.arguments)


@dataclass(frozen=True)
class Change:
    """A setting that differs from its default.

    Attributes:
        setting: its place, as `--set` takes it.
        value, default: what it is, and what it would be.
    """

    setting: str
    value: Any
    default: Any


@dataclass
class Checker:
    """Collects what is wrong with a recipe and what it changes.

    Attributes:
        document: the recipe.
        trusted: packages whose classes it may name.
        problems: what is wrong.
        changed: settings that differ from their defaults.
    """

    document: Document
    trusted: tuple[str, ...]
    problems: Problems = field(init=False)
    changed: list[Change] = field(default_factory=list[Change])

    def __post_init__(self) -> None:
        self.problems = Problems(self.document)

    def arguments(
        self,
        given: Any,
        function: Callable[..., Any],
        keys: Keys,
        *,
        without: Sequence[str] = (),
        special: Mapping[str, Special] | None = None,
        more: Mapping[str, Argument] | None = None,
    ) -> dict[str, Any]:
        """The arguments `given` for `function` at `keys`, checked; those that differ from defaults are noted.

        Args:
            given: from the recipe.
            function: whose signature counts.
            keys: where they stand.
            without: arguments that a recipe cannot set.
            special: checkers of single arguments.
            more: settings beside the function's own.
        """
        known = arguments_of(function, without=without) | dict(more or {})
        done = check(given, known, keys, self.problems, of=function.__name__, special=special)
        for name, value in done.items():
            default = known[name].default
            if default is REQUIRED or (default is None and keys[0] == "data"):
                continue  # what a column is called is no setting with a default
            if not callable(value) and _plain(value) != _plain(default):
                self.changed.append(Change(f"{self._setting(keys)}.{name}", value, default))
        return done

    def _setting(self, keys: Keys) -> str:
        """`models[1].init_args` as `models.SASRec`."""
        if keys[0] != "models" or len(keys) < 3:
            return ".".join(map(str, keys))
        inner = keys[3:] if keys[2] == "init_args" else keys[2:]
        return ".".join(["models", name_of(self.document.value["models"][keys[1]]), *map(str, inner)])


def _plain(value: Any) -> Any:
    """Lists and tuples of the same things are the same setting."""
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
