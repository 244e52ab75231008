"""Every error that penchant raises on purpose.

PenchantError
├── ArgumentError    an argument of a call or constructor
├── DataError        an event or attribute table; lists every problem found in one pass
├── RecipeError      a recipe or settings file
├── SplitError       a split or a query that the log cannot give
├── LeakError        something was learned from, or asked with, what came later
├── TrainingError    a run that cannot go on (not-a-number, exhausted data)
├── StoreError       a folder of arrays, a checkpoint or a bundle that cannot be read as whole
│   └── VersionError     ... because another version wrote it
├── TrustError       a class that a bundle or recipe names outside the trusted packages
└── MissingExtraError    an optional dependency is not installed
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches


class PenchantError(Exception):
    """The base of all errors below: catch this to catch what penchant says about its input."""


class ArgumentError(PenchantError, ValueError):
    """An argument cannot be used as it is.

    Args:
        name: the argument, as the caller wrote it.
        value: what was given.
        expected: what would have been right, as a noun phrase.
        fix: what to do about it, as an imperative, where that is not plain from `expected`.
    """

    def __init__(self, name: str, value: object, *, expected: str, fix: str | None = None) -> None:
        text = f"{name}={value!r}: expected {expected}."
        super().__init__(text if fix is None else f"{text}\n  Fix: {fix}.")
        self.name, self.value, self.expected, self.fix = name, value, expected, fix

    def renamed(self, name: str) -> "ArgumentError":
        """The same for a caller who calls the argument `name`."""
        return ArgumentError(name, self.value, expected=self.expected, fix=self.fix)


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a table.

    Attributes:
        column: the column at fault, or None where the table as a whole is.
        what: what was found, e.g. "is null".
        count: rows concerned; 0 where the problem is not one of rows.
        rows: the first few row numbers (0 is the first data row).
        values: the values found in those rows.
        expected: what would have been right.
        fix: what to do about it.
        places: what to call these rows, e.g. "line 22" of a text file; by default "row 20".
    """

    column: str | None
    what: str
    expected: str
    fix: str
    count: int = 0
    rows: Sequence[int] = ()
    values: Sequence[object] = ()
    places: Sequence[str] = ()

    def __str__(self) -> str:
        where = "the table" if self.column is None else f"column {self.column!r}"
        lines = [
            f"{where} {self.what}"
            + (f" in {self.count:,} row{'s' * (self.count != 1)}" if self.count else "")
        ]
        if self.rows:
            places = self.places or [f"row {row:,}" for row in self.rows]
            shown = ", ".join(
                f"{place}: {value!r}" for place, value in zip(places, self.values, strict=False)
            )
            lines[0] += f" ({shown or ', '.join(places)})"
        return f"{lines[0]}.\n    Expected: {self.expected}.\n    Fix: {self.fix}."


class DataError(PenchantError, ValueError):
    """A table cannot be used; every problem that one pass found is in `problems`."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        head = f"{source}: {len(problems)} problem{'s' * (len(problems) != 1)}."
        super().__init__("\n".join([head, *(f"  {i}. {problem}" for i, problem in enumerate(problems, 1))]))
        self.source, self.problems = source, tuple(problems)


class RecipeError(PenchantError, ValueError):
    """A recipe or settings file says something that cannot be done."""


class SplitError(PenchantError, ValueError):
    """The log cannot be split, or asked, in this way."""


class LeakError(PenchantError, ValueError):
    """Something was learned from, or asked with, what it must not know; an audit found it."""


class TrainingError(PenchantError, RuntimeError):
    """Training cannot go on."""


class StoreError(PenchantError, OSError):
    """A folder on disk is not a whole store, checkpoint or bundle."""


class VersionError(StoreError):
    """A folder was written by a version that this one does not read."""

    def __init__(self, path: object, found: object, *, supported: str) -> None:
        super().__init__(
            f"{path}: written in format {found!r}, this version of penchant reads {supported}.\n"
            "  Fix: read it with the version that wrote it, or write it again."
        )
        self.found = found


class TrustError(PenchantError, PermissionError):
    """A class path lies outside the packages that the caller trusts; nothing was imported."""

    def __init__(self, path: str, trusted: Sequence[str]) -> None:
        package = path.split(".")[0]
        super().__init__(
            f"{path!r} is not in a trusted package ({', '.join(trusted)}); nothing was imported.\n"
            f"  Fix: if you trust the code of {package!r}, pass trust=[{package!r}]."
        )
        self.path = path


class MissingExtraError(PenchantError, ImportError):
    """An optional dependency is needed and not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package!r} is not installed.\n  Fix: pip install 'penchant[{extra}]'.")


def nearest(word: str, known: Sequence[str]) -> str:
    """A hint for a misspelt `word`: the closest of `known`, or all of them where none is close."""
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known)) or 'none'}"
