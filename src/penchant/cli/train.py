"""`penchant train`: follows a recipe to a bundle, its figures and a page; goes on where it was stopped."""

import argparse
import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn

from penchant.cli.audit import audit_recipe, require_clean
from penchant.cli.bundle import system_of
from penchant.cli.console import Screen, cell, plain, program, write_json
from penchant.cli.recipe import Recipe, read_recipe
from penchant.cli.recipe_models import Planned
from penchant.cli.rehearsal import look_at_data, rehearse
from penchant.cli.results import show, tell_newcomers, write_report
from penchant.data.audit import audit_counts
from penchant.data.findings import Audit
from penchant.data.interactions import Interactions
from penchant.data.split import Split
from penchant.errors import ArgumentError
from penchant.evaluation import evaluate
from penchant.evaluation.result import Result
from penchant.funnel import Funnel
from penchant.train import fit
from penchant.train.checkpoint import describe


def run(options: argparse.Namespace) -> None:
    """Follows the recipe of the command line."""
    screen = Screen(options)
    recipe = read_recipe(options.recipe, changes=options.set, trust=options.trust)
    tell_settings(recipe, screen)
    if options.check:
        if (log := look_at_data(recipe)) is not None:
            rehearse(recipe, log, recipe.split(log))
        screen.say(
            f"{options.recipe}: fine" + ("" if log is not None else ", by the header of its large table")
        )
        screen.answer({"recipe": options.recipe, "changed": _changed(recipe)})
        return
    out = options.out or Path("runs") / options.recipe.stem
    done = follow(recipe, out, screen, fresh=options.fresh, audited=not options.no_audit)
    screen.say(
        "",
        f"written: {out}/bundle, {out}/result.json" + (f", {out}/{recipe.report}" if recipe.report else ""),
    )
    screen.say(f"next: {program()} recommend {out} --user {_some_user(done.funnel)} -k 10")
    screen.answer(done.as_dict())


@dataclass(frozen=True)
class Run:
    """What a recipe led to.

    Attributes:
        recipe, out: the recipe and the folder.
        models: the trained models by name.
        funnel: the funnel, as saved in `out/bundle`.
        split: the split.
        result: the evaluation.
        seconds: what each step took.
        audit: that nothing leaks; None where that was not looked at.
    """

    recipe: Recipe
    out: Path
    models: Mapping[str, nn.Module]
    funnel: Funnel
    split: Split
    result: Result
    seconds: dict[str, float]
    audit: Audit | None = None

    @property
    def training(self) -> dict[str, Any]:
        """The training log of every model that has one."""
        return {name: log for name, m in self.models.items() if (log := getattr(m, "training_log", None))}

    def as_dict(self) -> dict[str, Any]:
        """What stands in result.json: the evaluation, and under "run" what led to it."""
        split = self.recipe.split
        return self.result.as_dict() | {
            "run": {
                "recipe": plain(self.recipe.document.value),
                "split": {
                    "name": split.keys[-1],
                    "arguments": plain(split.arguments),
                    "told": self.split.name,
                },
                "changed": _changed(self.recipe),
                "models": {name: describe(model) for name, model in self.models.items()},
                "training": self.training,
                "data": self.split.log.profile.as_dict(),
                "seconds": self.seconds,
                "audit": None if self.audit is None else self.audit.as_dict(),
                "penchant": version("penchant"),
            }
        }


def follow(recipe: Recipe, out: Path, screen: Screen, *, fresh: bool = False, audited: bool = True) -> Run:
    """Trains, evaluates and saves what a recipe says.

    Args:
        recipe: what to do.
        out: the folder of the run: checkpoints/, bundle/, result.json and the page.
        screen: where to tell of it.
        fresh: whether to forget checkpoints of an earlier, unfinished run.
        audited: whether to look for leaks: in what is to be learned from, before anything is trained, and in
            what was counted, before anything is evaluated.

    Raises: LeakError where something leaks.
    """
    out.mkdir(parents=True, exist_ok=True)
    if (out / "result.json").exists():
        screen.warn(f"the run in {out} is replaced: its bundle, figures and page")
    if fresh:
        shutil.rmtree(out / "checkpoints", ignore_errors=True)
    clock = _Clock()
    log: Interactions = recipe.data()
    split: Split = recipe.split(log)
    screen.say(
        f"data: {len(log):,} events, {log.profile.users:,} users, {log.profile.items:,} items",
        f"split: {split!r}",
    )
    rehearse(recipe, log, split)
    clock.lap("data")
    looked = None
    if audited:
        looked = require_clean(audit_recipe(recipe, split), screen)
        clock.lap("audit")
    models = {planned.name: _fitted(recipe, planned, split, out, screen, clock) for planned in recipe.models}
    if looked is not None:
        looked = require_clean(looked + audit_counts(split, models), screen)
        screen.say(looked.line)
        for remark in looked.remarks:
            screen.warn(f"{remark.kind} ({remark.where}): {remark.message}")
        clock.lap("audit of counts")
    funnel = _funnel(recipe, models, log)
    part = split.test if recipe.part == "test" else split.valid
    systems: Any = [models[name] for name in recipe.against]
    asked = part if recipe.evaluate.get("setting") else part(recipe.at)  # a published setting makes queries
    result = evaluate(system_of(funnel), asked, against=systems, **recipe.evaluate)
    clock.lap("evaluate")
    show(result, screen, title=f"{recipe.document.path.stem}: {part.name} part")
    tell_newcomers(result, split, screen)
    done = Run(recipe, out, models, funnel, split, result, clock.laps, looked)
    funnel.save(out / "bundle", result=result)
    write_json(out / "result.json", done.as_dict())
    if recipe.report:
        write_report(result, out / recipe.report, screen, profile=log.profile, training=done.training)
    return done


def _fitted(
    recipe: Recipe, planned: Planned, split: Split, out: Path, screen: Screen, clock: "_Clock"
) -> nn.Module:
    model = recipe.build(planned, split.log.features)
    folder = out / "checkpoints" / f"{planned.name}-{_fingerprint(planned, model, split)}"
    try:
        fit(model, split, checkpoint=folder, resume=True, progress=screen.progress, **planned.fit)
    except ArgumentError as error:
        if error.name in planned.fit:
            error.add_note(
                f"  At: {recipe.document.path}, {recipe.document.where((*planned.keys, 'fit', error.name))}"
            )
        raise
    clock.lap(f"fit {planned.name}")
    return model


def _fingerprint(planned: Planned, model: nn.Module, split: Split) -> str:
    """A name for the checkpoint of a model, made of all that its weights depend on."""
    facts = [
        describe(model),
        planned.fit,
        split.name,
        split.ties,
        split.log.profile.as_dict(),
        split.digest,
        version("penchant"),
    ]
    return hashlib.sha256(json.dumps(plain(facts), sort_keys=True).encode()).hexdigest()[:10]


def _funnel(recipe: Recipe, models: dict[str, nn.Module], log: Interactions) -> Funnel:
    retrievers, ranker = recipe.retrievers, recipe.ranker
    rank: Any = None if ranker is None else models[ranker]
    found: Any = [models[name] for name in retrievers]
    return Funnel(retrieve=found, rank=rank, data=log, names=retrievers, **recipe.funnel)


def tell_settings(recipe: Recipe, screen: Screen) -> None:
    """Prints every setting that differs from its default."""
    if recipe.changed:
        rows = [(change.setting, _shown(change.value), _shown(change.default)) for change in recipe.changed]
        screen.table(rows, ["settings that differ", "here", "by default"])


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple) and value:
        return ", ".join(map(_shown, value))
    return "none" if value is None or value in ((), [], {}) else cell(value)


def _changed(recipe: Recipe) -> list[dict[str, Any]]:
    return [
        {"setting": change.setting, "value": plain(change.value), "default": plain(change.default)}
        for change in recipe.changed
    ]


def _some_user(funnel: Funnel) -> object:
    return next(iter(funnel.data.users.vocabulary.all_ids[:1]), "ID")


class _Clock:
    """Wall seconds between laps."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round(now - self._last, 2)
        self._last = now
