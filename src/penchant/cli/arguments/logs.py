"""Where logs come from: `penchant import`, `profile` and `simulate`."""

from argparse import ArgumentParser
from pathlib import Path

from penchant.cli.arguments.shared import count, describe, seed

EFFECTS = (
    "interests", "popularity", "births", "semantic", "boredom", "sequels", "satisfaction", "churn",
    "treatment", "exposure", "content",
)  # fmt: skip


def import_(parser: ArgumentParser) -> None:
    """Arguments of `penchant import`."""
    describe(
        parser,
        "EVENTS --user COLUMN --item COLUMN --out FOLDER",
        """\
Reads an event table (CSV, Parquet, NDJSON or Arrow), checks it in one pass, and
writes a store: a folder of flat arrays that opens in milliseconds whatever its
size. Every problem is reported at once, with the column, the count, the first
rows and the fix; nothing is dropped without being counted.""",
        """\
  $ penchant demo --prepare
  $ penchant import demo/ratings.csv --user userId --item movieId --time timestamp \\
      --label "rating>=4" --items demo/movies.csv --items-title title \\
      --items-categories "genres=|" --out log
  $ penchant profile log""",
    )
    _events(parser, required=True)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="the store; an older store there is replaced",
    )


def profile(parser: ArgumentParser) -> None:
    """Arguments of `penchant profile`."""
    describe(
        parser,
        "LOG",
        """\
Prints what a log holds: rows kept and dropped and why, users, items, time span,
ties, repeats, and how unequal histories and popularity are. Takes a store, or
an event table with the arguments of `penchant import`.""",
        """\
  $ penchant demo --prepare
  $ penchant profile demo/ratings.csv --user userId --item movieId --time timestamp""",
    )
    _events(parser, required=False)


def _events(parser: ArgumentParser, *, required: bool) -> None:
    """What says how to read an event table: the arguments of `penchant.read_events`."""
    what = "the event table: .csv, .parquet, .ndjson, .arrow" + ("" if required else "; or a store")
    parser.add_argument("source", metavar="EVENTS" if required else "LOG", help=what)
    group = parser.add_argument_group("columns of the event table")
    group.add_argument("--user", required=required, metavar="COLUMN", help="who: integer or string ids")
    group.add_argument("--item", required=required, metavar="COLUMN", help="what: integer or string ids")
    group.add_argument(
        "--time", metavar="COLUMN",
        help="when: s, ms, us or ns since 1970, datetimes or ISO text (the unit is recognised and told); "
        "without it, rows are in order",
    )  # fmt: skip
    group.add_argument(
        "--label",
        metavar="RULE",
        help="what counts as a positive: 'rating>=4', 'action==buy', or a column of 0 and 1; without it, "
        "every event",
    )
    group.add_argument("--event", metavar="COLUMN", help="the event's type (click, buy, ...)")
    group.add_argument(
        "--context", nargs="+", default=[], metavar="COLUMN",
        help="what else was known at the time: numbers or text; 'hour=category' where numbers are names",
    )  # fmt: skip
    group.add_argument(
        "--time-unit",
        choices=("s", "ms", "us", "ns"),
        help="of times that are numbers (recognised by their size)",
    )
    group.add_argument(
        "--on-bad", choices=("raise", "drop"), default="raise",
        help="bad rows: report them all and stop, or drop and count them (raise)",
    )  # fmt: skip
    seed(parser, "the order of events of one second, where the file has them by item id")
    for name, column in (("items", "item"), ("users", "user")):
        group = parser.add_argument_group(f"attributes of {name}")
        group.add_argument(
            f"--{name}", metavar="TABLE", help="their table; without it, columns of the event table"
        )
        group.add_argument(
            f"--{name}-id", metavar="COLUMN", help=f"its id column (the name given by --{column})"
        )
        group.add_argument(f"--{name}-title", metavar="COLUMN", help="what to show to people")
        group.add_argument(
            f"--{name}-categories", nargs="+", default=[], metavar="COLUMN",
            help="labels; 'genres=|' where several stand in one cell, parted by |",
        )  # fmt: skip
        for kind, what in (("numbers", "numbers"), ("text", "free text"), ("vectors", "lists of numbers")):
            group.add_argument(f"--{name}-{kind}", nargs="+", default=[], metavar="COLUMN", help=what)


def simulate(parser: ArgumentParser) -> None:
    """Arguments of `penchant simulate`."""
    describe(
        parser,
        "OUT",
        """\
Makes a log of a simulated world and writes the truth beside it: OUT/log.parquet,
OUT/truth.parquet (the probability of every row), OUT/users.parquet (who quit,
who was treated, who likes what), OUT/items.parquet, OUT/world.json (all settings;
--world reads them) and OUT/card.md (what was planted, and z-tests of the log
against it). With exposure the log holds lists, clicks and propensities; without
it, free choices. The same settings give the same log, bit for bit.""",
        """\
  $ penchant simulate world --users 200 --items 500 --without treatment --set boredom.strength=3
  $ penchant profile world/log.parquet --user user --item item --time time --label click
  $ penchant simulate choices --world world/world.json --without exposure --events 20000""",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder; an older world there is replaced")
    group = parser.add_argument_group("the world")
    group.add_argument(
        "--world", type=Path, metavar="FILE",
        help="start from the world.json of another; what is said here changes it"
    )  # fmt: skip
    size = group.add_mutually_exclusive_group()
    size.add_argument("--users", type=count, metavar="N", help="users (1,000)")
    size.add_argument(
        "--events", type=count, metavar="N", help="about so many rows, by as many users as it takes"
    )
    group.add_argument("--items", type=count, metavar="N", help="items (2,000)")
    group.add_argument("--categories", type=count, metavar="N", help="categories of items (24)")
    group.add_argument("--days", type=count, metavar="N", help="days until everybody is censored (90)")
    seed(group, "all draws", default=None)  # who says nothing leaves it to --world
    group.add_argument(
        "--without", nargs="+", default=[], choices=EFFECTS, metavar="EFFECT",
        help=f"leave effects out: {', '.join(EFFECTS)}",
    )  # fmt: skip
    group.add_argument(
        "--set", action="append", default=[], metavar="EFFECT.NAME=VALUE",
        help="a number of an effect, or of sessions: boredom.strength=0.5, sessions.gap=1; may be repeated",
    )  # fmt: skip
