"""Times of every kind, and how they are understood."""

from datetime import UTC, date, datetime, timedelta, timezone

import pandas as pd
import polars as pl
import pytest

from penchant.data.events import read_events

T = 1_600_000_000
STAMP = datetime(2021, 5, 1, 10, tzinfo=UTC)
S = int(STAMP.timestamp())
LATER = STAMP + timedelta(seconds=90)


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ([S, S + 90], "s"),
        ([S * 1_000, (S + 90) * 1_000 + 999], "ms"),
        ([S * 10**6, (S + 90) * 10**6], "us"),
        ([S * 10**9, (S + 90) * 10**9], "ns"),
        ([float(S), S + 90.0], "s"),
        ([S + 0.25, S + 90.75], "s"),
        ([str(S), str(S + 90)], "s"),
        (pl.Series([S, S + 90], dtype=pl.UInt32), "s"),
        (pl.Series([STAMP, LATER], dtype=pl.Datetime("ms", "UTC")), "datetime"),
        (
            pl.Series([STAMP, LATER], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone("Asia/Tokyo"),
            "datetime",
        ),
        (
            pl.Series([STAMP.replace(tzinfo=None), LATER.replace(tzinfo=None)], dtype=pl.Datetime("ns")),
            "datetime",
        ),
        (["2021-05-01T10:00:00", "2021-05-01T10:01:30"], "iso"),
        (["2021-05-01 10:00:00.25", "2021-05-01 10:01:30"], "iso"),
        (["2021-05-01T10:00:00Z", "2021-05-01T12:01:30+02:00"], "iso"),
        (["2021-05-01T10:00", "2021-05-01 10:01:30 UTC"], "iso"),
        ([" 2021-05-01 12:00:00+0200", "2021-05-01 10:01:30Z"], "iso"),
    ],
    ids=str,
)
def test_times_of_all_kinds(column, unit):
    log = read_events(pl.DataFrame({"u": [1, 1], "i": [1, 2], "t": column}), user="u", item="i", time="t")
    assert log.time.tolist() == [S, S + 90]
    assert log.profile.time_unit == unit
    assert (log.profile.first, log.profile.last) == (S, S + 90)


def test_dates():
    days = [date(2021, 5, 1), date(2021, 5, 3)]
    for column in (days, [day.isoformat() for day in days]):
        log = read_events(pl.DataFrame({"u": [1, 1], "i": [1, 2], "t": column}), user="u", item="i", time="t")
        assert log.time.tolist() == [S - 36_000, S - 36_000 + 2 * 86_400]


def test_a_zone_is_respected_in_pandas():
    zone = timezone(timedelta(hours=2))
    frame = pd.DataFrame({"u": [1], "i": [1], "t": pd.to_datetime([datetime(2021, 5, 1, 12, tzinfo=zone)])})
    assert read_events(frame, user="u", item="i", time="t").time.tolist() == [S]


def test_the_unit_can_be_said():
    frame = pl.DataFrame(
        {"u": [1, 1], "i": [1, 2], "t": [86_400_000, 0]}
    )  # 1970 in ms, which nothing could tell
    log = read_events(frame, user="u", item="i", time="t", time_unit="ms")
    assert log.time.tolist() == [0, 86_400]
    assert log.profile.time_unit == "ms"
    assert log.profile.notes == ()


def test_small_numbers_are_seconds_and_a_note_says_so():
    log = read_events(pl.DataFrame({"u": [1, 1], "i": [1, 2], "t": [7, 0]}), user="u", item="i", time="t")
    assert log.time.tolist() == [0, 7]
    assert "'t' lies between 0 and 7: read as seconds since 1970" in log.profile.notes[0]


def test_float32_times_are_told():
    frame = pl.DataFrame({"u": [1, 1], "i": [1, 2], "t": pl.Series([T, T + 256], dtype=pl.Float32)})
    assert "128" in read_events(frame, user="u", item="i", time="t").profile.notes[0]


def test_events_within_a_second_keep_their_finer_order():
    frame = pl.DataFrame(
        {"u": [1, 1, 1], "i": [1, 2, 3], "t": [T * 1_000 + 900, T * 1_000 + 100, T * 1_000 + 100]}
    )
    log = read_events(frame, user="u", item="i", time="t")
    assert log.item.tolist() == [3, 4, 2]
    assert log.time.tolist() == [T] * 3
    assert log.profile.tied == 2
    fractions = frame.with_columns(pl.col("t") / 1_000)
    assert read_events(fractions, user="u", item="i", time="t").item.tolist() == [3, 4, 2]
