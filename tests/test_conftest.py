"""A skip is lost work where data and services are promised: the hook that says so."""

from pathlib import Path

import pytest

TESTS = """
import pytest

@pytest.mark.skip(reason="marked")
def test_marked(): ...

def test_called(penchant_data):
    penchant_data("nowhere")

def test_found(penchant_data):
    assert penchant_data("somewhere").name == "somewhere"

@pytest.mark.xfail
def test_expected(): raise ValueError

def test_passes(): ...
"""


@pytest.fixture
def outcomes(pytester, monkeypatch):
    """Runs the tests above under our conftest."""
    pytester.makeconftest((Path(__file__).with_name("conftest.py")).read_text())
    pytester.makepyfile(TESTS)
    pytester.mkdir("somewhere")
    monkeypatch.setenv("PENCHANT_DATA", str(pytester.path))

    def run(require):
        monkeypatch.setenv("PENCHANT_REQUIRE", require)
        return pytester.runpytest_inprocess("-ra")

    return run


def test_skips_stay_skips_where_nothing_is_promised(outcomes):
    result = outcomes("0")
    result.assert_outcomes(passed=2, skipped=2, xfailed=1)


def test_skips_fail_where_everything_is_promised(outcomes):
    result = outcomes("1")
    result.assert_outcomes(passed=2, failed=1, errors=1, xfailed=1)  # a mark skips in set-up: an error
    result.stdout.fnmatch_lines(["under PENCHANT_REQUIRE=1: Skipped: no folder nowhere in PENCHANT_DATA"])


def test_a_module_that_skips_itself_fails_too(outcomes, pytester):
    pytester.makepyfile(test_module="import pytest\npytest.importorskip('no_such_module')")
    result = outcomes("1")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["under PENCHANT_REQUIRE=1: Skipped: could not import 'no_such_module'*"])


def test_the_data_fixture_says_which_variable_is_missing(outcomes, monkeypatch):
    monkeypatch.delenv("PENCHANT_DATA")
    result = outcomes("0")
    result.stdout.fnmatch_lines(["SKIPPED*PENCHANT_DATA is not set; it names the folder that holds*"])
