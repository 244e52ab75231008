"""Arguments that several commands share, each said once."""

import argparse
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Protocol

BUNDLE = "a bundle, or the folder of a run that holds one"
SEEN = {"auto": None, "exclude": True, "keep": False}  # what each word of --seen is as `exclude_seen`


class Arguments(Protocol):
    """What takes arguments: a parser, or a group of one."""

    def add_argument(self, *flags: str, **settings: Any) -> argparse.Action:
        """Adds an argument."""
        ...


def describe(parser: ArgumentParser, usage: str, does: str, example: str) -> None:
    """What a command does, and an example that runs."""
    parser.usage = " ".join([parser.prog, *([usage] if usage else []), "[options]"])
    parser.description, parser.epilog = does, f"example:\n{example}"


def count(text: str) -> int:
    """An integer of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected an integer of at least 1")
    return number


count.__name__ = "integer"  # as argparse names it: "invalid integer value"


def output(parser: ArgumentParser) -> None:
    """What every command takes."""
    group = parser.add_argument_group("output")
    group.add_argument(
        "--json", action="store_true", help="the result as one JSON document on stdout; messages go to stderr"
    )
    group.add_argument(
        "--quiet", action="store_true", help="no messages and no progress: the result, notes and errors only"
    )
    group.add_argument("--debug", action="store_true", help="show the traceback of an error")


def recipe(to: Arguments) -> None:
    """RECIPE, what a command follows."""
    to.add_argument("recipe", type=Path, metavar="RECIPE", help="a YAML file")


def changes(to: Arguments) -> None:
    """Settings of the recipe that are changed."""
    to.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="change a setting of the recipe: split.leave_last.k=2, models.SASRec.width=32, "
        "models.SASRec.fit.epochs=5; may be repeated",
    )  # fmt: skip


def seed(to: Arguments, of: str, *, default: int | None = 0) -> None:
    """The seed of some draws."""
    to.add_argument(
        "--seed", type=int, default=default, metavar="N",
        help=f"of {of}; the same seed gives the same numbers (0)",
    )  # fmt: skip


def trust(to: Arguments) -> None:
    """Packages whose classes may be imported."""
    to.add_argument(
        "--trust", action="append", default=[], metavar="PACKAGE",
        help="a package beside penchant whose model classes may be imported; may be repeated",
    )  # fmt: skip


def other_split(to: Arguments) -> None:
    """Where data and split come from, if they are not a bundle's own."""
    to.add_argument(
        "--recipe", type=Path, metavar="RECIPE",
        help="take data, split and questions from this recipe (those that the bundle was trained with)",
    )  # fmt: skip
    to.add_argument(
        "--split", metavar="NAME[,KEY=VALUE...]",
        help="split the log so: leave_last,k=1 or time,valid=0.1,test=2015-01-01 or user or item",
    )  # fmt: skip


def seen(to: Arguments, *, default: str | None = "auto") -> None:
    """What becomes of items of the history."""
    to.add_argument(
        "--seen", choices=tuple(SEEN), default=default,
        help="items of the history: exclude unless the log shows that people repeat, exclude, or keep (auto)",
    )  # fmt: skip
