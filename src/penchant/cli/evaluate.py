"""`penchant evaluate`: how good a saved bundle is on held-out events."""

import argparse
import json
from pathlib import Path
from typing import Any

from penchant.cli.console import Screen
from penchant.cli.document import parse_value
from penchant.cli.recipe import read_recipe
from penchant.cli.recipe_data import SPLITS
from penchant.cli.recommend import open_bundle
from penchant.cli.results import show
from penchant.cli.signature import arguments_of, typed
from penchant.cli.train import system_of, tell_newcomers, write_report
from penchant.data.interactions import Interactions
from penchant.data.split import Split
from penchant.data.store import open_log
from penchant.errors import ArgumentError, StoreError, nearest
from penchant.evaluation import evaluate
from penchant.funnel import Funnel


def run(options: argparse.Namespace) -> None:
    """Evaluates the bundle of the command line."""
    screen = Screen(options)
    funnel = open_bundle(options.bundle, options.trust)
    recipe = None if options.recipe is None else read_recipe(options.recipe, trust=options.trust)
    log = _log(funnel, options.data if recipe is None or options.data is not None else recipe.data)
    trained_on = _trained_on(options.bundle)
    if options.split is not None:
        split = parse_split(options.split)(log)
    elif recipe is not None:
        split = recipe.split(log)
    elif trained_on is not None:
        split = SPLITS[trained_on["name"]](log, **trained_on["arguments"])
    else:
        raise ArgumentError(
            "--split", None, expected="a split, as this bundle does not lie in the folder of a run"
        )
    if trained_on is None:
        screen.warn("nothing says which rows this bundle learned from: figures there flatter")
    elif trained_on["told"] != split.name:
        screen.warn(
            f"the bundle learned from the training rows of {trained_on['told']!r}: figures there flatter"
        )
    part = split.test if options.part == "test" else split.valid
    alone = len(funnel.retrievers) == 1 and funnel.ranker is None
    result = evaluate(
        system_of(funnel),
        part(options.at),
        against=() if alone else tuple(funnel.retrievers.values()),
        cutoffs=tuple(options.cutoffs),
        bootstrap=options.bootstrap,
        seed=options.seed,
    )
    show(result, screen, title=f"{options.bundle}: {options.part} part")
    tell_newcomers(result, split, screen)
    if options.report is not None:
        write_report(result, options.report, screen, profile=log.profile)
    screen.answer(result.as_dict())


def _log(funnel: Funnel, given: Any) -> Interactions:
    """The log to ask about. Its ids must be numbered as those that the models learned."""
    if given is None:
        return funnel.data
    log = open_log(given) if isinstance(given, Path) else given()
    for name, ours, theirs in (
        ("item", funnel.data.catalogue, log.catalogue),
        ("user", funnel.data.users, log.users),
    ):
        if not ours.vocabulary.all_ids.equals(theirs.vocabulary.all_ids):
            raise ArgumentError(
                "--data", str(log.profile.source), expected=f"a log with the bundle's own {name} ids",
                fix="evaluate on the bundle's own log, or train on a log that holds both",
            )  # fmt: skip
    return log


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
