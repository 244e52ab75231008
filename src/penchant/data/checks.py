"""What is wrong with a table: found in one pass, told at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from penchant.data.scan import Loaded, Locate
from penchant.errors import DataError, Problem, nearest

_SHOWN = 5  # rows that a problem shows
DROP = 'pass on_bad="drop" (--on-bad drop)'


@dataclass
class Findings:
    """The problems of one table.

    Attributes:
        rows: rows of the table.
        table: what to call it where several tables are read together; "" for the event table itself.
        options: whether the caller has the arguments `on_bad` and `time_unit` for a remedy to name.
        whole: problems that no dropping of rows mends.
        bad: problems of single rows: a reason for the profile, the rows [n] as a mask, the problem.
        locate: what to call rows of a text file; None: by their number.
        unread: rows [n] that could not be read, as a mask: what stands in them is no further problem.
    """

    rows: int
    table: str = ""
    options: bool = True
    whole: list[Problem] = field(default_factory=list[Problem])
    bad: list[tuple[str, np.ndarray, Problem]] = field(default_factory=list[tuple[str, np.ndarray, Problem]])
    locate: Locate | None = None
    unread: np.ndarray | None = None

    @classmethod
    def of(cls, loaded: Loaded, *, table: str = "", options: bool = True) -> "Findings":
        """What was found while a table was read.

        Args:
            loaded: the table.
            table: see above.
            options: see above.
        """
        found = cls(len(loaded.frame), table, options, locate=loaded.locate)
        found.whole += [replace(problem, what=found._said(problem.what)) for problem in loaded.problems]
        if loaded.unread is not None:
            wrong, problem = loaded.unread
            fix = f"{problem.fix}, or {DROP}" if options else problem.fix
            found.bad.append((problem.what, wrong, replace(problem, what=found._said(problem.what), fix=fix)))
            found.unread = wrong
        return found

    def places(self, rows: Sequence[int]) -> list[str]:
        """What to call rows in front of people: "line 22" of a text file, else "row 20"."""
        found = None if self.locate is None else self.locate(rows)
        return [f"row {row:,}" for row in rows] if found is None else found

    def of_table(self, column: str | None, what: str, *, expected: str, fix: str) -> None:
        """Notes a problem of a column, or of the table, as a whole."""
        if not self._told(column, what):
            self.whole.append(Problem(column, self._said(what), expected, fix))

    def of_rows(
        self, column: str, what: str, wrong: np.ndarray, values: pl.Series, *, expected: str,
        fix: str = "correct these rows", option: str = DROP,
    ) -> None:  # fmt: skip
        """Notes a problem of the rows where `wrong` [n] is true, if there are any.

        Args:
            column: its name.
            what: what is wrong, as a verb phrase.
            wrong: the rows.
            values: what stands in them.
            expected: what would have been right.
            fix: what to do about it.
            option: the other thing to do, with an argument of `read_events`; "" for none.
        """
        wrong = wrong if self.unread is None else wrong & ~self.unread
        count = int(np.count_nonzero(wrong))
        if not count or self._told(column, what):
            return
        rows = np.flatnonzero(wrong)[:_SHOWN].tolist()
        shown = tuple(values.gather(rows))
        fix = f"{fix}, or {option}" if option and self.options else fix
        problem = Problem(column, self._said(what), expected, fix, count, rows, shown)
        self.bad.append((f"{column!r} {what}", wrong, problem))

    def of_null(self, wrong: np.ndarray, values: pl.Series, *, expected: str) -> None:
        """Notes the rows of a column where `wrong` [n] says that there is nothing."""
        self.of_rows(values.name, "is null", wrong, values, expected=expected, fix="fill it in")

    def missing(self, column: str, known: Sequence[str], *, role: str) -> None:
        """Notes that a column is not there."""
        self.of_table(
            column,
            "is missing",
            expected=f"a column for {role}",
            fix=f"correct the name ({nearest(column, known)})",
        )

    def wrong_type(self, column: str, dtype: object, *, expected: str, fix: str) -> None:
        """Notes that a column is of a type that cannot be used."""
        self.of_table(column, f"is of type {dtype}", expected=expected, fix=fix)

    def _told(self, column: str | None, what: str) -> bool:
        """Whether this was noted before: a column may have two roles."""
        return any(p.column == column and p.what == self._said(what) for p in self.problems)

    def _said(self, what: str) -> str:
        return f"of {self.table} {what}" if self.table else what

    @property
    def problems(self) -> list[Problem]:
        """All of them, those of the table first."""
        return [*self.whole, *(problem for _, _, problem in self.bad)]

    def good_rows(self, column: str | None = None) -> np.ndarray | None:
        """The rows [n] without a problem (of one column) as a mask; None where that is all of them."""
        bad = [wrong for _, wrong, problem in self.bad if column in (None, problem.column)]
        return ~np.logical_or.reduce(bad) if bad else None

    def dropped(self) -> dict[str, int]:
        """Rows with a problem by reason; a row with several counts for the first."""
        counts: dict[str, int] = {}
        left = np.ones(self.rows, dtype=bool)
        for reason, wrong, _ in self.bad:
            counts[reason] = counts.get(reason, 0) + int(np.count_nonzero(wrong & left))
            left &= ~wrong
        return {reason: count for reason, count in counts.items() if count}


def raise_problems(source: str, findings: Sequence[Findings], *, on_bad: str) -> None:
    """Raises one DataError with every problem; with on_bad="drop", with those that no dropping mends.

    Args:
        source: the event table.
        findings: its own, then those of the attribute tables.
        on_bad: "raise" or "drop".
    """
    good = findings[0].good_rows()
    if on_bad == "drop" and good is not None and not good.any():
        findings[0].of_table(
            None,
            "has no row without a problem",
            expected="some good rows",
            fix='look at them: on_bad="raise"; or name another column, if this one holds something else',
        )
    problems = [
        replace(problem, places=found.places(problem.rows)) if problem.rows else problem
        for found in findings
        for problem in (found.whole if on_bad == "drop" else found.problems)
    ]
    if problems:
        raise DataError(source, problems)
