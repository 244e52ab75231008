"""Pieces of the command line that several commands share. Nothing heavy is imported here."""

import argparse
from argparse import ArgumentParser


def common(parser: ArgumentParser) -> None:
    """What every command takes."""
    group = parser.add_argument_group("output")
    group.add_argument(
        "--json", action="store_true", help="the result as one JSON document on stdout; messages go to stderr"
    )
    group.add_argument(
        "--quiet", action="store_true", help="no messages and no progress, only the result and errors"
    )
    group.add_argument("--debug", action="store_true", help="show the traceback of an error")


def say(parser: ArgumentParser, usage: str, does: str, example: str) -> None:
    """What a command does, and an example that runs."""
    parser.usage = " ".join([parser.prog, *([usage] if usage else []), "[options]"])
    parser.description, parser.epilog = does, f"example:\n{example}"


def count(text: str) -> int:
    """An integer of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected an integer of at least 1")
    return number


count.__name__ = "integer"


def seed(parser: ArgumentParser, of: str) -> None:
    """The seed of some draws."""
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help=f"of {of}; the same seed gives the same numbers (0)"
    )


def trust(parser: ArgumentParser) -> None:
    """Packages whose classes may be imported."""
    parser.add_argument(
        "--trust", action="append", default=[], metavar="PACKAGE",
        help="a package beside penchant whose model classes may be imported; once for each package",
    )  # fmt: skip
