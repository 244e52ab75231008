"""Hypothesis strategies for logs and their splits."""

from hypothesis import reject
from hypothesis import strategies as st

from logs import log_of
from penchant.data import split_by_item, split_by_time, split_by_user, split_leave_last
from penchant.errors import SplitError


@st.composite
def logs(draw, *, labels=True, users=6, events=9, items=7, ties=True):
    """A log of few users over items 2 to `items` + 1: some events tied in time, some users without any."""
    lengths = draw(st.lists(st.integers(0, events), min_size=1, max_size=users))
    rows = [draw(st.lists(st.integers(2, items + 1), min_size=n, max_size=n)) for n in lengths]
    gaps = st.integers(0 if ties else 1, 2)
    times = []
    for n in lengths:
        now, row = draw(st.integers(1_000, 1_004)), []
        for _ in range(n):
            now += draw(gaps)
            row.append(now)
        times.append(row)
    outcome = None
    if labels and draw(st.booleans()):
        outcome = [draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=n, max_size=n)) for n in lengths]
        if not any(map(sum, outcome)):
            outcome = None
    return log_of(rows, times=times, labels=outcome, items=items + 2)


@st.composite
def splits(draw, *, ways=("time", "last", "user", "item"), **settings):
    """A split of such a log in one of several ways; draws again where the log is too small for it."""
    found = draw(logs(**settings))
    ties = draw(st.sampled_from(["order", "exclude"]))
    shares = {"valid": 0.25, "test": 0.25}
    make = {
        "time": lambda: split_by_time(found, **shares, ties=ties),
        "last": lambda: split_leave_last(found, k=draw(st.integers(1, 2)), ties=ties),
        "user": lambda: split_by_user(found, **shares, seed=draw(st.integers(0, 9)), ties=ties),
        "item": lambda: split_by_item(found, **shares, seed=draw(st.integers(0, 9)), ties=ties),
    }
    try:
        return make[draw(st.sampled_from(ways))]()
    except SplitError:
        reject()
