"""Any table, wherever it stands, as columns that are read when they are needed."""

import glob
import gzip
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl
from polars.exceptions import PolarsError

from penchant.errors import ArgumentError, DataError, Problem, nearest

Source: TypeAlias = (
    Any  # a path, or a frame of Polars, pandas or PyArrow: the last two are no dependency of types
)

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
        patchy: columns of text that hold numbers in most rows: a text file with something else in some.
        problems: columns that could not be read; they are not in the frame.
    """

    frame: pl.DataFrame
    patchy: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()


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
    for name in wanted.columns:
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


def _file(source: str | Path, argument: str) -> Table:
    path = Path(source)
    if path.is_dir():
        if (path / "manifest.json").is_file():
            raise ArgumentError(
                argument, str(source), expected="an event table", fix="this is a store: open_log reads it"
            )
        return _parquet(path / "**" / "*.parquet", argument)
    if not path.is_file() and not (glob.has_magic(str(path)) and glob.glob(str(path), recursive=True)):  # noqa: PTH207
        there = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = f" ({nearest(path.name, there)})" if there and len(there) < 200 else ""
        raise ArgumentError(argument, str(source), expected=f"a file that is there{hint}")
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
    with _reading(path.name):
        separator = "\t" if atomic else _separator(path)

    def scan(*, typed: bool) -> pl.LazyFrame:
        return pl.scan_csv(
            path,
            separator=separator,
            quote_char=None if atomic else '"',
            infer_schema=typed,
            infer_schema_length=_SAMPLE,
        )

    with _reading(path.name):
        scanned = scan(typed=True)
        header = scanned.collect_schema().names()
    # RecBole writes the type behind the name: user_id:token
    plain = {(name.rpartition(":")[0] or name) if atomic else name: name for name in header}

    def load(names: Sequence[str]) -> Loaded:
        with _reading(path.name):
            wanted = [pl.col(plain[name]).alias(name) for name in names]
            try:
                frame = scanned.select(wanted).collect()
            except pl.exceptions.ComputeError:  # a later row is not what the first ones promised
                frame = scan(typed=False).select(wanted).collect()
            return _typed(frame)

    return Table(path.name, list(plain), load)


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


def _separator(path: Path) -> str:
    """The most frequent of the usual separators in the header line."""
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8-sig") as file:
            header = file.readline()
    elif glob.has_magic(str(path)) and not path.is_file():
        return _separator(Path(min(glob.glob(str(path), recursive=True))))  # noqa: PTH207
    else:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
    outside = "".join(header.split('"')[::2])
    return max(",\t;|", key=outside.count)  # the comma, where there is none of them


def _typed(frame: pl.DataFrame) -> Loaded:
    """The numbers among columns that were read as text."""
    patchy: set[str] = set()
    for name in frame.columns:
        column = frame[name]
        if column.dtype != pl.String or not looks_numeric(column):
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
    except (PolarsError, UnicodeDecodeError, OSError) as error:
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
