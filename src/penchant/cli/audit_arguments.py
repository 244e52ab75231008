"""Arguments of `penchant audit`. Nothing heavy is imported here."""

from argparse import ArgumentParser
from pathlib import Path

from penchant.cli.argument_parts import count, say, seed, trust


def audit(parser: ArgumentParser) -> None:
    """Arguments of `penchant audit`."""
    say(
        parser,
        "RECIPE_OR_BUNDLE",
        """\
Proves that nothing leaks, or names what does. Of a recipe: its log, split and
questions, and what its models are about to learn from, event by event; nothing
is trained. Of a bundle, or the folder of a `penchant train` run: the same, and
on which rows the models of the bundle were counted. Ends with 3 where something
was learned from, or is asked with, what came later; says what is inherent, such
as other users' future in a split per user. `penchant train` does this by itself
before it trains and before it evaluates.""",
        """\
  $ penchant demo --prepare
  $ penchant audit demo/first.yaml
  $ penchant train demo/first.yaml --out run
  $ penchant audit run --examples all""",
    )
    parser.add_argument(
        "what", type=Path, metavar="RECIPE_OR_BUNDLE", help="a YAML file, a bundle, or the folder of a run"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="change a setting of the recipe, as `penchant train` does; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--recipe", type=Path, metavar="RECIPE", help="of a bundle: the split is that of this recipe"
    )
    parser.add_argument(
        "--split",
        metavar="NAME[,KEY=VALUE]",
        help="of a bundle: leave_last,k=1 or time,valid=0.1,test=2015-01-01 or user or item",
    )
    parser.add_argument(
        "--examples", type=_count_or_all, default=10_000, metavar="N",
        help="of each model, spread over an epoch; or 'all' (10,000)",
    )  # fmt: skip
    seed(parser, "which examples")
    trust(parser)


def _count_or_all(text: str) -> int | None:
    return None if text == "all" else count(text)


_count_or_all.__name__ = "integer"
