"""Results of evaluations for people: on a terminal, what `print(result)` shows; and as a page."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from penchant import report
from penchant.cli.console import Screen
from penchant.data.split import Split
from penchant.errors import MissingExtraError
from penchant.evaluation.compare import too_few
from penchant.evaluation.lines import Table, figure, parts
from penchant.evaluation.result import Estimate, Result
from penchant.evaluation.significance import Comparison
from penchant.protocols import numbered


def show(result: Result, screen: Screen, *, title: str) -> None:
    """Prints a result under a title; see `penchant.evaluation.lines.parts`."""
    screen.title(title)
    for part in parts(result):
        if isinstance(part, Table):
            screen.table(part.rows, part.head)
        elif part == result.verdict or part in result.cautions:
            screen.warn(part)
        else:
            screen.say(part)


def show_comparisons(found: Sequence[Comparison], a: str, b: str, screen: Screen) -> None:
    """Prints system `b` held against `a`, a row a metric."""
    rows: list[list[str]] = []
    for one in found:
        difference = Estimate(one.difference.value, one.difference.low, one.difference.high)
        rows.append([
            one.metric, figure(Estimate(one.a)), figure(Estimate(one.b)),
            figure(difference, signed=True, judged=False), f"{one.p:.4f}", f"{one.p_holm:.4f}", one.verdict,
        ])  # fmt: skip
    screen.table(rows, ["", a, b, f"{b} minus {a}", "p", "p (Holm)", f"{b} is"])


def tell_newcomers(result: Result, split: Split, screen: Screen) -> None:
    """Says how many of those asked about have events in the training rows, where some have none."""
    users = np.unique(result.users)
    known = int(split.seen_users[torch.from_numpy(users)].sum())
    if known < len(users):
        screen.say(
            f"{known:,} of these {len(users):,} users "
            f"{'has' if known == 1 else 'have'} events in the training rows"
            + (": too few to say how well known users are served" if too_few(known) else "")
        )


def write_report(
    result: Result | Mapping[str, Result] | None, path: Path, screen: Screen, **more: Any
) -> None:
    """Writes the page (see `report.html`); where its packages are missing, that is told and nothing lost."""
    try:
        report.html(result, path, **more)
    except MissingExtraError as error:
        screen.warn(f"no report: {error}")


def renamed(result: Result, names: Sequence[str]) -> Result:
    """A result whose systems are called so, in order."""
    rows = (replace(row, name=name) for row, name in zip(result.systems, numbered(names), strict=True))
    return replace(result, systems=tuple(rows))


def labels(paths: Sequence[Path]) -> list[str]:
    """What to call files and folders: by their names, without the ending where these differ without it."""
    whole = [path.resolve().name if path.is_dir() else path.name for path in paths]
    short = [name if path.is_dir() else path.stem for name, path in zip(whole, paths, strict=True)]
    return short if len(set(short)) == len(short) else numbered(whole)
