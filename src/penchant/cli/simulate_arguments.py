"""The command line of `penchant simulate`. As in `arguments`, nothing heavy is imported here."""

from argparse import ArgumentParser
from pathlib import Path

from penchant.cli.argument_parts import count, say

EFFECTS = (
    "interests", "popularity", "births", "semantic", "boredom", "sequels", "satisfaction", "churn",
    "treatment", "exposure", "content",
)  # fmt: skip


def simulate(parser: ArgumentParser) -> None:
    """Arguments of `penchant simulate`."""
    say(
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
    group.add_argument(
        "--seed", type=int, metavar="N", help="of all draws; the same seed gives the same log (0)"
    )
    group.add_argument(
        "--without", nargs="+", default=[], choices=EFFECTS, metavar="EFFECT",
        help=f"leave effects out: {', '.join(EFFECTS)}",
    )  # fmt: skip
    group.add_argument(
        "--set", action="append", default=[], metavar="EFFECT.NAME=VALUE",
        help="a number of an effect, or of sessions: boredom.strength=0.5, sessions.gap=1; may be repeated",
    )  # fmt: skip
