"""The command line: a table of commands, each imported only when it is called."""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import NoReturn

from penchant.cli.arguments import logs, measuring, recipes, recommending, shared
from penchant.errors import ArgumentError, LeakError, PenchantError, TrustError, nearest

__all__ = ["COMMANDS", "Command", "main"]

# Python's names of arguments that the command line calls otherwise
_CALLED = {
    "exclude_seen": "--seen",
    "histories": "--history",
    "pinned": "--pin",
    "resamples": "--bootstrap",
    "users": "--user",
}
FINE, BROKEN, BAD, GATE, INTERRUPTED = 0, 1, 2, 3, 130

_EPILOG = """\
first steps:
  penchant demo                 see all of it on a real log, in minutes
  penchant COMMAND --help       what a command does, with an example that runs

environment:
  OMP_WAIT_POLICY               PASSIVE unless you set it: threads that spin as they wait slow a busy machine

exit codes:
  0    fine
  1    something broke (disk full, a bug)
  2    bad usage or bad input
  3    a gate of `penchant compare` failed, or a leak was found
  130  interrupted by Ctrl-C
"""


@dataclass(frozen=True)
class Command:
    """A command of `penchant`.

    Attributes:
        module: whose `function(options)` does the work and gives None or an exit code; imported when it is
            called, not before.
        function: its name.
        line: what the command does, in one line.
        arguments: adds the command's arguments to a parser; must import nothing heavy.
        resumes: whether it goes on from where it was stopped.
    """

    module: str
    function: str
    line: str
    arguments: Callable[[argparse.ArgumentParser], None]
    resumes: bool = False


COMMANDS = {
    "demo": Command(
        "penchant.cli.demo",
        "run",
        "a real log to a trained, evaluated, saved, queried recommender",
        recipes.demo,
        resumes=True,
    ),
    "import": Command(
        "penchant.cli.data", "import_", "an event table to a store that opens at once", logs.import_
    ),
    "profile": Command(
        "penchant.cli.data", "profile", "what a log holds, and what is odd about it", logs.profile
    ),
    "simulate": Command(
        "penchant.cli.simulate",
        "run",
        "a log of a simulated world, and the truth about it",
        logs.simulate,
    ),
    "train": Command(
        "penchant.cli.train",
        "run",
        "a recipe to a bundle, its figures and a report",
        recipes.train,
        resumes=True,
    ),
    "tune": Command(
        "penchant.cli.tune",
        "run",
        "the best settings of a recipe's models, by validation",
        recipes.tune,
        resumes=True,
    ),
    "audit": Command(
        "penchant.cli.audit",
        "run",
        "whether a recipe or a bundle learns from what comes later; a gate for scripts",
        recipes.audit,
    ),
    "evaluate": Command(
        "penchant.cli.evaluate",
        "run",
        "how good a saved bundle, or a list of another tool, is on held-out events",
        measuring.evaluate,
    ),
    "compare": Command(
        "penchant.cli.compare",
        "run",
        "whether one system beats another by more than chance; a gate for scripts",
        measuring.compare,
    ),
    "recommend": Command(
        "penchant.cli.recommend", "run", "lists for users, with reasons", recommending.recommend, resumes=True
    ),
}


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help in two columns, the text as wide as the terminal but no wider than reads well."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=min(shutil.get_terminal_size().columns, 110) - 2)


class _Parser(argparse.ArgumentParser):
    """A parser that names the nearest option where one is unknown, and shows no usage dump with an error."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD, f"{self.prog}: {message}\n  See: {self.prog} --help\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Says `message` where it belongs and ends."""
        (sys.stderr if status else sys.stdout).write(message or "")
        sys.exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: what stands behind `penchant`; the process's own arguments by default.

    Returns: the exit code, as `penchant --help` lists them.
    """
    if argv is None:  # a process of our own: OpenMP reads this once, when torch is imported
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        options, flags = _options(words)
    except SystemExit as stop:  # argparse has said why
        return _flushed(int(stop.code or 0))
    command = COMMANDS[options.command]
    try:
        code = getattr(import_module(command.module), command.function)(options)
    except KeyboardInterrupt:
        goes_on = "; the same command goes on from its last checkpoint" if command.resumes else ""
        return _told(f"interrupted{goes_on}", INTERRUPTED)
    except PenchantError as error:
        if options.debug:
            raise
        hint = (
            [f"  On the command line: --trust {error.path.split('.')[0]}"]
            if isinstance(error, TrustError)
            else []
        )
        code = GATE if isinstance(error, LeakError) else BAD
        said = _by_flag(error, flags) if isinstance(error, ArgumentError) else error
        return _told("\n".join([str(said), *hint, *getattr(error, "__notes__", [])]), code)
    except OSError as error:
        if options.debug:
            raise
        named = isinstance(
            error, FileNotFoundError | IsADirectoryError | NotADirectoryError | PermissionError
        )
        return _told(
            f"{error.filename or 'input or output'}: {error.strerror or error}", BAD if named else BROKEN
        )
    return _flushed(code or FINE)


def _flushed(code: int) -> int:
    """The exit code, once stdout is written: a reader (head, less) that has seen enough changes nothing."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        reader_left()
    return code


def reader_left() -> None:
    """Nobody reads stdout any more: the rest goes nowhere, and the command goes on to its own end."""
    with suppress(OSError, ValueError):  # ValueError: a stdout that is no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _by_flag(error: ArgumentError, flags: Collection[str]) -> ArgumentError:
    """An error of the library in the words of the command line: `--cutoffs` for `cutoffs`."""
    name = re.split(r"\W", error.name)[0]
    own = f"--{name.replace('_', '-')}"
    flag = own if own in flags else _CALLED.get(name, own)
    return error.renamed(flag + error.name.removeprefix(name)) if flag in flags else error


def _told(message: str, code: int) -> int:
    with suppress(BrokenPipeError):
        sys.stderr.write(f"penchant: {message}\n")
    return _flushed(code)


def _options(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The command and its options, and all its flags; SystemExit where argparse ends the run itself."""
    if not words or words[0].startswith("-"):
        _top(words)
    name, *rest = words
    if name not in COMMANDS:
        _parser("penchant").error(f"unknown command {name!r}: {nearest(name, list(COMMANDS))}")
    parser = _parser(f"penchant {name}")
    COMMANDS[name].arguments(parser)
    shared.output(parser)
    options, unknown = parser.parse_known_args(rest, argparse.Namespace(command=name))
    known = [flag for flag in parser._option_string_actions if flag.startswith("--")]
    if unknown:
        word = unknown[0].split("=")[0]
        parser.error(
            f"unknown argument {word!r}" + (f": {nearest(word, known)}" if word.startswith("--") else "")
        )
    return options, known


def _parser(prog: str) -> _Parser:
    return _Parser(prog=prog, allow_abbrev=False, formatter_class=_Help)


def _top(words: list[str]) -> NoReturn:
    """What `penchant` answers without a command."""
    parser = _parser("penchant")
    parser.usage = "penchant COMMAND [options]"
    wide = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:<{wide}}  {command.line}" for name, command in COMMANDS.items())
    parser.description = (
        f"From an event log to a trained, evaluated, saved recommender.\n\ncommands:\n{lines}"
    )
    parser.epilog = _EPILOG
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    if parser.parse_args(words).version:
        from importlib.metadata import version  # slow, and needed here only

        parser.exit(FINE, f"penchant {version('penchant')}\n")
    parser.print_help()
    parser.exit(FINE)
