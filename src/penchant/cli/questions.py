"""What `penchant evaluate` and `penchant compare` ask, and of whom: bundles, runs, a log and its split."""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from penchant.cli.console import Screen
from penchant.cli.document import parse_value
from penchant.cli.recipe import Recipe, read_recipe
from penchant.cli.recipe_data import SPLITS
from penchant.cli.recommend import open_bundle
from penchant.cli.signature import arguments_of, typed
from penchant.cli.train import system_of
from penchant.data.interactions import Interactions
from penchant.data.split import Part, Queries, Split
from penchant.data.store import open_log
from penchant.errors import ArgumentError, StoreError, nearest
from penchant.evaluation.published import PublishedSetting, setting
from penchant.evaluation.result import Result
from penchant.evaluation.runfiles import read_run
from penchant.evaluation.runs import Places, Run, require_one_query_each
from penchant.funnel import Funnel

_SAID = ("candidates", "seen", "cutoffs", "at")  # what a published setting says itself


@dataclass(frozen=True, eq=False)
class Bundle:
    """A saved bundle.

    Attributes:
        path: as given.
        funnel: what is in it.
        trained_on: the split of the run whose folder it lies in; None where it lies in none.
    """

    path: Path
    funnel: Funnel
    trained_on: dict[str, Any] | None

    @classmethod
    def open(cls, path: Path, trust: Sequence[str]) -> "Bundle":
        """The bundle at `path`, or in the folder of a run there."""
        return cls(path, open_bundle(path, trust), _trained_on(path))

    @property
    def system(self) -> Any:
        """What to evaluate."""
        return system_of(self.funnel)


@dataclass(frozen=True, eq=False)
class Asked:
    """What is asked.

    Attributes:
        part: of which split.
        queries: all of its queries.
        setting: the published setting that is kept to; None for none.
        conditions: further arguments of `penchant.evaluate`: how it is asked.
    """

    part: Part
    queries: Queries
    setting: PublishedSetting | None
    conditions: dict[str, Any]

    @property
    def log(self) -> Interactions:
        """The log that is asked about."""
        return self.part.split.log

    @property
    def question(self) -> Part | Queries:
        """What `penchant.evaluate` takes."""
        return self.queries if self.setting is None else self.part


def ask(options: argparse.Namespace, bundles: Sequence[Bundle], screen: Screen) -> Asked:
    """The questions of a command line, with a word on rows that a bundle learned from.

    Args:
        options: `recipe`, `data`, `split`, `setting`, `part`, `at`, `candidates`, `seen`, `cutoffs`, `trust`.
        bundles: what is asked: where nothing else is said, data and split are those of the first.
        screen: where to tell of it.
    """
    published = None if options.setting is None else setting(options.setting)
    if published is not None:
        for name in _SAID:
            if getattr(options, name, None) is not None:
                value = getattr(options, name)
                raise ArgumentError(
                    f"--{name}", value, expected=f"nothing beside --setting {published.name}, which says it"
                )
    recipe = None if options.recipe is None else read_recipe(options.recipe, trust=options.trust)
    log = _log(bundles, options.data if recipe is None or options.data is not None else recipe.data)
    split = _split(options, recipe, published, bundles, log)
    for bundle in bundles:
        _tell_learned(bundle, split, screen)
    part = split.test if options.part == "test" else split.valid
    queries = part(options.at or "each") if published is None else published.queries(part)[0]
    seen = {None: None, "auto": None, "exclude": True, "keep": False}[options.seen]
    conditions: dict[str, Any] = {"setting": published, "candidates": options.candidates}
    return Asked(part, queries, published, conditions | {"exclude_seen": seen})


def _log(bundles: Sequence[Bundle], given: Any) -> Interactions:
    """The log to ask about. Its ids must be numbered as those that the models learned."""
    if given is None and not bundles:
        raise ArgumentError(
            "--data", None, expected="a store, or --recipe: which log is it about?",
            fix="say --recipe RECIPE, or --data STORE and --split",
        )  # fmt: skip
    if given is None:
        log = bundles[0].funnel.data
    elif isinstance(given, Path):
        log = open_log(given)
    else:
        log = given()
    for bundle in bundles:
        data = bundle.funnel.data
        for name, ours, theirs in (("item", data.catalogue, log.catalogue), ("user", data.users, log.users)):
            if not ours.vocabulary.all_ids.equals(theirs.vocabulary.all_ids):
                argument = str(bundle.path) if given is None else "--data"
                raise ArgumentError(
                    argument, str(log.profile.source), expected=f"a log with the bundle's own {name} ids",
                    fix="evaluate on the bundle's own log, or train on a log that holds both",
                )  # fmt: skip
    return log


def _split(
    options: argparse.Namespace,
    recipe: Recipe | None,
    published: PublishedSetting | None,
    bundles: Sequence[Bundle],
    log: Interactions,
) -> Split:
    if options.split is not None:
        return parse_split(options.split)(log)
    if recipe is not None:
        return recipe.split(log)
    if published is not None:
        return published.split(log)
    trained_on = next((b.trained_on for b in bundles if b.trained_on is not None), None)
    if trained_on is not None:
        return SPLITS[trained_on["name"]](log, **trained_on["arguments"])
    why = "this bundle does not lie in the folder of a run" if bundles else "a store does not say it"
    raise ArgumentError("--split", None, expected=f"a split, as {why}")


def _tell_learned(bundle: Bundle, split: Split, screen: Screen) -> None:
    """Says where a bundle may have learned from what it is asked."""
    trained_on = bundle.trained_on
    if trained_on is None:
        screen.warn(f"nothing says which rows {bundle.path} learned from: its figures here flatter")
    elif trained_on["told"] != split.name:
        told = trained_on["told"]
        screen.warn(f"{bundle.path} learned from the training rows of {told!r}: its figures here flatter")


def _trained_on(bundle: Path) -> dict[str, Any] | None:
    """The split of the run that a bundle lies in, if it lies in one."""
    for folder in (bundle, bundle.parent):
        file = folder / "result.json"
        if file.is_file():
            try:
                split = json.loads(file.read_text(encoding="utf-8"))["run"]["split"]
            except (ValueError, KeyError, TypeError):
                raise StoreError(
                    f"{file}: not the result of a run.\n  Fix: say --split or --recipe."
                ) from None
            return split if split["name"] in SPLITS else None
    return None


def parse_split(text: str) -> Any:
    """`leave_last,k=2` as a function from a log to its split.

    Raises: ArgumentError that names the nearest split or argument.
    """
    name, *pairs = text.split(",")
    if name not in SPLITS:
        raise ArgumentError("--split", text, expected=f"a split ({nearest(name, list(SPLITS))})")
    known = arguments_of(SPLITS[name], without=("log",))
    given: dict[str, Any] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key not in known:
            raise ArgumentError(
                "--split", text, expected=f"arguments of {name} ({nearest(key, list(known))})"
            )
        try:
            given[key] = typed(known[key].kind, parse_value(value))
        except ValueError as error:
            raise ArgumentError(
                f"--split {key}", value, expected=str(error).removeprefix("expected ")
            ) from None

    def split(log: Interactions) -> Split:
        return SPLITS[name](log, **given)

    return split


# -- runs of other tools -----------------------------------------------------------------------------------


def read_runs(files: Sequence[Path], asked: Asked, options: argparse.Namespace, screen: Screen) -> list[Run]:
    """The runs in `files`, each by a name of its own; what is odd about them is told."""
    if files:
        require_one_query_each(asked.queries)  # before the files are read
    columns = {role: getattr(options, f"run_{role}") for role in ("user", "item", "score", "rank")}
    runs: list[Run] = []
    for file, name in zip(files, labels(files), strict=True):
        run = read_run(file, asked.log, **columns, name=name)
        for note in run.notes:
            screen.warn(f"{name}: {note}")
        runs.append(run)
    return runs


def tell_places(runs: Sequence[Run], asked: Asked, result: Result, screen: Screen) -> dict[str, Places]:
    """What became of the places of each run in the queries that were kept, told and by name."""
    kept = torch.isin(asked.queries.user, torch.from_numpy(result.users)).nonzero().squeeze(1)
    found = {run.name: run.places(asked.queries.rows(kept), result.setting) for run in runs}
    for name, places in found.items():
        for note in places.notes:
            screen.warn(f"{name}: {note}")
    return found


def told_runs(
    files: Iterable[Path], runs: Iterable[Run], places: Mapping[str, Places]
) -> list[dict[str, Any]]:
    """What `--json` says of runs."""
    return [
        {"name": run.name, "file": file, "notes": run.notes, "places": places[run.name].as_dict()}
        for run, file in zip(runs, files, strict=True)
    ]


def renamed(result: Result, names: Sequence[str]) -> Result:
    """A result whose systems are called so, in order."""
    rows = (replace(row, name=name) for row, name in zip(result.systems, unlike(names), strict=True))
    return replace(result, systems=tuple(rows))


def labels(paths: Sequence[Path]) -> list[str]:
    """What to call files and folders: by their names, without the ending where these differ without it."""
    whole = [path.resolve().name if path.is_dir() else path.name for path in paths]
    short = [name if path.is_dir() else path.stem for name, path in zip(whole, paths, strict=True)]
    return short if len(set(short)) == len(short) else unlike(whole)


def unlike(names: Sequence[str]) -> list[str]:
    """The names, those that were there before with a number behind."""
    return [
        name if name not in names[:n] else f"{name}-{names[: n + 1].count(name)}"
        for n, name in enumerate(names)
    ]
