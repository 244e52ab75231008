"""What measures systems: `penchant evaluate` and `compare`."""

from argparse import ArgumentParser
from pathlib import Path

from penchant.cli.arguments.shared import BUNDLE, count, describe, other_split, seed, seen, trust


def evaluate(parser: ArgumentParser) -> None:
    """Arguments of `penchant evaluate`."""
    describe(
        parser,
        "[BUNDLE] [--run FILE]",
        """\
Evaluates a saved bundle on held-out events, with bootstrap intervals, against
each of its retrievers. Where the bundle lies in the folder of a `penchant
train` run, data, split and how it is asked are those of its recipe; else say
them.

With --run, lists that any tool wrote are measured under the same setting: a
table of user, item and score or rank (.csv, .parquet, .ndjson, .arrow), or a
TREC run. The first is held against the others and the bundle, if there is one,
by a paired permutation test. A list stays as it is: an item that its user has
seen, or that the log does not know, keeps its place and cannot be a hit. A run
has one list a user, so ask one question a user: --at cut, or a split that
leaves the last event out.""",
        """\
  $ penchant demo --prepare
  $ penchant train demo/first.yaml --out run
  $ penchant evaluate run --part valid --cutoffs 10 --report valid.html
  $ penchant evaluate run --lists ours.csv
  $ penchant evaluate --run ours.csv --recipe demo/first.yaml""",
    )
    parser.add_argument(
        "bundle",
        type=Path,
        nargs="?",
        metavar="BUNDLE",
        help=BUNDLE,
    )
    parser.add_argument(
        "--run",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="lists that another tool wrote; may be repeated",
    )
    _questions(parser)
    _runs(parser, "the table of a run")
    parser.add_argument(
        "--cutoffs", nargs="+", type=count, metavar="K", help="list lengths (the recipe's, or 5 10 20)"
    )
    parser.add_argument(
        "--bootstrap",
        type=int,
        default=2000,
        metavar="N",
        help="resamples of users behind the intervals; 0 for none (2,000)",
    )
    seed(parser, "the resampling")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the page, too")
    parser.add_argument(
        "--lists",
        type=Path,
        metavar="FILE",
        help="write the lists of the first system for other tools: .parquet, .csv, .tsv, .ndjson or .trec",
    )
    trust(parser)


def compare(parser: ArgumentParser) -> None:
    """Arguments of `penchant compare`."""
    describe(
        parser,
        "A B",
        """\
Holds B against A on the same questions, metric by metric: means, the difference
with its bootstrap interval, and the p of a paired permutation test over users,
Holm-corrected over the metrics. A and B are bundles, folders of runs that hold
one, or lists that another tool wrote (see `penchant evaluate --run`). Data,
split and how it is asked are those of the first bundle's run, unless said.

In a script: --gate METRIC fails where B is clearly worse, --better METRIC
unless B is clearly better; the exit code then is 3.""",
        """\
  $ penchant demo --prepare
  $ penchant train demo/first.yaml --out run
  $ penchant train demo/first.yaml --set models.SASRec.fit.epochs=1 --out short
  $ penchant compare short run --metrics ndcg@10,recall@10 --gate ndcg@10""",
    )
    what = "a bundle, the folder of a run, or the lists of another tool"
    parser.add_argument("a", type=Path, metavar="A", help=what)
    parser.add_argument("b", type=Path, metavar="B", help="likewise: what is held against A")
    parser.add_argument(
        "--metrics", metavar="NAME,NAME,...",
        help="by what; the fewer, the more each can tell (ndcg@10,recall@10,mrr@10)",
    )  # fmt: skip
    parser.add_argument(
        "--gate", action="append", default=[], metavar="METRIC",
        help="fail (exit code 3) if B is worse by this, by its own uncorrected p, or if users are too few to "
        "tell; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--better", action="append", default=[], metavar="METRIC",
        help="fail (exit code 3) unless B is clearly better by this; may be repeated",
    )  # fmt: skip
    _questions(parser)
    _runs(parser, "the table of a run, if A or B is one")
    parser.add_argument(
        "--bootstrap",
        type=count,
        default=2000,
        metavar="N",
        help="resamples of users behind the intervals (2,000)",
    )
    parser.add_argument(
        "--permutations", type=count, default=10_000, metavar="N", help="exchanges behind each p (10,000)"
    )
    parser.add_argument(
        "--level", type=float, default=0.95, metavar="SHARE",
        help="of the intervals; clear is a corrected p of at most 1 less this (0.95)",
    )  # fmt: skip
    seed(parser, "the draws")
    trust(parser)


def _questions(parser: ArgumentParser) -> None:
    """What is asked, and under which conditions."""
    group = parser.add_argument_group("what is asked")
    other_split(group)
    group.add_argument(
        "--data", type=Path, metavar="STORE", help="ask about this log (the recipe's, or the bundle's own)"
    )
    group.add_argument(
        "--part", choices=("valid", "test"), help="which part to ask about (the recipe's, or test)"
    )
    group.add_argument(
        "--at", choices=("each", "cut"), help="one query an event, or one a user (the recipe's, or each)"
    )
    group.add_argument(
        "--candidates", choices=("seen", "earlier", "all"),
        help="items that may be asked for and answered: those of training rows, of all earlier rows, or all "
        "(the recipe's, or seen)",
    )  # fmt: skip
    seen(group, default=None)  # who says nothing leaves it to the setting
    group.add_argument(
        "--setting", metavar="NAME",
        help="ask as a published table did, which says split, candidates, cutoffs and masks: s3rec, "
        "rectools_loo or recbole_loo",
    )  # fmt: skip


def _runs(parser: ArgumentParser, title: str) -> None:
    """What says how to read a run."""
    group = parser.add_argument_group(title)
    for role, what in (
        ("user", "user ids (the one named user, user_id or alike)"),
        ("item", "item ids (the one named item, item_id or alike)"),
        ("score", "scores, higher is better; lists then go by it (the one named score)"),
        ("rank", "ranks, from the top; they go before scores (the one named rank)"),
    ):
        group.add_argument(f"--run-{role}", metavar="COLUMN", help=f"the column of {what}")
