"""Arguments of all commands together: what several of them share, and names that help texts repeat."""

import re
from argparse import ArgumentParser

import pytest

from penchant.cli import COMMANDS
from penchant.cli.arguments import shared
from penchant.cli.recipe_data import SPLITS
from penchant.errors import ArgumentError
from penchant.evaluation import setting


def options(name):
    """The options of a command by their flags."""
    parser = ArgumentParser()
    COMMANDS[name].arguments(parser)
    shared.output(parser)
    return parser._option_string_actions


@pytest.mark.parametrize(
    "flag", ["--recipe", "--split", "--set", "--trust", "--seen", "--json", "--quiet", "--debug"]
)
def test_a_flag_says_the_same_in_every_command(flag):
    found = [options(name)[flag] for name in COMMANDS if flag in options(name) and name != "simulate"]
    assert len(found) > 1
    assert len({(said.help, said.metavar, str(said.choices), said.type) for said in found}) == 1


def test_every_seed_says_what_it_is_of():
    for name in COMMANDS:
        if (seed := options(name).get("--seed")) is not None:
            assert re.fullmatch(r"of .+; the same seed gives the same numbers \(0\)", seed.help)


def test_help_names_every_split_and_every_published_setting():
    said = options("evaluate")
    assert all(re.search(rf"\b{name}\b", said["--split"].help) for name in SPLITS)
    with pytest.raises(ArgumentError) as refused:
        setting("")
    known = re.search(r"known: (.*)\)", refused.value.expected)[1].split(", ")
    assert "s3rec" in known
    assert all(name in said["--setting"].help for name in known)
