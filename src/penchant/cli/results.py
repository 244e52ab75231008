"""Results of evaluations as tables for a terminal; figures come from `Result` alone."""

import math
import re

from penchant.cli.console import Screen
from penchant.evaluation.result import Estimate, Result

_SHOWN = ("ndcg", "recall", "mrr")


def show(result: Result, screen: Screen, *, title: str) -> None:
    """Prints who was asked what, a row a system with intervals, and the differences to the first system."""
    setting = result.setting
    screen.title(title)
    screen.say(f"{len(result.users):,} queries of {result.n_users:,} users. {setting}.")
    for reason, count in result.left_out.items():
        screen.say(f"left out: {count:,} queries ({reason})")
    if result.verdict:
        screen.warn(result.verdict)
    first = result.systems[0]
    cutoff = 10 if 10 in setting.cutoffs else setting.cutoffs[len(setting.cutoffs) // 2]
    metrics = [f"{name}@{cutoff}" for name in _SHOWN if f"{name}@{cutoff}" in first.metrics]
    rows = [[s.name, *(estimate(s.metrics.get(m)) for m in metrics)] for s in result.systems]
    screen.table(rows, ["", *metrics])
    rows = [
        [f"{first.name} minus {s.name}", *(estimate(s.difference.get(m), signed=True) for m in metrics)]
        for s in result.systems[1:]
        if s.difference
    ]
    if rows:
        screen.table(rows, ["", *metrics])
        if any(str(figure).endswith("?") for row in rows for figure in row):
            screen.say("? the interval holds 0: too few users to tell")
    if first.stages:
        rows = [
            [stage, name, value] for stage, recall in first.stages.items() for name, value in recall.items()
        ]
        screen.table(rows, [f"stages of {first.name}", "", "share of targets found"])


def estimate(found: Estimate | None, *, signed: bool = False) -> str:
    """`.0567 [.0510, .0624]`; a difference carries its sign, and "?" where its interval holds 0."""
    if found is None:
        return ""
    form = "+.4f" if signed else ".4f"
    text = f"{found.value:{form}}"
    if math.isfinite(found.low):
        text += f" [{found.low:{form}}, {found.high:{form}}]"
        if signed and not found.clear:
            text += " ?"
    return re.sub(r"(?<!\d)0\.", ".", text)
