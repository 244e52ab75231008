"""`penchant compare`: whether one system beats another by more than chance, as a table and as a gate."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from penchant.cli import GATE
from penchant.cli.bundle import Bundle
from penchant.cli.console import Screen
from penchant.cli.other_runs import read_runs, tell_places, told_runs
from penchant.cli.questions import Asked, ask
from penchant.cli.results import labels, renamed, show_comparisons
from penchant.errors import ArgumentError
from penchant.evaluation import evaluate
from penchant.evaluation.compare import too_few
from penchant.evaluation.ranking import RANKING_METRICS
from penchant.evaluation.result import Result
from penchant.evaluation.significance import Comparison

_METRICS = ("ndcg@10", "recall@10", "mrr@10")


class _Gate(NamedTuple):
    """What is asked of the second system: "not worse" or "better" by a metric; if it holds, or why not."""

    metric: str
    asks: str
    passed: bool
    why: str

    def told(self, system: str) -> str:
        """In words."""
        if self.passed:
            fact = self.asks.replace("better", "clearly better").replace("not worse", "not clearly worse")
            return f"gate passed: {system} is {fact} by {self.metric}"
        return f"gate failed: {system} {self.why}"


def run(options: argparse.Namespace) -> int | None:
    """Compares the two systems of the command line; GATE where a gate fails."""
    screen = Screen(options)
    metrics = _metrics(options)
    for name, path in (("A", options.a), ("B", options.b)):
        if not path.exists():
            raise ArgumentError(
                name, str(path), expected="a bundle, the folder of a run, or lists: a file that is there"
            )
    paths = [_run_folder(path) for path in (options.a, options.b)]
    bundles = {place: Bundle.open(path, options.trust) for place, path in enumerate(paths) if path.is_dir()}
    asked = ask(options, list(bundles.values()), screen)
    files = {place: path for place, path in enumerate(paths) if place not in bundles}
    runs = dict(zip(files, read_runs(list(files.values()), asked, options, screen), strict=True))
    systems: list[Any] = [runs[place] if place in runs else bundles[place].system for place in (0, 1)]
    a, b = labels(paths)
    result = renamed(_asked(systems, asked, metrics), [b, a])
    try:
        found = result.compare(
            metrics=metrics, resamples=options.bootstrap, permutations=options.permutations,
            level=options.level, seed=options.seed,
        )  # fmt: skip
    except ArgumentError as error:
        if error.name == "metrics":  # what a gate names is its own
            for flag in ("gate", "better"):
                if error.value in getattr(options, flag):
                    raise error.renamed(f"--{flag}") from None
        raise
    _show(found, result, a, b, screen)
    places = tell_places(list(runs.values()), asked, result, screen)
    gates = _gates(found, options, fair=not result.systems[0].caution)
    for gate in gates:
        tell = screen.say if gate.passed else screen.warn
        tell(gate.told(b))
    passed = all(gate.passed for gate in gates)
    screen.answer(
        {
            "a": a,
            "b": b,
            "setting": result.as_dict()["setting"],
            "queries": len(result.users),
            "users": result.n_users,
            "left_out": dict(result.left_out),
            "masked": result.masked,
            "verdict": result.verdict,
            "cautions": result.cautions,
            "runs": told_runs(files.values(), runs.values(), places),
            "comparisons": [one.as_dict() for one in found],
            "gates": [gate._asdict() for gate in gates],
            "passed": passed,
        }
    )
    return None if passed else GATE


def _asked(systems: Sequence[Any], asked: Asked, metrics: Sequence[str]) -> Result:
    """Both systems' values by query, the second system's first."""
    conditions = dict(asked.conditions)
    if asked.setting is None:
        conditions["cutoffs"] = sorted({int(name.partition("@")[2]) for name in metrics})
    # Variety and novelty are measured only where intervals are asked for; ours are drawn later.
    listed = all(name.partition("@")[0] in RANKING_METRICS for name in metrics)
    return evaluate(
        systems[1], asked.question, against=[systems[0]], bootstrap=0 if listed else 1, slices=False,
        samples=0, **conditions,
    )  # fmt: skip


def _metrics(options: argparse.Namespace) -> list[str]:
    """The metrics compared: those named, and those of the gates."""
    named = [word.strip() for word in (options.metrics or "").split(",") if word.strip()] or list(_METRICS)
    given = {"--metrics": named, "--gate": options.gate, "--better": options.better}
    for flag, names in given.items():
        for name in names:
            base, at, cutoff = name.partition("@")
            if not (base and at and cutoff.isdigit() and int(cutoff)):
                several = ", parted by commas" if flag == "--metrics" else ""
                raise ArgumentError(flag, name, expected=f"names such as ndcg@10{several}")
    return list(dict.fromkeys(name for names in given.values() for name in names))


def _run_folder(path: Path) -> Path:
    """The folder of a run where its result was named; else the path."""
    return path.parent if path.name == "result.json" else path


def _show(found: Sequence[Comparison], result: Result, a: str, b: str, screen: Screen) -> None:
    screen.title(f"{b} against {a}: {result.setting.part} part")
    screen.say(result.caption, *result.told)
    for caution in [*([] if result.verdict is None else [result.verdict]), *result.cautions]:
        screen.warn(caution)
    show_comparisons(found, a, b, screen)


def _gates(found: Sequence[Comparison], options: argparse.Namespace, *, fair: bool) -> list[_Gate]:
    """What `--gate` and `--better` ask, and whether it holds.

    Args:
        found: by metric.
        options: `gate` and `better`.
        fair: whether B has not learned from what it was asked; what has passes no gate.
    """
    by_name = {one.metric: one for one in found}
    leaks = None if fair else "learned from what it was asked"
    gates: list[_Gate] = []
    for name in dict.fromkeys(options.gate):
        why = leaks or _worse(by_name[name])
        gates.append(_Gate(name, "not worse", why is None, why or ""))
    for name in dict.fromkeys(options.better):
        better = by_name[name].verdict == "higher"
        why = leaks or (None if better else f"is not clearly better by {name}")
        gates.append(_Gate(name, "better", why is None, why or ""))
    return gates


def _worse(one: Comparison) -> str | None:
    """Why a gate does not let B through: where too few can tell, or where its own test says worse.

    Uncorrected: that other metrics are looked at beside it must not help a worse system through.
    """
    if too_few(one.difference.users):
        return f"may be worse by {one.metric}: {one.difference.users} users are too few to tell"
    worse = one.difference.value < 0 and one.p <= 1 - one.level
    return f"is clearly worse by {one.metric}" if worse else None
