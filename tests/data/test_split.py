"""Splits and queries against slow, obvious versions, user by user and row by row."""

import dataclasses
from datetime import UTC, date, datetime

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from drawn import logs, splits
from logs import log_of, random_log
from penchant.data import Interactions, split_by_item, split_by_time, split_by_user, split_leave_last
from penchant.errors import ArgumentError, SplitError

TRAIN, VALID, TEST = 1, 2, 3


def users_of(log: Interactions) -> list[int]:
    """The user of each row."""
    return [user for user, n in enumerate(log.offsets.diff().tolist()) for _ in range(n)]


def slow_history(split, row: int) -> list[int]:
    """Rows that a target at `row` may look back on, oldest first."""
    log, owner = split.log, users_of(split.log)
    usable = set(range(len(log)) if split.usable is None else split.usable.tolist())
    return [
        other
        for other in range(row)
        if owner[other] == owner[row]
        and other in usable
        and (split.ties == "order" or log.time[other] < log.time[row])
    ]


def history_rows(split, rows: torch.Tensor, length=None) -> list[list[int]]:
    """The rows that the split hands over, by a log whose items are its row numbers."""
    numbered = dataclasses.replace(split.log, item=torch.arange(len(split.log), dtype=torch.int32))
    same = dataclasses.replace(split, log=numbered)
    histories = same.histories(numbered.user_of(rows), same.history_end(rows), length)
    return [part.tolist() for part in histories.item.split(histories.lengths.tolist())]


@given(splits(), st.one_of(st.none(), st.integers(1, 4)))
def test_a_history_is_what_came_before_the_target_in_order(split, length):
    rows = torch.arange(len(split.log))
    slow = [slow_history(split, row)[-length if length else None :] for row in rows.tolist()]
    assert history_rows(split, rows, length) == slow


@given(splits())
def test_parts_are_disjoint_and_whole(split):
    rows = torch.cat([split.train.rows, split.valid.rows, split.test.rows])
    assert sorted(rows.tolist()) == list(range(len(split.log)))
    assert [len(split.train), len(split.valid), len(split.test)] == [
        len(part.rows) for part in (split.train, split.valid, split.test)
    ]


@given(splits(), st.sampled_from(["valid", "test"]))
def test_each_positive_is_asked_about_once_with_its_history(split, name):
    part, log = getattr(split, name), split.log
    targets = [row for row in part.rows.tolist() if log.label is None or log.label[row] == 1]
    if not targets:
        with pytest.raises(SplitError, match=f"the {name} part .* no positive event"):
            part()
        return
    queries, owner = part(), users_of(log)
    assert queries.row.tolist() == targets
    assert queries.user.tolist() == [owner[row] for row in targets]
    assert queries.at.tolist() == [int(log.time[row]) for row in targets]
    assert queries.targets.values.tolist() == [int(log.item[row]) for row in targets]
    assert queries.targets.lengths.tolist() == [1] * len(targets)
    assert queries.history_lengths().tolist() == [len(slow_history(split, row)) for row in targets]


@given(splits(), st.sampled_from(["valid", "test"]))
def test_at_the_cut_a_user_is_asked_once_about_all_later_positives(split, name):
    part, log, owner = getattr(split, name), split.log, users_of(split.log)
    rows = part.rows.tolist()
    slow = []
    for user in sorted(set(owner)):
        mine = [row for row in rows if owner[row] == user]
        targets = [int(log.item[row]) for row in mine if log.label is None or log.label[row] == 1]
        if targets:
            at = split.cuts[0 if name == "valid" else 1] if split.cuts else int(log.time[mine[0]])
            slow.append((user, at, targets, slow_history(split, mine[0])))
    if not slow:
        return
    queries = part(at="cut")
    ends = queries.targets.lengths.tolist()
    assert queries.user.tolist() == [user for user, *_ in slow]
    assert queries.at.tolist() == [at for _, at, *_ in slow]
    assert [t.tolist() for t in queries.targets.values.split(ends)] == [targets for *_, targets, _ in slow]
    assert queries.history_lengths().tolist() == [len(history) for *_, history in slow]


def test_a_cut_question_about_training_is_asked_at_its_own_time():
    split = split_by_time(random_log(), valid=0.2, test=0.2)
    queries = split.train(at="cut")
    assert torch.equal(queries.at, split.log.time[queries.row])
    assert not queries.history_lengths().any()


@given(splits(), st.booleans(), st.one_of(st.none(), st.integers(1, 3)), st.integers(1, 4))
def test_requests_hold_history_exclusion_and_users(split, exclude, length, size):
    log = split.log
    if not len(split.test.targets):
        return
    queries, owner = split.test(), users_of(log)
    asked = 0
    for begin, stop in queries.chunks(size):
        requests = queries.requests(begin, stop, exclude_seen=exclude, history=length)
        items = requests.histories.item.split(requests.histories.lengths.tolist())
        for i, row in enumerate(queries.row[begin:stop].tolist()):
            past = [int(log.item[r]) for r in slow_history(split, row)]
            assert items[i].tolist() == past[-length if length else None :]
            assert int(requests.users[i]) == owner[row]
            if exclude:
                begins, ends = requests.exclude.offsets[i : i + 2].tolist()
                assert requests.exclude.values[begins:ends].tolist() == past
        assert exclude or requests.exclude is None
        asked += stop - begin
    assert asked == len(queries)


@given(splits())
def test_what_training_saw_is_counted_on_training_rows_alone(split):
    log, owner, rows = split.log, users_of(split.log), split.train.rows.tolist()
    items = [int(log.item[row]) for row in rows]
    assert split.item_counts.tolist() == [items.count(i) for i in range(len(log.catalogue))]
    assert split.seen_items.nonzero().squeeze(1).tolist() == sorted(set(items))
    assert split.seen_users.nonzero().squeeze(1).tolist() == sorted({owner[row] for row in rows})


# -- the ways to split


def slow_leave_last(log: Interactions, k: int) -> list[int]:
    """Parts by a loop over users."""
    parts = []
    for begin, stop in zip(log.offsets[:-1].tolist(), log.offsets[1:].tolist(), strict=True):
        positives = [r for r in range(begin, stop) if log.label is None or log.label[r] == 1]
        n = len(positives)
        test = positives[n - k] if n > k else stop
        valid = positives[n - 2 * k] if n > 2 * k else test
        parts += [TRAIN] * (valid - begin) + [VALID] * (test - valid) + [TEST] * (stop - test)
    return parts


@given(logs(), st.integers(1, 3))
def test_leave_last_is_a_loop_over_users(log, k):
    slow = slow_leave_last(log, k)
    if {TRAIN, VALID, TEST} - set(slow):
        with pytest.raises(SplitError, match="part is empty"):
            split_leave_last(log, k=k)
    else:
        assert split_leave_last(log, k=k).part.tolist() == slow


def test_leave_last_by_hand():
    log = log_of([[2, 3, 4, 5, 6], [2, 3], [7, 8, 9, 2]], labels=[[1, 1, 0, 1, 0], [1, 1], [0, 1, 1, 1]])
    part = split_leave_last(log).part.tolist()
    assert part == [1, 2, 2, 3, 3, 1, 3, 1, 1, 2, 3]  # the second user has too few to validate


@given(logs(), st.floats(0.1, 0.45), st.floats(0.1, 0.45))
def test_a_global_split_knows_no_later_row(log, valid, test):
    try:
        split = split_by_time(log, valid=valid, test=test)
    except SplitError:
        return
    first, second = split.cuts
    for row, time in enumerate(log.time.tolist()):
        assert split.part[row] == (TEST if time >= second else VALID if time >= first else TRAIN)
    # whole seconds move to the later part: the shares are reached, and missed without that second
    ordered = sorted(log.time.tolist())
    assert ordered[int(len(ordered) * (1 - test))] == second
    assert ordered[int(len(ordered) * (1 - valid - test))] == first


def test_a_global_split_takes_dates():
    day = 86_400
    log = log_of([[2, 3, 4, 5]], times=[[0, day, 2 * day, 3 * day]])
    for valid, test in [
        ("1970-01-02", "1970-01-04"),
        (date(1970, 1, 2), datetime(1970, 1, 4, tzinfo=UTC)),
        ("1970-01-02T00:00:00+00:00", "1970-01-04T01:00:00+01:00"),
    ]:
        split = split_by_time(log, valid=valid, test=test)
        assert split.part.tolist() == [1, 2, 2, 3]
        assert split.cuts == (day, 3 * day)
    assert "validation from 1970-01-02" in repr(split)
    mixed = split_by_time(log, valid=0.25, test="1970-01-04")
    assert mixed.part.tolist() == [1, 1, 2, 3]


@given(logs(), st.integers(0, 20))
def test_whole_users_are_kept_out(log, seed):
    try:
        split = split_by_user(log, valid=0.3, test=0.3, seed=seed)
    except SplitError:
        return
    owner, parts = users_of(log), split.part.tolist()
    of_user = {user: {parts[row] for row in range(len(log)) if owner[row] == user} for user in set(owner)}
    assert all(len(found) == 1 for found in of_user.values())
    counts = [sum(found == {part} for found in of_user.values()) for part in (VALID, TEST)]
    assert counts == [max(1, round(0.3 * len(of_user)))] * 2
    assert torch.equal(split.part, split_by_user(log, valid=0.3, test=0.3, seed=seed).part)


@given(logs(), st.integers(0, 20))
def test_whole_items_are_kept_out_of_training_and_of_every_history(log, seed):
    try:
        split = split_by_item(log, valid=0.3, test=0.3, seed=seed)
    except SplitError:
        return
    parts = {}
    for item, part in zip(log.item.tolist(), split.part.tolist(), strict=True):
        assert parts.setdefault(item, part) == part
    assert sum(part == TEST for part in parts.values()) == max(1, round(0.3 * len(parts)))
    used = history_rows(split, torch.arange(len(log)))
    assert all(parts[int(log.item[row])] == TRAIN for history in used for row in history)


def test_another_seed_keeps_other_users_and_items_out():
    log = random_log()
    for split in (split_by_user, split_by_item):
        assert not torch.equal(split(log, seed=0).part, split(log, seed=1).part)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda log: split_by_time(log, valid=0.0), ArgumentError, "valid=0.0"),
        (lambda log: split_by_time(log, valid=0.5, test=0.5), ArgumentError, "valid=0.5"),
        (lambda log: split_by_time(log, test="soon"), ArgumentError, "test='soon'.*date such as"),
        (lambda log: split_by_time(log, valid="2030-01-01", test="2029-01-01"), SplitError, "not after it"),
        (lambda log: split_by_time(log, valid="1960-01-01"), SplitError, "the train part is empty"),
        (lambda log: split_leave_last(log, k=0), ArgumentError, "k=0"),
        (lambda log: split_leave_last(log, k=99), SplitError, "the valid part is empty"),
        (lambda log: split_by_user(log, valid=1.0), ArgumentError, "valid=1.0"),
        (lambda log: split_by_item(log, valid=0.6, test=0.5), ArgumentError, "valid . test below 1"),
        (lambda _: split_by_time(log_of([[], []])), SplitError, "this log has none"),
        (lambda log: split_leave_last(log).test(at="end"), ArgumentError, "'each' or 'cut'"),
    ],
)
def test_what_cannot_be_split_says_why(call, error, message):
    with pytest.raises(error, match=message):
        call(random_log())


def test_a_log_without_times_is_split_by_order_alone():
    log = log_of([[2, 3, 4]] * 4, has_time=False)
    with pytest.raises(SplitError, match="needs times"):
        split_by_time(log)
    assert split_leave_last(log).test().at.tolist() == [2] * 4


def test_the_digest_notices_every_change_and_nothing_else():
    log = dataclasses.replace(random_log(labels=True), event=None)
    events = torch.full((len(log),), 2, dtype=torch.int16)
    split = split_leave_last(log)

    def of(**changes):
        return dataclasses.replace(split, log=dataclasses.replace(log, **changes))

    others = [
        of(item=log.item.roll(1)), of(time=log.time + 1), of(label=1 - log.label), of(label=None),
        of(event=events), of(event=events + 1), of(label=None, event=events),
        dataclasses.replace(split, part=split.part.roll(1)),
        dataclasses.replace(split, usable=split.train.rows),
        dataclasses.replace(split, usable=split.valid.rows),
        split.joined(),
    ]  # fmt: skip
    digests = [split.digest, *(other.digest for other in others)]
    assert len(set(digests)) == len(digests)
    assert len({split.log_digest, *(other.log_digest for other in others[:7])}) == 8
    assert {other.log_digest for other in others[7:]} == {split.log_digest}
    assert dataclasses.replace(split, name="otherwise called").digest == split.digest
    assert split_leave_last(dataclasses.replace(log)).digest == split.digest
