"""What is asked, and of what: a log and its split, from a command line or from the bundle that is asked."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penchant.cli.arguments.shared import SEEN
from penchant.cli.bundle import Bundle
from penchant.cli.console import Screen
from penchant.cli.document import parse_value
from penchant.cli.recipe import Recipe, read_recipe
from penchant.cli.recipe_data import SPLITS
from penchant.cli.signature import arguments_of, typed
from penchant.data.audit_statistics import statistic_findings
from penchant.data.findings import Kind
from penchant.data.interactions import Interactions
from penchant.data.split import Part, Queries, Split
from penchant.data.store import open_log
from penchant.errors import ArgumentError, PenchantError, nearest
from penchant.evaluation.published import PublishedSetting, setting

_SAID = ("candidates", "seen", "cutoffs", "at")  # what a published setting says itself


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
    said = {name: getattr(options, name, None) for name in _SAID}
    said["seen"] = None if said["seen"] is None else SEEN[said["seen"]]
    before = {} if options.setting is not None else _asked_before(options, bundles)
    published = _published(options.setting or before.get("name"))
    if published is not None:
        for name, value in said.items():
            if value is not None:
                raise ArgumentError(
                    f"--{name}", getattr(options, name),
                    expected=f"nothing beside the setting {published.name}, which says it",
                )  # fmt: skip
    else:
        said = {name: before.get(name) if value is None else value for name, value in said.items()}
    split = split_asked(options, bundles, data=options.data, published=published)
    for bundle in bundles:
        _tell_unknown(bundle, split, screen)
    part = split.valid if (options.part or before.get("part")) == "valid" else split.test
    queries = part(said["at"] or "each") if published is None else published.queries(part)[0]
    conditions = {
        "setting": published, "candidates": said["candidates"], "exclude_seen": said["seen"],
        "cutoffs": said["cutoffs"], "negatives": before.get("negatives"),
    }  # fmt: skip
    return Asked(part, queries, published, conditions)


def _asked_before(options: argparse.Namespace, bundles: Sequence[Bundle]) -> dict[str, Any]:
    """How the recipe asks, or the run whose split is taken; nothing where another split is said."""
    if options.split is not None:
        return {}
    if options.recipe is not None:
        recipe = read_recipe(options.recipe, trust=options.trust)
        asked: dict[str, Any] = {"part": recipe.part, "at": recipe.at, **recipe.evaluate}
        chosen: PublishedSetting | None = asked.get("setting")
        asked["name"] = None if chosen is None else chosen.name
    else:
        asked = next((bundle.asked for bundle in bundles if bundle.trained_on is not None), {})
    return asked | {"seen": asked.get("exclude_seen") if options.seen is None else None}


def _published(name: str | None) -> PublishedSetting | None:
    try:
        return setting(name) if name else None
    except ArgumentError as error:
        raise error.renamed("--setting") from None


def split_asked(
    options: argparse.Namespace,
    bundles: Sequence[Bundle],
    *,
    data: Path | None = None,
    published: PublishedSetting | None = None,
    changes: Sequence[str] = (),
) -> Split:
    """The split of a command line, or else that of the run in whose folder a bundle lies.

    Args:
        options: `recipe`, `split` and `trust`.
        bundles: what is asked: where nothing else is said, data and split are those of the first.
        data: the store of another log.
        published: a setting that has a split of its own.
        changes: settings of the recipe to change.
    """
    recipe = (
        None if options.recipe is None else read_recipe(options.recipe, changes=changes, trust=options.trust)
    )
    log = _log(bundles, recipe, data)
    if options.split is not None:
        return _split_said(options.split, log)
    if recipe is not None:
        return recipe.split(log)
    if published is not None:
        return published.split(log)
    trained_on = next((b.trained_on for b in bundles if b.trained_on is not None), None)
    if trained_on is not None:
        return SPLITS[trained_on["name"]](log, **trained_on["arguments"])
    why = "this bundle does not lie in the folder of a run" if bundles else "a store does not say it"
    raise ArgumentError(
        "--split",
        None,
        expected=f"a split, as {why}",
        fix="say --split leave_last,k=1 (or another), or --recipe RECIPE",
    )


def _log(bundles: Sequence[Bundle], recipe: Recipe | None, data: Path | None) -> Interactions:
    """The log to ask about. Its ids must be numbered as those that the models learned."""
    if data is not None:
        asked, log = f"--data {data}", open_log(data)
    elif recipe is not None:
        asked, log = f"--recipe {recipe.document.path}", recipe.data()
    elif bundles:
        asked, log = f"the log of {bundles[0].path}", bundles[0].funnel.data
    else:
        raise PenchantError(
            "nothing says which log it is about.\n  Fix: say --recipe RECIPE, or --data STORE and --split."
        )
    for bundle in bundles:
        own = bundle.funnel.data
        for name, ours, theirs in (("item", own.catalogue, log.catalogue), ("user", own.users, log.users)):
            if not ours.vocabulary.all_ids.equals(theirs.vocabulary.all_ids):
                raise ArgumentError(
                    "bundle", str(bundle.path), expected=f"a bundle trained on the {name} ids of {asked}",
                    fix="ask about the bundle's own log, or train on a log that holds both",
                )  # fmt: skip
    return log


def _split_said(text: str, log: Interactions) -> Split:
    """The log split as `leave_last,k=2` says.

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
    return SPLITS[name](log, **given)


def _tell_unknown(bundle: Bundle, split: Split, screen: Screen) -> None:
    """Says where nobody can know which rows a bundle learned from; what is known, `evaluate` says."""
    found = [
        finding
        for name, model in bundle.funnel.models.items()
        for finding in statistic_findings(split, name, model)
    ]
    if any(finding.kind is Kind.NO_PROVENANCE for finding in found):
        screen.warn(f"nothing says which rows {bundle.path} learned from: its figures here may flatter")
