"""What people just did, as the histories that the stages are asked with."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from logs import log_of
from penchant.data import Vocabulary
from penchant.errors import ArgumentError, DataError
from penchant.funnel.asking import Asker

S = int(datetime(2021, 5, 1, 10, tzinfo=UTC).timestamp())
STAMPS = [datetime(2021, 5, 1, 10, tzinfo=UTC) + timedelta(seconds=s) for s in (90, 0)]


@pytest.fixture(scope="module")
def asker():
    return Asker(log_of([[2, 3], [4, 5]], times=[[S - 900, S - 600]] * 2))


def asked(asker, events, users=None):
    """Items and times of each history."""
    histories = asker.ask(users, None, events, at=None, exclude_seen=None).requests.histories
    lengths = histories.lengths.tolist()
    return [part.tolist() for part in histories.item.split(lengths)], [
        part.tolist() for part in histories.time.split(lengths)
    ]


@pytest.mark.parametrize(
    "column",
    [
        [S + 90, S],
        [(S + 90) * 1_000 + 999, S * 1_000],
        [(S + 90) * 10**6, S * 10**6],
        [(S + 90) * 10**9, S * 10**9],
        [S + 90.75, S + 0.25],
        [str(S + 90), str(S)],
        pl.Series(STAMPS, dtype=pl.Datetime("ms", "UTC")),
        pl.Series(STAMPS, dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone("Asia/Tokyo"),
        pl.Series([stamp.replace(tzinfo=None) for stamp in STAMPS], dtype=pl.Datetime("ns")),
        ["2021-05-01T10:01:30Z", "2021-05-01T12:00:00+02:00"],
        ["2021-05-01 10:01:30", "2021-05-01 10:00"],
    ],
    ids=str,
)
def test_events_have_times_of_all_kinds_that_logs_have(asker, column):
    events = pl.DataFrame({"user": ["u2", "u2"], "item": ["i4", "i5"], "time": column})
    assert asked(asker, events) == ([[2, 3, 5, 4]], [[S - 900, S - 600, S, S + 90]])


def test_events_that_come_late_stand_where_they_happened(asker):
    events = pl.DataFrame({"user": ["u2"] * 3, "item": ["i4", "i5", "i3"], "time": [S - 800, S, S - 900]})
    assert asked(asker, events) == ([[2, 3, 4, 3, 5]], [[S - 900, S - 900, S - 800, S - 600, S]])


def test_events_of_one_day_and_of_one_second(asker):
    days = pl.DataFrame({"user": ["u2"], "item": ["i4"], "time": [date(2021, 5, 2)]})
    assert asked(asker, days)[1][0][-1] == S + 14 * 3_600
    within = pl.DataFrame({"user": ["u2"] * 2, "item": ["i4", "i5"], "time": [S * 1_000 + 9, S * 1_000 + 1]})
    assert asked(asker, within) == ([[2, 3, 5, 4]], [[S - 900, S - 600, S, S]])


def test_events_without_times_came_last_in_their_order(asker):
    events = pl.DataFrame({"user": ["u3", "u2", "u3"], "item": ["i3", "i4", "i2"]})
    items, times = asked(asker, events)
    assert items == [[4, 5, 3, 2], [2, 3, 4]]
    assert times == [[S - 900, S - 600, S - 599, S - 599], [S - 900, S - 600, S - 599]]


def test_any_table_that_read_events_takes(asker, tmp_path):
    frame = pl.DataFrame({"user": ["u2", "u3"], "item": ["i4", "i2"], "time": [S * 1_000, S * 1_000]})
    expected = asked(asker, frame)
    frame.write_csv(tmp_path / "now.tsv", separator="\t")
    frame.write_parquet(tmp_path / "now.parquet")
    for events in (
        frame.lazy(),
        frame.to_pandas(),
        pd.DataFrame({"user": pd.Categorical(frame["user"]), "item": frame["item"], "time": frame["time"]}),
        frame.to_arrow(),
        frame.to_dict(as_series=False),
        tmp_path / "now.tsv",
        str(tmp_path / "now.parquet"),
    ):
        assert asked(asker, events) == expected


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([S, S * 1_000, S], "column 'time' is in ms where most rows are in s in 1 row .row 1"),
        ([S, 7, S], "column 'time' lies before 1990 where other rows do not in 1 row .row 1: 7"),
        ([10, 30, 20], "column 'time' lies before 1990 in any unit where the log does not in 3 rows"),
        ([datetime(1970, 1, 1)] * 3, "column 'time' lies before 1971 where other rows do not in 3 rows"),
        ([S, None, S], "column 'time' is null in 1 row"),
        (["2021-05-01", "yesterday", "2021-05-01"], "column 'time' is no time in 1 row .row 1: 'yesterday'"),
        ([S, S, S + 40 * 365 * 86_400], "column 'time' lies in the future in 1 row"),
        ([True, False, True], "column 'time' is of type Boolean"),
    ],
    ids=str,
)
def test_times_that_are_mixed_or_nobody_can_decide_are_refused(asker, column, message):
    events = pl.DataFrame({"user": ["u2"] * 3, "item": ["i4"] * 3, "time": column})
    with pytest.raises(DataError, match=message) as caught:
        asked(asker, events)
    assert "on_bad" not in str(caught.value)  # which a funnel does not have
    assert "time_unit" not in str(caught.value)


def test_small_times_join_a_log_of_small_times():
    asker = Asker(log_of([[2, 3]], times=[[10, 20]]))
    events = pl.DataFrame({"user": ["u2"], "item": ["i2"], "time": [30]})
    assert asked(asker, events) == ([[2, 3, 2]], [[10, 20, 30]])


def test_everything_wrong_is_told_at_once(asker):
    events = pl.DataFrame({"user": ["u2", None], "items": ["i4", "i4"], "time": [S, None]})
    with pytest.raises(DataError, match="3 problems") as caught:
        asked(asker, events)
    assert "did you mean 'items'" in str(caught.value)


# -- when, and what nobody gave ------------------------------------------------------------------------------


def moments(asker, **question):
    given = {"users": None, "histories": None, "events": None, "at": None, "exclude_seen": None} | question
    return asker.ask(given.pop("users"), given.pop("histories"), given.pop("events"), **given).requests


@pytest.mark.parametrize(
    "at",
    [
        S,
        S * 1_000,
        S * 10**9,
        S + 0.5,
        str(S),
        np.int64(S),
        np.datetime64("2021-05-01T10:00"),
        datetime(2021, 5, 1, 10),
        datetime(2021, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))),
        "2021-05-01T10:00:00Z",
        "2021-05-01 10:00",
    ],
    ids=str,
)
def test_the_time_of_asking_may_have_any_form_that_times_have(asker, at):
    assert moments(asker, users=["u2"], at=at).at.tolist() == [S]
    assert moments(asker, users=["u2"], at=date(2021, 5, 1)).at.tolist() == [S - 10 * 3_600]


@pytest.mark.parametrize(
    "at", ["yesterday", "", True, [S], object(), float("nan"), 5, 10**30, 2**62], ids=str
)
def test_what_is_no_time_of_asking_is_refused(asker, at):
    with pytest.raises(ArgumentError, match="ISO 8601 text"):
        moments(asker, users=["u2"], at=at)


def test_a_log_without_times_has_no_time_of_asking():
    asker = Asker(log_of([[2, 3]], has_time=False))
    with pytest.raises(ArgumentError, match="the log has no times"):
        moments(asker, users=["u2"], at=5)
    assert moments(asker, users=["u2"]).at.tolist() == [2]


def test_events_after_the_time_of_asking_are_refused(asker):
    events = pl.DataFrame({"user": ["u2"] * 3, "item": ["i4"] * 3, "time": [S, S + 5, S + 9]})
    with pytest.raises(DataError, match=r"lies after the time of asking in 2 rows \(row 1: \d+5"):
        moments(asker, events=events, at=S)
    assert moments(asker, events=events, at=S + 9).histories.lengths.tolist() == [5]


def test_everybody_is_asked_when_the_last_thing_has_happened(asker):
    events = pl.DataFrame({"user": ["u2", "u3"], "item": ["i4", "i4"], "time": [S, S - 950]})
    assert moments(asker, events=events).at.tolist() == [S, S - 599]
    assert moments(asker, users=["u2", "u3"]).at.tolist() == [S - 599, S - 599]
    assert moments(asker, users=["u2"], events=events[:1, :2], at=S + 77).histories.time.max() == S + 77
    visitor = moments(asker, histories=[["i2"]], at=S - 700)  # the log goes on later
    assert bool((visitor.histories.time < visitor.at).all())


def test_numbers_that_nobody_gave_are_missing_and_categories_unknown():
    log = log_of([[2, 3]], labels=[[1.0, 0.0]])
    columns = {"price": torch.tensor([3.5, 7.0]), "device": torch.tensor([2, 3], dtype=torch.int32)}
    asker = Asker(replace(log, columns=columns, column_labels={"device": Vocabulary(pl.Series(["a", "b"]))}))
    fresh = pl.DataFrame({"user": ["u2"], "item": ["i3"]})
    for requests in (moments(asker, histories=[["i2", "i3"]]), moments(asker, events=fresh)):
        assert requests.context["price"].isnan().all()
        assert requests.context["device"].tolist() == [1]
        assert requests.histories.columns["price"][-1].isnan()
        assert requests.histories.columns["device"][-1] == 1
        assert requests.histories.columns["label"][-1] == 1
    assert requests.histories.columns["price"][:2].tolist() == [3.5, 7.0]


# -- columns and types that nobody reads ---------------------------------------------------------------------


@pytest.mark.parametrize("column", ["tiem", "timestamp", "Time"])
def test_a_column_that_is_probably_another_one_is_named(asker, column):
    events = pl.DataFrame({"user": ["u2"], "item": ["i4"], column: [S]})
    with pytest.raises(DataError, match=f"'{column}' is not read.*\n.*\n.*rename it to 'time'"):
        asked(asker, events)


def test_columns_that_nobody_reads_are_told(asker, caplog):
    events = pl.DataFrame({"user": ["u2"], "item": ["i4"], "title": ["x"], "action": ["buy"]})
    assert asked(asker, events)[0] == [[2, 3, 4]]
    assert "title, action (only user, item, time are)" in caplog.text
    caplog.clear()
    asked(asker, events[:, :2])
    assert not caplog.text


def test_event_types_that_the_log_does_not_know_are_refused():
    log = log_of([[2, 3]])
    types = {
        "event": torch.tensor([2, 3], dtype=torch.int16),
        "events": Vocabulary(pl.Series(["view", "buy"])),
    }
    asker = Asker(replace(log, **types))
    events = pl.DataFrame({"user": ["u2"] * 3, "item": ["i2"] * 3, "event": ["view", "bye", None]})
    with pytest.raises(DataError, match=r"no event type of the log in 1 row \(row 1: 'bye'(.|\n)*'buy'"):
        moments(asker, events=events)
    assert moments(asker, events=events[::2]).histories.event.tolist() == [2, 3, 2, 1]
