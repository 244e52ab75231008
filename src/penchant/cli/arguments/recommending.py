"""What asks a bundle: `penchant recommend`."""

from argparse import ArgumentParser
from pathlib import Path

from penchant.cli.arguments.shared import BUNDLE, count, describe, seen, trust


def recommend(parser: ArgumentParser) -> None:
    """Arguments of `penchant recommend`."""
    describe(
        parser,
        "BUNDLE (--user ID | --history IDS | --events TABLE | --item ID | --all)",
        """\
Lists for users of the log, for people it has never seen, for all users at once;
items like an item; and what in a history speaks for an item. Unknown users get
what is popular, and are told so.""",
        """\
  $ penchant demo --prepare
  $ penchant train demo/first.yaml --out run
  $ penchant recommend run --user 42 -k 10 --because
  $ penchant recommend run --user 42 --pin 1 --pin 260@3 --quota genres=3 --quota genres:Horror=0
  $ penchant recommend run --history 1,260,1196 -k 5
  $ penchant recommend run --item 1 -k 5
  $ penchant recommend run --all -k 10 --out recs.parquet""",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help=BUNDLE)
    group = parser.add_argument_group("for whom")
    group.add_argument("--user", action="append", metavar="ID", help="a user; may be repeated")
    group.add_argument(
        "--history",
        action="append",
        metavar="ID,ID,...",
        help="items of a person not in the log, oldest first; may be repeated",
    )
    group.add_argument(
        "--events",
        type=Path,
        metavar="TABLE",
        help="what people just did: columns user, item and, if known, time and event",
    )
    group.add_argument(
        "--all",
        action="store_true",
        help="every user of the log, into --out FILE.parquet; a killed run goes on",
    )
    group = parser.add_argument_group("what else to ask")
    group.add_argument("--item", action="append", metavar="ID", help="items like this one; may be repeated")
    group.add_argument(
        "--explain",
        metavar="ITEM",
        help="what in the history of --user, --history or --events speaks for this item",
    )
    group = parser.add_argument_group("the list")
    group.add_argument("-k", type=count, default=10, metavar="N", help="items a list (10)")
    group.add_argument(
        "--at", metavar="TIME", help="when it is asked: ISO date or time, UTC (the log's last second)"
    )
    group.add_argument(
        "--deny",
        action="append",
        default=[],
        metavar="ID,ID,...",
        help="items that must not be answered; may be repeated",
    )
    group.add_argument(
        "--available", type=Path, metavar="FILE", help="only these items may be answered: one id a line"
    )
    group.add_argument(
        "--pin", action="append", default=[], metavar="ID[@PLACE]",
        help="an item that stands at a place, from 1, seen or not; without one, at the first that is free; "
        "may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--quota", action="append", default=[], metavar="COLUMN[:VALUE]=N",
        help="at most N items of each value of a category (genres=3), or of one (genres:Horror=0); may be "
        "repeated",
    )  # fmt: skip
    group.add_argument(
        "--because", action="store_true", help="say which event of the history speaks most for each item"
    )
    seen(group)
    group.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the lists to .parquet, .csv or .ndjson; with --all to .parquet only",
    )
    trust(parser)
