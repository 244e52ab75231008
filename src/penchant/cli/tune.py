"""`penchant tune`: the best settings of a recipe's models by its validation part, as many trials each."""

import argparse
import inspect
import logging
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from penchant.cli.audit import audit_recipe, require_clean
from penchant.cli.console import Screen, plain, program, write_json
from penchant.cli.recipe import Recipe, read_recipe
from penchant.cli.recipe_models import Planned
from penchant.cli.rehearsal import rehearse
from penchant.cli.results import write_report
from penchant.data.atomic import atomic_file
from penchant.data.interactions import Features, Interactions
from penchant.data.split import Split
from penchant.errors import ArgumentError, RecipeError
from penchant.train import Search, Tuned, tune
from penchant.train.tune import listed


def run(options: argparse.Namespace) -> None:
    """Tunes the models of the recipe of the command line."""
    screen = Screen(options)
    recipe = read_recipe(options.recipe, changes=options.set, trust=options.trust)
    chosen = [planned for planned in recipe.models if planned.tune]
    if not chosen:
        raise RecipeError(
            f"{recipe.document.path}: no model says where to look.\n"
            "  Fix: give one a key `tune`, such as tune: {width: [32, 64, 128]}."
        )
    out: Path = options.out or Path("runs") / f"{recipe.document.path.stem}-tuned"
    log: Interactions = recipe.data()
    split: Split = recipe.split(log)
    rehearse(replace(recipe, evaluate={}), log, split)  # what is evaluated afterwards is not looked at
    screen.say(f"data: {len(log):,} events, {log.profile.users:,} users, {log.profile.items:,} items")
    screen.say(f"split: {split!r}")
    if not options.no_audit:
        screen.say(require_clean(audit_recipe(replace(recipe, models=chosen), split), screen).line)
    screen.say(f"{options.trials} trials a model, chosen by the valid part")
    with _quiet_training():
        tuned = _tuned(recipe, chosen, split, options, out, screen)
    told = tuned.as_dict() | {"recipe": plain(recipe.document.value), "penchant": version("penchant")}
    write_json(out / "tune.json", told)
    _write_recipe(recipe, chosen, tuned, out)
    write_report(
        None, out / "report.html", screen, studies=tuned, profile=log.profile, json=False,
    )  # fmt: skip
    _show(tuned, screen)
    screen.say("", f"written: {out}/tuned.yaml, {out}/tune.json, {out}/report.html")
    screen.say(f"next: {program()} train {out}/tuned.yaml --out {out}/run")
    screen.answer(told)


def _tuned(
    recipe: Recipe,
    chosen: list[Planned],
    split: Split,
    options: argparse.Namespace,
    out: Path,
    screen: Screen,
) -> Tuned:
    searches = {planned.name: Search(_Make(planned), planned.tune, planned.fit) for planned in chosen}
    try:
        return tune(
            searches, split, trials=options.trials, seed=options.seed, study=out / "study",
            progress=screen.progress,
        )  # fmt: skip
    except ArgumentError as error:
        for planned in chosen:
            if (place := _place(planned, error.name)) is not None:
                error.add_note(f"  At: {recipe.document.path}, {recipe.document.where(place)}")
                break
        raise


def _place(planned: Planned, name: str) -> tuple[str | int, ...] | None:
    """Where a recipe says an argument that was refused."""
    for key, given in (("fit", planned.fit), ("init_args", planned.arguments), ("tune", planned.tune)):
        if name in given:
            return (*planned.keys, key, name)
    return None


class _Make:
    """A model of a recipe as `tune` takes it: what the recipe says of it stands for its defaults."""

    def __init__(self, planned: Planned) -> None:
        self.planned = planned
        self.__qualname__ = planned.cls.__qualname__
        whole = inspect.signature(partial(planned.cls, **planned.arguments))
        said = [p for n, p in whole.parameters.items() if n != "seed" or "seed" not in planned.arguments]
        first = inspect.Parameter("features", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self.__signature__ = whole.replace(parameters=[first, *(p for p in said if p.name != "features")])

    def __call__(self, features: Features, **settings: Any) -> nn.Module:
        """The model, untrained."""
        return replace(self.planned, arguments={**self.planned.arguments, **settings}).build(features)


@contextmanager
def _quiet_training() -> Generator[None]:
    """While it tunes a line a trial is enough, without those of every epoch."""
    log = logging.getLogger("penchant.train")
    before = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(before)


def _show(tuned: Tuned, screen: Screen) -> None:
    rows: list[tuple[object, ...]] = []
    for name, searched in tuned.models.items():
        if (best := searched.best) is None:
            screen.warn(f"{name}: every trial failed ({searched.trials[0].error})")
            continue
        failed = sum(trial.value is None for trial in searched.trials)
        settings = listed(searched.trials[best.trial - 1].settings)
        said = settings + (" (the recipe's own)" if best.trial == 1 else "")
        rows.append(
            (
                name,
                best.metric,
                best.default,
                best.value,
                f"{best.trial}/{len(searched.trials)}",
                failed,
                said,
            )
        )
    screen.title("Best settings, by the validation part")
    screen.table(rows, ["model", "metric", "the recipe's own", "best", "trial", "failed", "settings"])
    screen.say("The best of several on the same queries flatters: the test part says what it is worth.")


def _write_recipe(recipe: Recipe, chosen: list[Planned], tuned: Tuned, out: Path) -> None:
    """The recipe with the best settings in their places, its paths as seen from `out`."""
    value: Any = deepcopy(recipe.document.value)
    value["data"] = _moved(value["data"], recipe.document.folder, out)
    for place, given in enumerate(value["models"]):
        model: dict[str, Any] = {"class_path": given} if isinstance(given, str) else given
        model.pop("tune", None)
        planned = next((p for p in chosen if p.keys == ("models", place)), None)
        best = None if planned is None else tuned.models[planned.name].best
        if planned is not None and best is not None:
            for key, said, before in (
                ("init_args", best.model, planned.arguments), ("fit", best.fit, planned.fit)
            ):  # fmt: skip
                news = {n: v for n, v in said.items() if n not in before or before[n] != v}
                if news.get("seed") == 0:  # as it is where nothing is said
                    del news["seed"]
                if news:
                    model[key] = {**(model.get(key) or {}), **news}
        value["models"][place] = model if len(model) > 1 else model["class_path"]
    text = yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True, width=100)
    head = f"# {recipe.document.path.name} with the best settings that `penchant tune` found.\n"
    with atomic_file(out / "tuned.yaml") as file:
        file.write_text(head + text, encoding="utf-8")


def _moved(data: Any, folder: Path, out: Path) -> Any:
    """The part `data` of a recipe in `folder`, for one in `out`: paths are relative to the recipe."""

    def path(text: Any) -> Any:
        if not isinstance(text, str) or Path(text).is_absolute():
            return text
        return os.path.relpath((folder / text).absolute(), out.absolute())

    if not isinstance(data, Mapping):
        return path(data)
    found: dict[str, Any] = {}
    for name, inner in data.items():
        if name in ("items", "users"):
            inner = _moved(inner, folder, out) if isinstance(inner, Mapping) else inner
        found[name] = path(inner) if name in ("source", "folder") else inner
    return found
