"""What a command audits: the sources of a recipe's models before they train, and what they counted."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from penchant.cli.console import Screen
from penchant.cli.recipe import Recipe
from penchant.data.audit import SAMPLE, audit
from penchant.data.findings import Audit
from penchant.data.loader import Source
from penchant.data.split import Split
from penchant.protocols import Prepares, Trainable
from penchant.train.fit import planned as plan_of
from penchant.train.fit import preferences


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
    sources = sources_of(models, split, settings)
    return audit(split, sources, counting, sample=sample, seed=seed)


def sources_of(
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


def counted(models: Mapping[str, nn.Module], split: Split) -> Audit:
    """Audits on which rows models counted, once they are trained or solved."""
    return audit(split, statistics=models, queries=())


def require_clean(found: Audit, screen: Screen) -> Audit:
    """The audit. Where it found a violation all of it is told, and LeakError is raised."""
    if not found.ok:
        screen.say(str(found))
    return found.check()
