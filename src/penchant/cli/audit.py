"""`penchant audit`, and the audits that `penchant train` makes: whether a recipe or a bundle leaks."""

import argparse
from collections.abc import Mapping
from typing import Any

from torch import nn

from penchant.cli import GATE
from penchant.cli.bundle import Bundle
from penchant.cli.console import Screen
from penchant.cli.questions import split_asked
from penchant.cli.recipe import Recipe, read_recipe
from penchant.data.audit import SAMPLE, audit
from penchant.data.findings import Audit, Finding, Kind
from penchant.data.loader import Source
from penchant.data.split import Split
from penchant.errors import ArgumentError
from penchant.protocols import Prepares, Solvable, Trainable
from penchant.train.fit import planned as plan_of
from penchant.train.fit import preferences


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
    return audit_recipe(recipe, split, sample=options.examples, seed=options.seed) + _not_yet(recipe)


def _not_yet(recipe: Recipe) -> Audit:
    """Names the models that count nothing before they are solved."""
    solved = [planned.name for planned in recipe.models if issubclass(planned.cls, Solvable)]
    if not solved:
        return Audit((), ())
    told = f"counted only in training: {', '.join(solved)}; `penchant train` audits them then"
    return Audit((Finding(Kind.NOT_LOOKED_AT, "note", "recipe", told),), ())


def _of_bundle(options: argparse.Namespace) -> Audit:
    if options.set and options.recipe is None:
        raise ArgumentError("--set", options.set[0], expected="--recipe beside it: a bundle has no settings")
    bundle = Bundle.open(options.what, options.trust)
    funnel = bundle.funnel
    modules = {name: model for name, model in funnel.models.items() if isinstance(model, nn.Module)}
    split = split_asked(options, [bundle], changes=options.set)
    sources = _sources_of(modules, split, {})
    return audit(split, sources, modules, sample=options.examples, seed=options.seed)


def audit_recipe(recipe: Recipe, split: Split, *, sample: int | None = SAMPLE, seed: int = 0) -> Audit:
    """Audits what a recipe's models are about to learn from, and be asked; nothing is trained or solved.

    Args:
        recipe: whose models.
        split: the recipe's.
        sample: examples of each model to look at; None for an epoch.
        seed: of the sample.
    """
    models = {planned.name: recipe.build(planned, split.log.features) for planned in recipe.models}
    settings = {planned.name: planned.fit for planned in recipe.models}
    counting = {name: model for name, model in models.items() if isinstance(model, Prepares)}
    for model in counting.values():
        model.prepare(split)
    sources = _sources_of(models, split, settings)
    return audit(split, sources, counting, sample=sample, seed=seed)


def _sources_of(
    models: Mapping[str, object], split: Split, settings: Mapping[str, Mapping[str, Any]]
) -> dict[str, Source]:
    """The sources that `fit` would make of those models that are trained.

    Args:
        models: by name.
        split: what they learn from.
        settings: arguments of `fit`, by the model's name.
    """
    found: dict[str, Source] = {}
    for name, model in models.items():
        if isinstance(model, Trainable):
            given = {key: value for key, value in settings.get(name, {}).items() if key != "device"}
            plan = plan_of(preferences(model), given)
            found[name] = model.source(split, batch_size=plan.batch_size, seed=plan.seed)
    return found


def require_clean(found: Audit, screen: Screen) -> Audit:
    """The audit. Where it found a violation all of it is told, and LeakError is raised."""
    if not found.ok:
        screen.say(str(found))
    return found.check()
