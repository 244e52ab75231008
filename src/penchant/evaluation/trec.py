"""Runs as TREC has them: six words a line between blanks, `qid Q0 docid rank score tag`, without a header."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from penchant.data.atomic import atomic_file
from penchant.data.scan import Loaded, Source, Table
from penchant.errors import ArgumentError, DataError, Problem

ENDINGS = (".trec", ".run")
COLUMNS = ("user", "Q0", "item", "rank", "score", "tag")


def says_trec(source: Source) -> bool:
    """Whether a path names a TREC run, by its ending or by its first line."""
    if not isinstance(source, str | Path):
        return False
    path = Path(source)
    ending = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if ending in ENDINGS:
        return True
    if ending not in ("", ".txt") or not path.is_file():
        return False
    first = _lines(path, rows=1)["words"]
    return len(first) > 0 and len(first[0]) == len(COLUMNS) and first[0][1] == "Q0"


def _lines(path: Path, rows: int | None = None) -> pl.DataFrame:
    """The lines of a text file that are not blank: their number from 1, and their words."""
    try:
        lines = pl.read_csv(
            path, separator="\x01", quote_char=None, has_header=False, infer_schema=False,
            new_columns=["text"], n_rows=rows, row_index_name="line", row_index_offset=1,
        )  # fmt: skip
    except pl.exceptions.NoDataError:
        return pl.DataFrame(schema={"line": pl.UInt32(), "words": pl.List(pl.String())})
    except pl.exceptions.ComputeError as error:
        said = str(error).splitlines()[0]
        problem = Problem(None, f"cannot be read ({said})", "UTF-8 text", "check how it was written")
        raise DataError(path.name, [problem]) from error
    words = lines.select("line", words=pl.col("text").str.extract_all(r"\S+"))
    return words.filter(pl.col("words").list.len() > 0)


def open_trec(source: Source) -> Table:
    """A TREC run as a table of text with the columns above, found but not read.

    Raises: ArgumentError if it is no file. Reading it raises DataError where a line has more or fewer words.
    """
    if not isinstance(source, str | Path) or not Path(source).is_file():
        raise ArgumentError("source", source, expected="a file that is there, for a TREC run")
    path = Path(source)

    def load(names: Sequence[str]) -> Loaded:
        lines = _lines(path)
        wrong = (lines["words"].list.len() != len(COLUMNS)).arg_true()
        if len(wrong):
            first = lines[wrong[:5]]
            problem = Problem(
                None, f"has another number of words than {len(COLUMNS)}", " ".join(COLUMNS),
                "correct these lines, or pass format='table'", len(wrong), wrong[:5].to_list(),
                first["words"].list.join(" ").to_list(), [f"line {line:,}" for line in first["line"]],
            )  # fmt: skip
            raise DataError(path.name, [problem])
        frame = lines.select(
            pl.col("words").list.get(place).alias(name) for place, name in enumerate(COLUMNS)
        )

        def locate(rows: Sequence[int]) -> list[str]:
            return [f"line {line:,}" for line in lines["line"].gather(list(rows))]

        return Loaded(frame.select(names), patchy=frozenset(("rank", "score")), locate=locate)

    return Table(path.name, COLUMNS, load)


def write_trec(frame: pl.DataFrame, path: Path, tag: str) -> None:
    """Writes columns user, item, rank and score; 1 / rank where there is no score. Ids must hold no blank."""
    score = pl.col("score") if "score" in frame.columns else 1 / pl.col("rank")
    rows = frame.select(
        "user", pl.lit("Q0"), "item", "rank", score.cast(pl.Float64).alias("score"), pl.lit(tag).alias("tag")
    )
    with atomic_file(path) as fresh:
        rows.write_csv(fresh, separator=" ", include_header=False, quote_style="never")
