"""What every test can rely on: Hypothesis profiles, seeded draws, data that is really there."""

import os

# Before anything imports ranx: compiling its metrics takes 50 s and warns, interpreting them 0.1 s.
os.environ["NUMBA_DISABLE_JIT"] = "1"
# Before anything imports torch: threads that spin while they wait starve each other on two busy cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import logging
from pathlib import Path

import hypothesis
import pytest
import torch
from torch import Generator

pytest_plugins = ["pytester"]

# The order of a parallel sum depends on the number of threads: the same on every machine, and more
# than one, so that what two threads can break is tested.
torch.set_num_threads(2)

# No deadline: the first call into torch takes longer than any.
hypothesis.settings.register_profile("dev", max_examples=25, deadline=None, print_blob=True)
hypothesis.settings.register_profile(
    "ci", max_examples=100, deadline=None, print_blob=True, derandomize=True, database=None
)
hypothesis.settings.register_profile("long", max_examples=2_000, deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture
def rng() -> Generator:
    """A generator that starts every test in the same state."""
    return Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def _library_log():
    """The library's log as in a fresh process: a command run in this one leaves a handler of its own."""
    log = logging.getLogger("penchant")
    log.handlers, log.propagate = [], True
    log.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def penchant_data():
    """`penchant_data(name)`: the folder of a public data set, or a skip that says what is missing."""

    def folder(name: str) -> Path:
        root = os.environ.get("PENCHANT_DATA")
        if root is None:
            pytest.skip(f"PENCHANT_DATA is not set; it names the folder that holds {name}/")
        if not (path := Path(root) / name).is_dir():
            pytest.skip(f"no folder {name} in PENCHANT_DATA")
        return path

    return folder


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Under PENCHANT_REQUIRE=1 data, browser and services are promised, so a skip is a lost test."""
    promised = os.environ.get("PENCHANT_REQUIRE") == "1"
    if promised and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"under PENCHANT_REQUIRE=1: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    report = yield
    _refuse_skip(report)
    return report
