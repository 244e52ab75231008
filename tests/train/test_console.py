import io
import logging

import pytest
from rich.console import Console
from torch import nn

from penchant.train import console
from penchant.train.console import Screen, changed, clock, model_line


def screen(*, terminal=True, **settings):
    drawn = Console(file=io.StringIO(), force_terminal=terminal, width=160, color_system=None)
    return Screen(**{"steps": 100, "epochs": 5, "progress": True, "console": drawn, **settings}), drawn.file


@pytest.fixture
def time(monkeypatch):
    """A clock that is set by hand."""
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_a_bar_shows_speed_time_left_and_loss_from_the_first_step(time):
    shown, file = screen()
    with shown:
        shown.begin(1, 0)
        time[0] = 0.5
        shown.step(1, 1, 512, 2.5)
        shown._bar.refresh()
    text = file.getvalue()
    assert "epoch 1/5" in text
    assert "1/100" in text
    assert "1,024 examples/s" in text
    assert "50 s left, 4:10 in all at most" in text  # 99 and 499 steps of half a second
    assert "loss 2.5000" in text


def test_time_left_counts_what_was_done_in_this_call(time):
    shown, file = screen()
    with shown:
        shown.begin(2, 90)  # resumed in mid-epoch
        time[0] = 1.0
        shown.step(2, 91, 10, 1.0)
        shown._bar.refresh()
    assert "10 examples/s  9 s left" in file.getvalue()


@pytest.mark.parametrize("quiet", [{"progress": False}, {"terminal": False}])
def test_without_a_bar_lines_go_to_the_log(time, caplog, quiet):
    shown, file = screen(**quiet)
    row = {"epoch": 1, "loss": 0.5, "metrics": {"gauc": 0.625}, "seconds": 2.0, "examples": 3000}
    with caplog.at_level(logging.INFO, logger="penchant.train"), shown:
        shown.begin(1, 0)
        for step in range(1, 41):
            time[0] = float(step)
            shown.step(1, step, 10, 0.75)
        shown.end(row, metric="gauc", best=True)
    assert file.getvalue() == ""
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "epoch 1/5, batch 31 of 100: loss 0.7500, 10 examples/s, epoch done in 1:09, all in 7:49 at most",
        "epoch 1/5, loss 0.5000, gauc 0.6250 (best), 2.0 s, 1,500 examples/s",
    ]


@pytest.mark.parametrize(("progress", "printed"), [(True, "an epoch\n"), (False, "")])
def test_lines_are_printed_where_nobody_listens_to_the_log(monkeypatch, progress, printed):
    monkeypatch.setattr(console.log, "hasHandlers", lambda: False)
    shown, file = screen(terminal=False, progress=progress)
    with shown:
        shown.say("an epoch")
    assert file.getvalue() == printed


def test_only_what_differs_is_told():
    def made(features, *, widths=(8, 4), rate=0.1, name=None):
        pass

    assert changed(made, {"widths": [8, 4], "rate": 0.2, "name": None}) == {"rate": 0.2}


def test_a_model_that_keeps_no_arguments_is_told_by_name():
    assert model_line(nn.Linear(2, 3), None) == "Linear(), 9 parameters"


def test_seconds_for_people():
    assert [clock(s) for s in (0.2, 59.4, 59.6, 3599.6, 7384)] == [
        "0 s",
        "59 s",
        "1:00",
        "1:00:00",
        "2:03:04",
    ]
