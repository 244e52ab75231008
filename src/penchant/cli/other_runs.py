"""Runs of other tools on a command line: read, and what became of their places told."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from penchant.cli.console import Screen
from penchant.cli.questions import Asked
from penchant.cli.results import labels
from penchant.errors import ArgumentError
from penchant.evaluation.result import Result
from penchant.evaluation.runfiles import read_run
from penchant.evaluation.runs import Places, Run, require_one_query_each


def read_runs(files: Sequence[Path], asked: Asked, options: argparse.Namespace, screen: Screen) -> list[Run]:
    """The runs in `files`, each by a name of its own; what is odd about them is told."""
    if files:
        require_lists(asked)  # before the files are read
    columns = {role: getattr(options, f"run_{role}") for role in ("user", "item", "score", "rank")}
    runs: list[Run] = []
    for file, name in zip(files, labels(files), strict=True):
        run = read_run(file, asked.log, **columns, name=name)
        for note in run.notes:
            screen.warn(f"{name}: {note}")
        runs.append(run)
    return runs


def require_lists(asked: Asked) -> None:
    """ArgumentError where a user is asked about more than once: lists of a run are one a user."""
    try:
        require_one_query_each(asked.queries)
    except ArgumentError as error:
        raise ArgumentError(
            "--at", "each", expected="cut: with these questions users are asked several times, and a run has "
            "one list each", fix="say --at cut, or leave the last event out: --split leave_last,k=1",
        ) from error  # fmt: skip


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
