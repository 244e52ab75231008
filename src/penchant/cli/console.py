"""What people and programs read: words and tables on a console, JSON for machines."""

import argparse
import json
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from penchant.cli import reader_left
from penchant.data.atomic import atomic_file

_IDS = ("user", "item", "similar")
_WIDTH = 120  # where nobody says how wide the reader's screen is (a file, a pipe)


class Screen:
    """Where a command writes: results to stdout, messages beside them; with `--json` only JSON to stdout.

    Args:
        options: the command's options, of which `json` and `quiet` are read.

    NO_COLOR and the width of the terminal are respected (by Rich).
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.json, self.quiet = bool(options.json), bool(options.quiet)
        self._out = _console(stderr=self.json)
        self._error = _console(stderr=True)
        warnings.showwarning = self._warn  # one line, without the source code of the library
        log = logging.getLogger("penchant")
        log.handlers, log.propagate = [_Handler(self)], False
        log.setLevel(logging.ERROR if self.quiet else logging.INFO)

    @property
    def progress(self) -> bool:
        """Whether to show progress bars (on stderr)."""
        return not self.quiet

    def bar(self) -> Progress:
        """A bar that counts what is done, on stderr; none with `--quiet`."""
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("time left"),
            TimeRemainingColumn(),
        )  # fmt: skip
        return Progress(*columns, console=self._error, disable=self.quiet)

    def say(self, *words: str) -> None:
        """A message on the way to a result; nothing with `--quiet`."""
        if not self.quiet:
            self._out.print(Text("\n".join(words)), soft_wrap=True)

    def title(self, words: str) -> None:
        """A heading."""
        if not self.quiet:
            self._out.print()
            self._out.print(Text(words, style="bold"), soft_wrap=True)

    def warn(self, words: str) -> None:
        """What the reader should know or change, on stderr."""
        self._error.print(Text("note: ", style="yellow") + Text(words), soft_wrap=True)

    def log(self, words: str) -> None:
        """A line of progress of the library, on stderr."""
        self._error.print(Text(f"  {words}", style="dim"), soft_wrap=True)

    def table(
        self, rows: Sequence[Sequence[object]], head: Sequence[str], *, title: str | None = None
    ) -> None:
        """Rows under column names; numbers stand right."""
        if self.json:
            return
        if title is not None:
            self._out.print(Text(title, style="bold"), soft_wrap=True)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for place, name in enumerate(head):
            numeric = bool(rows) and all(_numeric(row[place]) for row in rows)
            justify = "right" if numeric else "left"
            table.add_column(Text(name), justify=justify, header_style="dim", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell(value)) for value in row))
        with self._out.capture() as drawn:
            self._out.print(table)
        lines = [line.rstrip() for line in drawn.get().splitlines()]
        try:
            self._out.file.write("\n".join([*lines, ""]))  # Rich fills lines with blanks
        except BrokenPipeError:
            self._out.on_broken_pipe()

    def frame(self, frame: pl.DataFrame, *, title: str | None = None) -> None:
        """A Polars frame as a table; ids are names, not numbers."""
        names = frame.with_columns(pl.col(name).cast(pl.String) for name in _IDS if name in frame.columns)
        self.table(names.rows(), names.columns, title=title)

    def answer(self, value: object) -> None:
        """The result for programs: one JSON document on stdout, with `--json` only."""
        if self.json:
            text = json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False)
            try:
                sys.stdout.write(f"{text}\n")
                sys.stdout.flush()
            except BrokenPipeError:
                reader_left()

    def _warn(self, message: Warning | str, *_: object, **__: object) -> None:
        self.warn(str(message))


class _Handler(logging.Handler):
    """What the library logs, as messages on stderr."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        """Says a record: lines of progress plainly, what asks for attention with a mark."""
        words = record.getMessage()
        if record.levelno >= logging.WARNING:
            self._screen.warn(words)
        else:
            self._screen.log(words)


class _Console(Console):
    """A console whose command goes on when its reader has seen enough: an exit code may be a gate."""

    def on_broken_pipe(self) -> None:
        """Says nothing more."""
        self.quiet = True
        if not self.stderr:
            reader_left()


def _console(*, stderr: bool) -> Console:
    there = (sys.stderr if stderr else sys.stdout).isatty() or "COLUMNS" in os.environ
    return _Console(
        stderr=stderr, highlight=False, markup=False, emoji=False, width=None if there else _WIDTH
    )


def _numeric(value: object) -> bool:
    """Whether a value stands right in its column: a number, or a figure with its interval."""
    if isinstance(value, str):
        return value[:1] in "+-.0123456789" and value.rstrip()[-1:] in "0123456789%]?"
    return isinstance(value, int | float)


def cell(value: object) -> str:
    """A value as people read it: 1,234 and .0567 and 2004-03-01."""
    if value is None:
        return ""
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
    if isinstance(value, Sequence):
        return ", ".join(map(cell, value))
    return str(value)


def program() -> str:
    """How this program is called from here: by its name where a shell finds it, else as it was started."""
    started = Path(sys.argv[0])
    if shutil.which("penchant") is None:
        if started.stem == "penchant":
            return _from_here(started)
        if started.parts[-2:] == ("penchant", "__main__.py"):
            return f"{_from_here(Path(sys.executable))} -m penchant"
    return "penchant"


def _from_here(path: Path) -> str:
    """A path from the current folder where it lies below it."""
    path = path.absolute()  # not resolved: an environment's Python is a link to another one
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def plain(value: Any) -> Any:
    """`value` in JSON's own types; what is not finite becomes null, as JSON has no word for it."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, pl.DataFrame):
        return plain(value.to_dicts())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, date | Path):
        return str(value)
    if isinstance(value, Sequence | np.ndarray | set | frozenset):
        return [plain(inner) for inner in value]
    return str(value)


def write_json(path: Path, value: object) -> None:
    """Writes `value` as JSON, whole or not at all."""
    with atomic_file(path) as fresh:
        fresh.write_text(
            json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )
