"""The examples in the help texts, run as they are printed."""

import shlex

import pytest

from penchant.cli import COMMANDS, main

pytestmark = pytest.mark.real


def example(text):
    """The command lines below "example:"; a line that ends in a backslash goes on in the next."""
    block = text.split("\nexample:\n")[1].replace("\\\n", " ")
    lines = [line.strip() for line in block.splitlines() if line.strip()]
    assert all(line.startswith("$ penchant ") for line in lines), (
        "an example is command lines and nothing else"
    )
    return [line.removeprefix("$ ") for line in lines]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where all examples run, and which lines have run there: the same line twice proves no more."""
    return tmp_path_factory.mktemp("examples"), set()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_every_command_runs_as_printed(name, folder, monkeypatch, capsys):
    home, done = folder
    monkeypatch.chdir(home)
    main([name, "--help"])
    lines = example(capsys.readouterr().out)
    assert any(line.split()[1] == name for line in lines), f"the example does not show {name}"
    for line in lines:
        if line not in done:
            assert main(shlex.split(line)[1:]) == 0, capsys.readouterr().err
            done.add(line)
