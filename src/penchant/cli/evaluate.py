"""`penchant evaluate`: how good a saved bundle, or a list that another tool wrote, is on held-out events."""

import argparse
from pathlib import Path
from typing import Any

from penchant.cli.bundle import Bundle
from penchant.cli.console import Screen
from penchant.cli.other_runs import read_runs, require_lists, tell_places, told_runs
from penchant.cli.questions import ask
from penchant.cli.results import renamed, show, show_comparisons, tell_newcomers, write_report
from penchant.errors import PenchantError
from penchant.evaluation import evaluate
from penchant.evaluation.result import Result
from penchant.evaluation.runfiles import file_format, write_run
from penchant.evaluation.runs import Run


def run(options: argparse.Namespace) -> None:
    """Evaluates what the command line names: runs of other tools first, then the bundle."""
    screen = Screen(options)
    files: list[Path] = options.run
    if options.bundle is None and not files:
        raise PenchantError("nothing to evaluate.\n  Fix: give a bundle, --run FILE, or both.")
    if options.lists is not None:
        file_format(options.lists)
    bundles = [] if options.bundle is None else [Bundle.open(options.bundle, options.trust)]
    asked = ask(options, bundles, screen)
    if options.lists is not None:
        require_lists(asked)
    runs = read_runs(files, asked, options, screen)
    systems = [*runs, *(bundle.system for bundle in bundles)]
    if bundles and not runs:
        funnel = bundles[0].funnel
        systems += funnel.retrievers.values() if systems[0] is funnel else []
    result = evaluate(
        systems[0],
        asked.question,
        against=systems[1:],
        bootstrap=options.bootstrap,
        seed=options.seed,
        **asked.conditions,
    )
    if runs:
        result = renamed(
            result, [*(r.name for r in runs), *(row.name for row in result.systems[len(runs) :])]
        )
    named = [str(name) for name in (*files, options.bundle) if name is not None]
    show(result, screen, title=f"{', '.join(named)}: {asked.part.name} part")
    tell_newcomers(result, asked.part.split, screen)
    places = tell_places(runs, asked, result, screen)
    if options.report is not None:
        write_report(result, options.report, screen, profile=asked.log.profile)
    if options.lists is not None:
        write_run(Run.of(result, asked.log), options.lists, asked.log)
        screen.say(f"written: {options.lists} ({len(result.users):,} lists of {result.systems[0].name})")
    told = {"runs": told_runs(files, runs, places), "tests": _tested(result, screen)} if runs else {}
    screen.answer(result.as_dict() | told)


def _tested(result: Result, screen: Screen) -> list[dict[str, Any]]:
    """The paired tests of the first system against each other one, told and as JSON values.

    The intervals above are of each metric alone; these say what differs, whatever else was looked at.
    """
    first, *others = result.systems
    told: list[dict[str, Any]] = []
    for other in others:
        asked = result.setting
        found = result.compare(other.name, resamples=asked.bootstrap, level=asked.level, seed=asked.seed)
        screen.say("", f"paired permutation test over users, {first.name} against {other.name}")
        show_comparisons(found, other.name, first.name, screen)
        told.append({"a": other.name, "b": first.name, "comparisons": [one.as_dict() for one in found]})
    return told
