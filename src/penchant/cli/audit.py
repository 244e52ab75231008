"""`penchant audit`: whether a recipe, or a saved bundle, leaks."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from penchant.cli import GATE
from penchant.cli.auditing import audit_recipe, sources_of
from penchant.cli.console import Screen
from penchant.cli.questions import Bundle, parse_split
from penchant.cli.recipe import read_recipe
from penchant.cli.recipe_data import SPLITS
from penchant.data.audit import audit
from penchant.data.findings import Audit
from penchant.data.split import Split
from penchant.errors import ArgumentError


def run(options: argparse.Namespace) -> int | None:
    """Audits the recipe or bundle of the command line; GATE where it leaks."""
    screen = Screen(options)
    found = _of_bundle(options) if options.what.is_dir() else _of_recipe(options)
    screen.title(f"{options.what}: {found.line.removeprefix('audit: ')}")
    for told in found.looked_at:
        screen.say(f"  looked at {told}")
    for finding in found.findings:
        screen.say("", str(finding))
    screen.answer(found.as_dict())
    if found.first is None:
        return None
    if screen.quiet:
        screen.warn(str(found.first))
    return GATE


def _of_recipe(options: argparse.Namespace) -> Audit:
    for name in ("recipe", "split"):
        if getattr(options, name) is not None:
            raise ArgumentError(
                f"--{name}", str(getattr(options, name)), expected="nothing: a recipe says it itself",
                fix="use --set split=... to change it",
            )  # fmt: skip
    recipe = read_recipe(options.what, changes=options.set, trust=options.trust)
    split: Split = recipe.split(recipe.data())
    return audit_recipe(recipe, split, sample=options.examples, seed=options.seed)


def _of_bundle(options: argparse.Namespace) -> Audit:
    if options.set and options.recipe is None:
        raise ArgumentError("--set", options.set[0], expected="--recipe beside it: a bundle has no settings")
    bundle = Bundle.open(options.what, options.trust)
    funnel = bundle.funnel
    models: dict[str, Any] = dict(funnel.retrievers)
    if funnel.ranker is not None:
        models[type(funnel.ranker).__name__] = funnel.ranker
    modules = {name: model for name, model in models.items() if isinstance(model, nn.Module)}
    split = _split(options, bundle)
    sources = sources_of(modules, split, {})
    return audit(split, sources, modules, sample=options.examples, seed=options.seed)


def _split(options: argparse.Namespace, bundle: Bundle) -> Split:
    log = bundle.funnel.data
    if options.split is not None:
        return parse_split(options.split)(log)
    if options.recipe is not None:
        path: Path = options.recipe
        return read_recipe(path, changes=options.set, trust=options.trust).split(log)
    known: Mapping[str, Any] | None = bundle.trained_on
    if known is None:
        raise ArgumentError(
            "--split", None, expected="a split, as this bundle does not lie in the folder of a run"
        )
    return SPLITS[known["name"]](log, **known["arguments"])
