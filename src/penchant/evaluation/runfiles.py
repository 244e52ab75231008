"""Runs as tables: lists that other tools wrote, in any table or as TREC has them, and ours for them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import torch

from penchant.data.atomic import atomic_file
from penchant.data.batch import Ragged, offsets_of
from penchant.data.checks import Findings, raise_problems
from penchant.data.columns import ids, numbers
from penchant.data.interactions import Interactions
from penchant.data.scan import Loaded, Source, Table, open_table
from penchant.data.vocabulary import UNKNOWN, Vocabulary, number
from penchant.errors import ArgumentError, nearest
from penchant.evaluation.runs import Run
from penchant.evaluation.trec import ENDINGS, open_trec, says_trec, write_trec
from penchant.nn.topk import tie_order

RunFormat = Literal["table", "trec"]

# What columns are called where nobody says it: without case, blanks, "_" and "-".
_NAMES = {
    "user": ("user", "userid", "uid", "query", "queryid", "qid"),
    "item": ("item", "itemid", "iid", "doc", "docid", "docno"),
    "score": ("score", "scores", "relevance", "prediction", "rating"),
    "rank": ("rank",),
}


def read_run(
    source: Source,
    log: Interactions,
    *,
    user: str | None = None,
    item: str | None = None,
    score: str | None = None,
    rank: str | None = None,
    format: RunFormat | None = None,
    name: str | None = None,
) -> Run:
    """Reads lists that any tool wrote, a row an item, as a retriever that `evaluate` asks.

    A list goes by rank where there is one (gaps do not matter), else by falling score; equal scores are
    ordered by one fixed pseudo-random permutation, as everywhere in penchant: the order of the file or of ids
    would be a prior. Ids are matched to those of the log as text or whole numbers: 007 is not 7.

    Args:
        source: a path to CSV, TSV, Parquet, NDJSON, Arrow IPC, or a TREC run (`qid Q0 docid rank score tag`
            between blanks, no header), or a frame of Polars, pandas or PyArrow.
        log: whose users and items are meant.
        user: the column of user ids; None: the one named user, user_id, query_id, qid or alike.
        item: the column of item ids; None: the one named item, item_id, docid or alike.
        score: the column of scores, higher is better. None: the one named score, relevance, prediction or
            rating, unless `rank` is given.
        rank: the column of ranks, lower is better. None: the one named rank, unless `score` is given: who
            names the score goes by the score, as trec_eval does.
        format: "trec" or "table"; None: TREC where the name ends in .trec or .run, or the first line says Q0.
        name: what to call the run; None: the file's name without its ending.

    Returns: the run. Its `notes` count what was read, users and items that the log does not know (such an
        item keeps its place, where no hit is possible), and ties.

    Raises:
        DataError: the table cannot be used; every problem is listed: a missing column or value, a score that
            is no number, an item or a rank twice in one list, or no id in common with the log.
        ArgumentError: there is no such file, or `format` is unknown.

    >>> from penchant.data import read_events
    >>> log = read_events(pl.DataFrame({"u": [1, 1, 2], "i": ["a", "b", "c"]}), user="u", item="i")
    >>> run = read_run(pl.DataFrame({"user_id": [2, 2], "item_id": ["b", "a"], "score": [0.1, 0.9]}), log)
    >>> run.frame(log)["item"].to_list()
    ['a', 'b']
    """
    if format not in (None, "table", "trec"):
        raise ArgumentError("format", format, expected="'table', 'trec' or None")
    trec = format == "trec" or (format is None and says_trec(source))
    table = open_trec(source) if trec else open_table(source)
    given = {"user": user, "item": item, "score": score, "rank": rank}
    ordered = score is not None or rank is not None
    sought = ["user", "item", *(role for role in ("score", "rank") if not ordered or given[role] is not None)]
    missing: list[Callable[[Findings], None]] = []
    chosen = {role: _column(role, given[role], table.columns, missing) for role in sought}
    loaded = table.load(list(dict.fromkeys(column for column in chosen.values() if column is not None)))
    found = Findings.of(loaded, options=False)
    for tell in missing:
        tell(found)
    if not (missing or ordered) and chosen["score"] is None and chosen["rank"] is None:
        found.of_table(
            None, "has neither ranks nor scores", expected=_expected("score", "rank"),
            fix=f'name one: score="..." or rank="..." (--run-score, --run-rank; columns: '
            f"{', '.join(table.columns)})",
        )  # fmt: skip
    rows = _checked(loaded, chosen, found)
    if rows is not None:
        _refuse_strangers(rows, log, found)
    raise_problems(table.name, [found], on_bad="raise")
    assert rows is not None  # else there was a problem
    return _run(rows, log, name or _stem(source, table), trec=trec)


def write_run(
    lists: Run | pl.DataFrame,
    path: str | Path,
    log: Interactions | None = None,
    *,
    format: RunFormat | None = None,
    tag: str = "penchant",
) -> None:
    """Writes lists as other tools read them: user, item, rank and score, a row an item.

    Args:
        lists: a run, such as `Run.of(result, log)`, or a frame as `Funnel.recommend` and `Run.frame` give it.
        path: a name that ends in .parquet, .csv, .tsv, .ndjson, or in .trec or .run for TREC's six columns.
            What stands there is replaced.
        log: whose ids to write; needed for a run.
        format: "trec" or "table"; None: by the ending of the name.
        tag: the last column of a TREC run. Its scores are 1 / rank where none are known.

    Raises:
        ArgumentError: the ending is another one, or a run comes without its log.
        DataError: a column is missing, or an id cannot stand in a TREC run since it holds blanks.
    """
    path = Path(path)
    frame = _frame_of(lists, log)
    if file_format(path, format) == "trec":
        _refuse_blanks(frame, tag)
        write_trec(frame, path, tag)
        return
    with atomic_file(path) as fresh:
        WRITERS[path.suffix](frame, fresh)


def file_format(path: str | Path, format: RunFormat | None = None) -> RunFormat:
    """How `write_run` writes a file of this name; ArgumentError for an ending that it does not know."""
    ending = Path(path).suffix
    if format == "trec" or (format is None and ending in ENDINGS):
        return "trec"
    if ending not in WRITERS:
        known = ", ".join([*WRITERS, *ENDINGS])
        raise ArgumentError("path", str(path), expected=f"a file name that ends in one of {known}")
    return "table"


def _write_tsv(frame: pl.DataFrame, path: Path) -> None:
    frame.write_csv(path, separator="\t")


WRITERS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    ".parquet": pl.DataFrame.write_parquet,
    ".csv": pl.DataFrame.write_csv,
    ".tsv": _write_tsv,
    ".ndjson": pl.DataFrame.write_ndjson,
}


def _frame_of(lists: Run | pl.DataFrame, log: Interactions | None) -> pl.DataFrame:
    if isinstance(lists, Run):
        if log is None:
            raise ArgumentError("log", None, expected="the log whose ids the lists are to be written in")
        return lists.frame(log)
    found = Findings(len(lists))
    for column in ("user", "item", "rank"):
        if column not in lists.columns:
            found.missing(column, lists.columns, role=f"the {column}")
    raise_problems("DataFrame", [found], on_bad="raise")
    return lists.select([name for name in ("user", "item", "rank", "score") if name in lists.columns])


def _refuse_blanks(frame: pl.DataFrame, tag: str) -> None:
    if re.search(r"\s", tag) or not tag:
        raise ArgumentError("tag", tag, expected="a word without blanks")
    found = Findings(len(frame), options=False)
    for name in ("user", "item"):
        column = frame[name].cast(pl.String)
        blank = (column.str.contains(r"\s") | (column == "")).fill_null(value=True)
        found.of_rows(
            name, "holds a blank", blank.to_numpy(), column, expected="ids without blanks",
            fix="write another format, such as .parquet: blanks part the columns of this one",
        )  # fmt: skip
    raise_problems("DataFrame", [found], on_bad="raise")


# -- reading -----------------------------------------------------------------------------------------------


def _expected(*roles: str) -> str:
    return " or ".join(f"a column of {role}s named like {', '.join(_NAMES[role][:3])}" for role in roles)


def _column(
    role: str, given: str | None, columns: Sequence[str], missing: list[Callable[[Findings], None]]
) -> str | None:
    """The column of a role; None, and something to tell, where it cannot be told."""
    if given is not None:
        if given not in columns:
            missing.append(lambda found: found.missing(given, columns, role=f"{role}s"))
            return None
        return given
    plain = {column: re.sub(r"[\s_-]", "", column).lower() for column in columns}
    named = [column for column in columns if plain[column] in _NAMES[role]]
    exact = [column for column in named if column == role]
    if len(named) == 1 or exact:
        return (exact or named)[0]
    fix = f'name the right one: {role}="..." (--run-{role})'
    if named:
        missing.append(
            lambda found: found.of_table(
                None, f"has several columns that may hold {role}s: {', '.join(named)}",
                expected="one of them to be named", fix=fix,
            )
        )  # fmt: skip
    elif role in ("user", "item"):
        missing.append(
            lambda found: found.of_table(
                None, f"has no column that says that it holds {role}s", expected=_expected(role),
                fix=f"{fix} ({nearest(role, columns)})",
            )
        )  # fmt: skip
    return None


@dataclass(frozen=True)
class _Rows:
    """The columns of a run, checked: ids, and at least one of rank and score."""

    user: pl.Series
    item: pl.Series
    rank: pl.Series | None
    score: pl.Series | None


def _checked(loaded: Loaded, chosen: dict[str, str | None], found: Findings) -> _Rows | None:
    """The columns as what they stand for; None where one cannot be that. All problems go to `found`."""
    frame = loaded.frame
    columns = {role: frame[name] for role, name in chosen.items() if name in frame.columns}
    if columns and not len(frame):
        found.of_table(None, "is empty", expected="at least one row", fix="check how it was written")
    user = ids(columns["user"], found) if "user" in columns else None
    item = ids(columns["item"], found) if "item" in columns else None
    score = rank = None
    if "score" in columns:
        score = _numbers(columns["score"], found, loaded)
    if "rank" in columns and (rank := _numbers(columns["rank"], found, loaded)) is not None:
        odd = (rank != rank.floor()).fill_null(value=False)
        found.of_rows(
            rank.name, "is no whole number", odd.to_numpy(), rank, expected="whole numbers",
            fix='correct these rows, or go by the score: score="..." (--run-score)',
        )  # fmt: skip
    if user is None or item is None:
        return None
    _refuse_twice(user, item, found, expected="an item once in each list", fix="keep one of them")
    if rank is not None:
        fix = 'correct these rows, or go by the score: score="..."'
        _refuse_twice(user, rank, found, expected="one item at each rank of a list", fix=fix)
    return None if rank is None and score is None else _Rows(user, item, rank, score)


def _numbers(column: pl.Series, found: Findings, loaded: Loaded) -> pl.Series | None:
    given = numbers(column, found, patchy=column.name in loaded.patchy)
    if given is None:
        return None
    given = given.cast(pl.Float64)
    missing = given.is_null() & ~_told(column, found)
    found.of_null(missing.to_numpy(), column, expected="a number in every row")
    return given


def _told(column: pl.Series, found: Findings) -> pl.Series:
    """Rows of a column that a problem was noted of."""
    good = found.good_rows(column.name)
    return pl.Series(np.zeros(len(column), dtype=bool) if good is None else ~good)


def _refuse_twice(user: pl.Series, other: pl.Series, found: Findings, *, expected: str, fix: str) -> None:
    pairs = pl.DataFrame({"user": user, "other": other})
    there = pl.col("user").is_not_null() & pl.col("other").is_not_null()
    twice = pairs.select(~pl.struct("user", "other").is_first_distinct() & there).to_series()
    if not twice.any():
        return
    shown = pairs.select(pl.format("{} of user {}", "other", "user")).to_series()
    found.of_rows(other.name, "stands twice in one list", twice.to_numpy(), shown, expected=expected, fix=fix)


# -- matching ----------------------------------------------------------------------------------------------


def _index(column: pl.Series, vocabulary: Vocabulary) -> np.ndarray:
    """Indices [n] of ids, 1 where unknown. Text is a whole number only if written as one: 007 is not."""
    if column.dtype == pl.String and vocabulary.dtype == pl.Int64:
        whole = column.cast(pl.Int64, strict=False)
        column = whole.set((whole.cast(pl.String) != column).fill_null(value=True), None)
    return vocabulary.index(column)


def _refuse_strangers(rows: _Rows, log: Interactions, found: Findings) -> None:
    """Notes where no id at all is one of the log's: that is another column, or another log."""
    for what, column, table in (("user", rows.user, log.users), ("item", rows.item, log.catalogue)):
        distinct = column.drop_nulls().unique(maintain_order=True)
        if not len(distinct) or (_index(distinct, table.vocabulary) != UNKNOWN).any():
            continue
        here, there = (", ".join(map(repr, i.head(3))) for i in (table.vocabulary.all_ids, distinct))
        found.of_table(
            column.name, "has no id in common with the log",
            expected=f"ids such as {here}, not {there}",
            fix=f'write ids as the log has them, or name the right column: {what}="..." (--run-{what})',
        )  # fmt: skip


def _run(rows: _Rows, log: Interactions, name: str, *, trec: bool) -> Run:
    user = _index(rows.user, log.users.vocabulary)
    item = _index(rows.item, log.catalogue.vocabulary)
    score = None if rows.score is None else rows.score.to_numpy()
    strange = item == UNKNOWN
    notes = _strangers(rows, user, strange)
    if rows.rank is not None:
        keys = pl.DataFrame({"user": user, "key": -rows.rank.to_numpy()}).with_columns(tie=pl.lit(0))
    else:
        # Items that the log does not know are numbered behind its own, so that ties treat them alike.
        number_of = item.copy()
        fresh, others = number(rows.item.filter(pl.Series(strange)))
        number_of[strange] = len(log.catalogue) + fresh
        ties = tie_order(len(log.catalogue) + len(others)).numpy()
        keys = pl.DataFrame({"user": user, "key": score, "tie": ties[number_of]})
    order = keys.select(pl.arg_sort_by("user", "key", "tie", descending=[False, True, False])).to_series()
    order = order.to_numpy()
    order = order[np.searchsorted(user[order], UNKNOWN, side="right") :]  # users of the log only
    user, item = user[order], item[order]
    score = None if score is None else score[order]
    if score is not None:
        notes += _order_notes(user, score, ranked=rows.rank is not None, trec=trec)
    lengths = torch.from_numpy(np.bincount(user, minlength=log.features.users))
    scores = None if score is None else torch.from_numpy(score.astype(np.float32))
    lists = Ragged(torch.from_numpy(item.astype(np.int64)), offsets_of(lengths))
    return Run(log.features, lists, scores, name=name, notes=tuple(notes))


def _strangers(rows: _Rows, user: np.ndarray, strange: np.ndarray) -> list[str]:
    """What the log does not know, in words."""
    notes: list[str] = []
    if nobody := rows.user.filter(pl.Series(user == UNKNOWN)).n_unique():
        notes.append(f"lists of {nobody:,} users that the log does not know are never asked for")
    if strange.any():
        items = rows.item.filter(pl.Series(strange)).n_unique()
        notes.append(
            f"{items:,} items that the log does not know stand at {int(strange.sum()):,} places, "
            "which they keep: no hit is possible there"
        )
    return notes


def _order_notes(user: np.ndarray, score: np.ndarray, *, ranked: bool, trec: bool) -> list[str]:
    """What the order of the lists does not say of the scores, in words."""
    same = user[1:] == user[:-1]
    if ranked:
        odd = len(np.unique(user[1:][same & (score[1:] > score[:-1])]))
        other = ", as trec_eval does" if trec else ""
        told = f"in {odd:,} lists the score rises with the rank: lists go by rank; name score to go by it"
        return [told + other] if odd else []
    tied = len(np.unique(user[1:][same & (score[1:] == score[:-1])]))
    return [f"{tied:,} lists hold equal scores: these are in pseudo-random order"] if tied else []


def _stem(source: Source, table: Table) -> str:
    """The file's name without its ending, or the first word of what the frame is called."""
    if isinstance(source, str | Path):
        path = Path(source)
        return path.with_suffix("").stem if path.suffix == ".gz" else path.stem
    return table.name.split()[-1]
