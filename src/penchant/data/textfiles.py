"""Text files as people see them: header, separator, fields and lines; Polars reads what they hold."""

import csv
import glob
import gzip
from collections.abc import Generator, Sequence
from io import BufferedReader, TextIOWrapper
from pathlib import Path

import numpy as np

from penchant.errors import Problem

_BLOCK = 1 << 17  # bytes: few enough to stay in the cache, which halves the time
_ZERO = ord("0")


def files_of(path: Path) -> list[Path]:
    """The file, or those that a pattern names."""
    if path.is_file():
        return [path]
    return [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207


def _opened(path: Path) -> gzip.GzipFile | BufferedReader:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def separator_of(path: Path) -> str:
    """The most frequent of the usual separators in the header line."""
    with _opened(path) as file:
        header = file.readline().decode("utf-8-sig")
    outside = "".join(header.split('"')[::2])
    return max(",\t;|", key=outside.count)  # the comma, where there is none of them


def zero_padded(files: Sequence[Path], separator: str) -> bool:
    """Whether a field may begin with a 0 and a further digit: one pass over bytes, cheap beside parsing."""
    starts = [*f'{separator}"+\n'.encode()]
    for path in files:
        with _opened(path) as file:
            end = b"\n"
            while block := file.read(_BLOCK):
                joined = end + block
                end = joined[-2:]
                text = np.frombuffer(joined, dtype=np.uint8)
                padded = np.zeros(len(text) - 2, dtype=bool)
                for start in starts:
                    padded |= text[:-2] == start
                padded &= text[1:-1] == _ZERO
                padded &= text[2:] - _ZERO < 10  # bytes wrap around: a digit
                if padded.any():
                    return True
    return False


def _records(
    files: Sequence[Path], separator: str, *, quoted: bool
) -> Generator[tuple[Path, int, list[str]]]:
    """The rows of text files as their fields, and where each begins; headers first, empty lines are rows."""
    for path in files:
        with _opened(path) as file:
            lines = csv.reader(
                TextIOWrapper(file, encoding="utf-8-sig", newline=""),
                delimiter=separator,
                quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
            )
            begin, headed = 1, False
            for fields in lines:
                headed = headed or bool(fields)  # empty lines above it are none
                if headed:
                    yield path, begin, fields
                begin = lines.line_num + 1


def _rows(files: Sequence[Path], separator: str, *, quoted: bool) -> Generator[tuple[Path, int, list[str]]]:
    """The same without headers."""
    last: Path | None = None
    for record in _records(files, separator, quoted=quoted):
        if record[0] == last:
            yield record
        last = record[0]


def bare(name: str) -> str:
    """A name without the type that RecBole writes behind it: user_id:token."""
    return name.rpartition(":")[0] or name


def doubled_names(file: Path, separator: str, *, atomic: bool) -> set[str]:
    """Names that stand twice in a header."""
    for _, _, fields in _records([file], separator, quoted=not atomic):
        names = [bare(name) if atomic else name for name in fields]
        return {name for name in names if names.count(name) > 1}
    return set()


def doubled(name: str) -> Problem:
    """What to say of a column whose name stands twice."""
    return Problem(name, "stands twice in the header", "one column of that name", "rename one of them")


def places(files: Sequence[Path], separator: str, wanted: Sequence[int], *, quoted: bool) -> list[str] | None:
    """Where rows begin, as people find them; None where the files cannot be read once more."""
    found: dict[int, str] = {}
    try:
        for row, (path, line, _) in enumerate(_rows(files, separator, quoted=quoted)):
            if row in wanted:
                found[row] = f"line {line:,}" if len(files) == 1 else f"{path.name} line {line:,}"
            if len(found) == len(set(wanted)):
                return [found[row] for row in wanted]
    except (csv.Error, OSError, UnicodeDecodeError):
        pass
    return None


def surplus_of(
    files: Sequence[Path], separator: str, width: int, *, quoted: bool
) -> tuple[np.ndarray, Problem] | None:
    """The rows that say more than the header has names for; None where what is too much is empty."""
    found: dict[int, str] = {}
    row = -1
    for row, (_, _, fields) in enumerate(_rows(files, separator, quoted=quoted)):
        if any(fields[width:]):
            found[row] = separator.join(fields)
    if not found:
        return None
    wrong = np.zeros(row + 1, dtype=bool)
    wrong[list(found)] = True
    rows, values = zip(*list(found.items())[:5], strict=True)
    return wrong, Problem(
        None, "has more fields than its header", f"{width} fields in every row",
        f"quote the fields that hold a {separator!r} or name all fields in the header",
        len(found), rows, values,
    )  # fmt: skip
