"""Any table, wherever it stands, as columns that are read when they are needed."""

import csv
import glob
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from penchant.data.textfiles import (
    bare,
    doubled,
    doubled_names,
    files_of,
    places,
    separator_of,
    surplus_of,
    zero_padded,
)
from penchant.errors import ArgumentError, DataError, Problem, nearest

Source: TypeAlias = (
    Any  # a path, or a frame of Polars, pandas or PyArrow: the last two are no dependency of types
)

Locate: TypeAlias = Callable[[Sequence[int]], list[str] | None]

_ALONG = "\0"  # what to call a column that is read and thrown away
_BLOCK = 1 << 18  # bytes: what stays in cache
_ZERO = ord("0")
_SAMPLE = 1_000  # rows that a text file's types are guessed from
_MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", r"\N")  # in columns of numbers
_ATOMIC = (".inter", ".item", ".user")  # of RecBole: tabs, no quotes, headers like user_id:token
_TEXT = (".csv", ".tsv", ".tab", ".txt", *_ATOMIC)
_LINES = (".ndjson", ".jsonl")
_ARROW = (".arrow", ".feather", ".ipc")
_PARQUET = (".parquet", ".pq")
_KINDS = ", ".join((*_TEXT, *_LINES, *_ARROW, *_PARQUET))


@dataclass(frozen=True)
class Loaded:
    """Columns in memory.

    Attributes:
        frame: the columns, rows in file order.
        patchy: columns of text that hold numbers in most rows: a text file with something else in some, or
            with numbers such as 007.
        problems: columns that could not be read; they are not in the frame.
        unread: rows [n] that could not be read, as a mask (they are null), and what to say of them.
        locate: what to call rows of a text file in front of people; None if it cannot be told.
    """

    frame: pl.DataFrame
    patchy: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()
    unread: tuple[np.ndarray, Problem] | None = None
    locate: Locate | None = None


@dataclass(frozen=True)
class Table:
    """A table that has been found but not read.

    Attributes:
        name: what to call it in front of people.
        columns: its column names.
        load: reads some of the columns, rows in file order.
    """

    name: str
    columns: Sequence[str]
    load: Callable[[Sequence[str]], Loaded]


def open_table(source: Source, *, argument: str = "source") -> Table:
    """Finds a table and learns its column names; rows are read by `Table.load`.

    Args:
        source: a path to CSV or TSV (the separator is recognised; `.gz` too), Parquet, NDJSON, Arrow IPC or
            RecBole atomic files; a folder of Parquet files; a pattern such as "log/*.parquet"; or a Polars
            frame (lazy or not), pandas frame, or PyArrow table.
        argument: what the caller calls it, for errors.

    Raises:
        ArgumentError: nothing can be read there.
        DataError: the file is not what its name says.
    """
    if isinstance(source, pl.LazyFrame):
        return _lazy("LazyFrame", source)
    if isinstance(source, pl.DataFrame):
        return _lazy("DataFrame", source.lazy())
    if isinstance(source, str | Path):
        return _file(source, argument)
    package = type(source).__module__.split(".")[0]
    if package == "pandas" and hasattr(source, "columns"):
        return Table(
            "pandas DataFrame", [str(c) for c in source.columns], lambda names: _pandas(source, names)
        )
    if package == "pyarrow" and hasattr(source, "schema"):
        return _lazy("PyArrow table", _frame(pl.from_arrow(source)).lazy())
    if isinstance(source, dict):
        return _lazy("the dict of columns", pl.DataFrame(source, strict=False).lazy())
    raise ArgumentError(argument, source, expected="a path, or a frame of Polars, pandas or PyArrow")


def _frame(value: pl.DataFrame | pl.Series) -> pl.DataFrame:
    return value if isinstance(value, pl.DataFrame) else value.to_frame()


def _lazy(name: str, scanned: pl.LazyFrame) -> Table:
    def load(names: Sequence[str]) -> Loaded:
        with _reading(name):
            return Loaded(scanned.select(names).collect())

    with _reading(name):
        return Table(name, scanned.collect_schema().names(), load)


def _pandas(frame: Any, names: Sequence[str]) -> Loaded:
    wanted = frame.loc[:, [name for name in frame.columns if str(name) in names]]
    columns: list[pl.Series] = []
    problems: list[Problem] = []
    for name in dict.fromkeys(wanted.columns):
        if list(wanted.columns).count(name) > 1:
            problems.append(doubled(str(name)))
            continue
        try:
            columns.append(pl.from_pandas(wanted[name], nan_to_null=True).alias(str(name)))
        except (ValueError, TypeError, PolarsError) as error:  # PyArrow's errors are ValueError and TypeError
            problems.append(
                Problem(
                    str(name),
                    f"mixes types ({str(error).splitlines()[0]})",
                    "values of one type",
                    f"convert it, e.g. frame[{str(name)!r}] = frame[{str(name)!r}].astype(str)",
                )
            )
    return Loaded(pl.DataFrame(columns), problems=tuple(problems))


# -- files -------------------------------------------------------------------------------------------------


def neighbours(path: Path) -> str:
    """A hint for a path where nothing is: what stands in its folder, or the nearest of it; "" for nothing."""
    there = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    return f" ({nearest(path.name, there)})" if there and len(there) < 200 else ""


def _file(source: str | Path, argument: str) -> Table:
    path = Path(source)
    if path.is_dir():
        if (path / "manifest.json").is_file():
            raise ArgumentError(
                argument, str(source), expected="an event table", fix="this is a store: open_log reads it"
            )
        return _parquet(path / "**" / "*.parquet", argument)
    if not path.is_file() and not (glob.has_magic(str(path)) and glob.glob(str(path), recursive=True)):  # noqa: PTH207
        raise ArgumentError(argument, str(source), expected=f"a file that is there{neighbours(path)}")
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    suffix = suffix.lower()
    if suffix in _PARQUET:
        return _parquet(path, argument)
    if suffix in _ARROW:
        with _reading(path.name):
            return _lazy(path.name, pl.scan_ipc(path))
    if suffix in _TEXT:
        return _delimited(path, atomic=suffix in _ATOMIC)
    if suffix in _LINES:
        return _ndjson(path)
    raise ArgumentError(argument, str(source), expected=f"a file name that ends in one of {_KINDS}")


def _parquet(path: Path, argument: str) -> Table:
    if glob.has_magic(str(path)) and not glob.glob(str(path), recursive=True):  # noqa: PTH207
        raise ArgumentError(argument, str(path), expected="a folder that holds .parquet files")
    with _reading(path.name):
        return _lazy(path.name, pl.scan_parquet(path))


def _delimited(path: Path, *, atomic: bool) -> Table:
    files = files_of(path)
    with _reading(path.name):
        separator = "\t" if atomic else separator_of(files[0])

    def scan(*, typed: bool, lenient: bool = False, text: str | None = None) -> pl.LazyFrame:
        return pl.scan_csv(
            path,
            separator=separator,
            quote_char=None if atomic else '"',
            infer_schema=typed,
            infer_schema_length=_SAMPLE,
            schema_overrides=None if text is None else {text: pl.String},
            truncate_ragged_lines=lenient,
        )

    with _reading(path.name):
        header = scan(typed=True).collect_schema().names()
    plain = {bare(name) if atomic else name: name for name in header}
    with _reading(path.name):
        twice = doubled_names(files[0], separator, atomic=atomic)
    locate = partial(places, files, separator, quoted=not atomic)

    def load(names: Sequence[str]) -> Loaded:
        found = loaded({name: plain[name] for name in names if name not in twice})
        problems = (doubled(name) for name in names if name in twice)
        return replace(found, problems=(*found.problems, *problems), locate=locate)

    def loaded(wanted: Mapping[str, str]) -> Loaded:
        # Polars sees that a row is longer than the header only where it reads the last column.
        along = None if header[-1] in wanted.values() else header[-1]

        def read(*, typed: bool, lenient: bool = False) -> pl.DataFrame:
            columns = [pl.col(column).alias(name) for name, column in wanted.items()]
            columns += [] if along is None else [pl.col(along).alias(_ALONG)]
            frame = scan(typed=typed, lenient=lenient, text=along).select(columns).collect()
            return frame.select(list(wanted))

        with _reading(path.name):
            if not zero_padded(files, separator):  # else types would make 7 of 007
                try:
                    return _typed(read(typed=True))
                except pl.exceptions.ComputeError:  # a later row is not what the first ones promised
                    pass
            try:
                return _typed(read(typed=False))
            except pl.exceptions.ComputeError as error:
                if "more fields" not in str(error):
                    raise
            surplus = surplus_of(files, separator, len(header), quoted=not atomic)
            return _emptied(read(typed=False, lenient=True), surplus)

    return Table(path.name, list(plain), load)


def _emptied(frame: pl.DataFrame, surplus: tuple[np.ndarray, Problem] | None) -> Loaded:
    """A frame without what rows of too many fields say: which of them is which, nobody knows."""
    if surplus is None:  # nothing but empty fields too much: nothing is lost
        return _typed(frame)
    wrong, problem = surplus
    if len(wrong) != len(frame):  # Polars tells rows apart in another way
        return Loaded(pl.DataFrame(), problems=(problem,))
    return replace(_typed(frame.select(pl.when(~pl.Series(wrong)).then(pl.all()))), unread=surplus)


def _ndjson(path: Path) -> Table:
    with _reading(path.name):
        scanned = pl.scan_ndjson(path, infer_schema_length=_SAMPLE)
        schema = scanned.collect_schema()

    def load(names: Sequence[str]) -> Loaded:
        with _reading(path.name):
            try:
                return Loaded(scanned.select(names).collect())
            except pl.exceptions.ComputeError:
                # A list column stays a list: as text it would come back as JSON.
                text = {name: pl.String for name in names if not schema[name].is_nested()}
                scan = pl.scan_ndjson(path, infer_schema_length=_SAMPLE, schema_overrides=text)
                return _typed(scan.select(names).collect())

    return Table(path.name, schema.names(), load)


def _typed(frame: pl.DataFrame) -> Loaded:
    """The numbers among columns that were read as text."""
    patchy: set[str] = set()
    for name in frame.columns:
        column = frame[name]
        if column.dtype != pl.String or not looks_numeric(column):
            continue
        if column.str.contains(r"^\s*\+?0\d").any():
            patchy.add(name)  # ids, nearly always: 007 is not 7; who asks for numbers gets them all the same
            continue
        numbers = to_number(column)
        if numbers.dtype == pl.Float64 and not _exact(numbers):
            continue  # long ids, say: they would come out changed
        if numbers.null_count() == blank(column).sum():
            frame = frame.with_columns(numbers.alias(name))
        else:
            patchy.add(name)
    return Loaded(frame, frozenset(patchy))


def _exact(numbers: pl.Series) -> bool:
    largest = numbers.abs().max()
    return not isinstance(largest, float) or largest < 2**53


def looks_numeric(text: pl.Series) -> bool:
    """Whether most of the first values of a column of text are numbers."""
    sample = text.head(_SAMPLE)
    sample = sample.filter(~blank(sample))
    return len(sample) > 0 and sample.cast(pl.Float64, strict=False).count() > len(sample) / 2


def blank(text: pl.Series) -> pl.Series:
    """Whether a value of a column of text says that there is none."""
    return (text.is_null() | text.str.strip_chars().is_in(_MISSING)).fill_null(value=True)


def to_number(text: pl.Series) -> pl.Series:
    """A column of text as whole numbers where all are, else as floats; null where it is no number."""
    text = text.set(blank(text), None).str.strip_chars()
    whole = text.cast(pl.Int64, strict=False)
    if whole.null_count() == text.null_count():
        return whole
    return text.cast(pl.Float64, strict=False)


@contextmanager
def _reading(name: str) -> Generator[None]:
    """Says as a DataError what the reader of a file says."""
    try:
        yield
    except (PolarsError, UnicodeDecodeError, OSError, csv.Error) as error:
        said = str(error).splitlines()[0]
        if isinstance(error, pl.exceptions.NoDataError):
            problem = Problem(None, "is empty", "a header and at least one row", "check how it was written")
        elif "utf-8" in said:
            problem = Problem(
                None, "is not UTF-8 text", "UTF-8", "convert it, e.g. iconv -f LATIN1 -t UTF-8 OLD > NEW"
            )
        else:
            problem = Problem(
                None, f"cannot be read ({said})", "the format that its name says", "check the file"
            )
        raise DataError(name, [problem]) from error
