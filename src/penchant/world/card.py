"""What was planted, in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import polars as pl
import torch

from penchant.world.check import LIMIT
from penchant.world.effects import Sessions
from penchant.world.survival import ratio_of, survival
from penchant.world.world import EFFECTS, World

_USERS = 1_024  # behind the survival figures of a card


def card(world: World, *, counts: Mapping[str, Any], checks: pl.DataFrame, checked: str) -> str:
    """A page of Markdown about a simulated log.

    Args:
        world: the world that made it.
        counts: figures of the log, by name.
        checks: what `check` gave.
        checked: of which part of the log, in words.
    """
    kind = "choices" if world.exposure is None else "exposures with clicks"
    off = [name for name in EFFECTS if name not in world.effects]
    lines = [
        f"# A simulated log of {kind}",
        "",
        f"{world.users:,} users, {world.items:,} items in {world.categories} categories, {world.days} days, "
        f"seed {world.seed}. The same world gives the same log, bit for bit: `World.from_json` reads "
        "`world.json`.",
        "",
        *_table(["in this log", ""], [(name, _number(value)) for name, value in counts.items()]),
        "",
        "## What is planted",
        "",
        *_effect("sessions", Sessions.__doc__, asdict(world.sessions)),
    ]
    for name in world.effects:
        lines += _effect(name, EFFECTS[name].__doc__, asdict(getattr(world, name)))
    lines += [f"Off: {', '.join(off) or 'nothing'}.", "", *_truths(world)]
    worst = float(checks["z"].abs().max()) if len(checks) else 0.0  # pyright: ignore[reportArgumentType]
    verdict = "passed" if worst < LIMIT else "**failed**"
    lines += [
        "## The log against the truth",
        "",
        f"z-tests on {checked}: {verdict}, the largest |z| is {worst:.2f} (limit {LIMIT:g}). Probabilities "
        "are worked out anew from the rows of the log.",
        "",
        *_table(list(checks.columns), [tuple(map(_number, row)) for row in checks.rows()]),
        "",
    ]
    return "\n".join(lines)


def _effect(name: str, words: str | None, values: Mapping[str, Any]) -> list[str]:
    """An effect's own docstring up to its arguments, and its numbers."""
    text = (words or "").split("\n\n    Args:")[0].replace("\n    ", "\n").strip()
    numbers = ", ".join(f"{key} {_number(value)}" for key, value in values.items())
    return [f"### {name}", "", text, "", f"Here: {numbers}.", ""]


def _truths(world: World) -> list[str]:
    """What follows from the numbers: the semantic-temporal map, survival by arm, the hazard ratio."""
    lines: list[str] = []
    if world.semantic is not None:
        row = ", ".join(f"{x:.3f}" for x in world.semantic_map(8)[1].tolist())
        lines += [
            f"An event of the same category adds to the log-odds, by rank from the latest: {row}, ... "
            "(at age 0).",
            "",
        ]
    if world.churn is None:
        return lines
    days = torch.linspace(0, world.days, 5, dtype=torch.float64)[1:]
    arms = [False] if world.treatment is None else [False, True]
    curves = [survival(world, days, treated=arm, users=_USERS) for arm in arms]
    rows = [
        (f"{day:g}", *(f"{float(curve.share[n]):.4f} +- {float(curve.error[n]):.4f}" for curve in curves))
        for n, day in enumerate(days.tolist())
    ]
    names = ["untreated", "treated"][: len(arms)]
    lines += [f"Share of users who have not quit ({_USERS:,} simulated users an arm):", ""]
    lines += [*_table(["day", *names], rows), ""]
    if world.treatment is not None:
        ratio = ratio_of(world.treatment, curves[1], curves[0])
        lines += [
            f"Hazard ratio of the treatment: {ratio.direct:.4f} directly, {ratio.total:.4f} in all.", ""
        ]  # fmt: skip
    return lines


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
