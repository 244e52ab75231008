"""`penchant demo`: a real rating log to a trained, evaluated, saved and queried recommender."""

import argparse
import time
from importlib.resources import files
from pathlib import Path

import polars as pl

from penchant.cli.console import Screen, program
from penchant.cli.data import show_profile
from penchant.cli.recipe import read_recipe
from penchant.cli.results import write_report
from penchant.cli.train import Run, follow, tell_settings
from penchant.data import datasets
from penchant.data.atomic import atomic_file
from penchant.data.events import items, read_events
from penchant.data.store import open_log
from penchant.funnel import Funnel, load

_QUICK = (
    "models.SASRec.fit.epochs=1",
    "models.SASRec.width=16",
    "models.DIN.fit.epochs=1",
    "models.NoHistory.fit.epochs=1",
)


def run(options: argparse.Namespace) -> None:
    """Runs the demo, or prepares its files only."""
    screen = Screen(options)
    out: Path = options.out
    began = time.perf_counter()
    prepare(out, screen)
    if options.prepare:
        screen.say(f"next: {program()} train {out}/first.yaml --out run")
        screen.answer({"out": out})
        return
    show_profile(open_log(out / "log").profile, screen)
    headline = _follow(out / "leave-last.yaml", out, options, screen)
    second = _follow(out / "time.yaml", out / "time", options, screen)
    write_report(
        {"Everybody's last": headline.result, "By time": second.result},
        out / "report.html",
        screen,
        profile=headline.split.log.profile,
        training=headline.training,
        title="penchant demo: MovieLens-small",
    )
    funnel = load(out / "bundle")  # what was saved, not what is in memory
    user = _sample_user(funnel)
    recommend(funnel, user, screen)
    minutes = (time.perf_counter() - began) / 60
    screen.title(f"Done in {minutes:.1f} minutes. What next:")
    screen.say(*what_next(out))
    screen.answer({"leave_last": headline.as_dict(), "time": second.as_dict(), "minutes": minutes})


def what_next(out: Path) -> list[str]:
    """Commands that work where this one was started, each with what it is for."""
    call = program()
    rows = [
        (f"open {out}/report.html", "the same, drawn"),
        (f"{call} recommend {out} --user 1", "lists for others: user ids go from 1 to 671"),
        (f"{call} recommend {out} --history 1,260,1196", "for somebody who is not in the log"),
        (f"{call} recommend {out} --item 1", "what is like Toy Story"),
        (f"{call} train {out}/first.yaml --out run", "a recipe of your own: change a line, run it again"),
        (f"{call} import --help", "your own log"),
    ]
    wide = max(len(command) for command, _ in rows)
    return [f"  {command:<{wide}}  {why}" for command, why in rows]


def prepare(out: Path, screen: Screen) -> None:
    """Writes the data as tables and as a store, and the recipes; tables and store that are there stay."""
    out.mkdir(parents=True, exist_ok=True)
    for recipe in files("penchant.cli").joinpath("recipes").iterdir():
        (out / recipe.name).write_text(recipe.read_text(encoding="utf-8"), encoding="utf-8")
    ratings, movies, store = out / "ratings.csv", out / "movies.csv", out / "log"
    if not (ratings.is_file() and movies.is_file()):
        _write_tables(out, ratings, movies)
    if not store.is_dir():
        log = read_events(
            ratings,
            user="userId",
            item="movieId",
            time="timestamp",
            items=items(movies, id="movieId", title="title", categories={"genres": "|"}, numbers=["year"]),
        )
        log.save(store)
    screen.say(f"the data as tables: {ratings}, {movies}; as a store: {store}; recipes: {out}/*.yaml")


def _write_tables(folder: Path, ratings: Path, movies: Path) -> None:
    datasets.movielens_small(folder)  # leaves it there as Parquet
    table = pl.scan_parquet(folder / "movielens-small.parquet")
    for path, columns in (
        (ratings, ["userId", "movieId", "rating", "timestamp"]),
        (movies, ["movieId", "title", "genres", "year"]),
    ):
        with atomic_file(path) as file:
            rows = table.select(columns)
            (rows if path == ratings else rows.unique("movieId", maintain_order=True)).collect().write_csv(
                file
            )


def _follow(recipe: Path, out: Path, options: argparse.Namespace, screen: Screen) -> Run:
    text = recipe.read_text(encoding="utf-8")
    changes = [f"seed={options.seed}", "report=false"]  # one page for both
    if options.quick:
        changes += [change for change in _QUICK if change.split(".")[1] in text]
    checked = read_recipe(recipe, changes=changes)
    screen.title(text.split("\n")[0].removeprefix("# "))
    tell_settings(checked, screen)
    return follow(checked, out, screen)


def _sample_user(funnel: Funnel) -> object:
    """A user with a history of middling length."""
    lengths = funnel.data.offsets.diff()[2:]
    median = lengths.sort().indices[len(lengths) // 2]
    return funnel.data.users.vocabulary.all_ids[int(median)]


def recommend(funnel: Funnel, user: object, screen: Screen) -> None:
    """Shows what a user rated last, what the funnel gives them, and what speaks for the first item."""
    titles = _latest(funnel, user)
    screen.title(f"User {user} rated last, newest first: {'; '.join(titles)}")
    found = funnel.recommend(users=[user], k=10)
    screen.frame(found.select("rank", "title", "score", "reason"), title=f"For user {user}")
    best = found.row(0, named=True)
    why = funnel.explain(best["item"], user=user)
    kind = f"{why['kind'][0]}, by {why['stage'][0]}"
    speaking = why.filter(pl.col("value") > 0).select("title", "value").head(5)
    screen.frame(speaking, title=f"What they rated that speaks for {best['title']} ({kind})")


def _latest(funnel: Funnel, user: object, count: int = 5) -> list[str]:
    log = funnel.data
    index = int(log.users.vocabulary.index([user])[0])
    end = int(log.offsets[index + 1])
    return log.catalogue.titles(
        log.item[max(end - count, int(log.offsets[index])) : end].flip(0).long().numpy()
    )
