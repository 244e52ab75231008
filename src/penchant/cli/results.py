"""Results of evaluations on a terminal: what `print(result)` shows, fitted to its width."""

from penchant.cli.console import Screen
from penchant.evaluation.lines import Table, parts
from penchant.evaluation.result import Result


def show(result: Result, screen: Screen, *, title: str) -> None:
    """Prints a result under a title; see `penchant.evaluation.lines.parts`."""
    screen.title(title)
    for part in parts(result):
        if isinstance(part, Table):
            screen.table(part.rows, part.head)
        elif part == result.verdict:
            screen.warn(part)
        else:
            screen.say(part)
