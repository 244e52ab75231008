"""`penchant import` and `penchant profile`."""

import argparse
from pathlib import Path
from typing import Any

from penchant.cli.columns import context_of
from penchant.cli.console import Screen, program
from penchant.data.events import items, read_events, users
from penchant.data.interactions import Interactions
from penchant.data.labels import label_of
from penchant.data.profile import DataProfile
from penchant.data.scan import neighbours, open_table
from penchant.data.store import open_log
from penchant.errors import ArgumentError, PenchantError


def import_(options: argparse.Namespace) -> None:
    """Writes the store of an event table."""
    screen = Screen(options)
    log = read(options)
    log.save(options.out)
    show_profile(log.profile, screen)
    screen.say(
        "",
        f"written: {options.out}/",
        f"next: {program()} profile {options.out}, or `data: {options.out}` in a recipe",
    )
    screen.answer({"store": options.out, "profile": log.profile.as_dict()})


def profile(options: argparse.Namespace) -> None:
    """Prints the profile of a store or an event table."""
    screen = Screen(options)
    if Path(options.source).is_dir():
        log = open_log(options.source)
    else:
        if not any(sign in options.source for sign in "*?[") and not Path(options.source).exists():
            raise ArgumentError(
                "LOG",
                options.source,
                expected=f"a table, or the folder of a store{neighbours(Path(options.source))}",
            )
        for name in ("user", "item"):
            if getattr(options, name) is None:
                columns = open_table(Path(options.source)).columns
                raise PenchantError(
                    f"{options.source}: which column is the {name}?\n"
                    f"  Fix: say --user and --item; its columns are {', '.join(columns)}."
                )
        log = read(options)
    show_profile(log.profile, screen)
    screen.answer(log.profile.as_dict())


def read(options: argparse.Namespace) -> Interactions:
    """The log that the arguments of `penchant import` describe."""
    return read_events(
        Path(options.source),
        user=options.user,
        item=options.item,
        time=options.time,
        label=None if options.label is None else label_of(options.label),
        event=options.event,
        context=[context_of(text) for text in options.context],
        items=_attributes(options, "items", options.item),
        users=_attributes(options, "users", options.user),
        on_bad=options.on_bad,
        time_unit=options.time_unit,
        seed=options.seed,
    )


def _attributes(options: argparse.Namespace, which: str, id: str) -> Any:
    """`items(...)` or `users(...)` of the command line; None where nothing was said of them."""
    kinds = ("title", "categories", "numbers", "text", "vectors")
    given = {kind: getattr(options, f"{which}_{kind}") for kind in kinds}
    table = getattr(options, which)
    if table is None and not any(given.values()):
        return None
    pairs = [word.partition("=") for word in given.pop("categories")]
    return (items if which == "items" else users)(
        None if table is None else Path(table),
        id=None if table is None else getattr(options, f"{which}_id") or id,
        categories={name: separator or None for name, _, separator in pairs},
        **given,
    )


def show_profile(found: DataProfile, screen: Screen) -> None:
    """Prints what a log holds, as `print(log.profile)` does; notes go to stderr."""
    screen.table([row for row in found.rows() if row[0] != "note"], ["profile", ""])
    for note in found.notes:
        screen.warn(note)
