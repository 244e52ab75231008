"""Leaks of a split itself: order, ties, parts, queries, columns."""

from dataclasses import replace

import polars as pl
import pytest
import torch
from hypothesis import given
from torch import Generator

from audited import kinds, one, tied_log
from drawn import splits
from logs import log_of, random_log
from penchant.data import (
    Queries,
    Ragged,
    Split,
    read_events,
    split_by_item,
    split_by_time,
    split_leave_last,
)
from penchant.data.audit import audit
from penchant.data.audit_split import cross_user_future
from penchant.data.findings import Kind
from penchant.data.split import TEST, TRAIN
from penchant.data.telling import area, one_sided


def test_file_order_that_follows_an_id_is_found_in_the_log_whatever_its_profile_says():
    assert audit(split_leave_last(tied_log(list))).ok
    log = tied_log(sorted)
    said = replace(log, profile=replace(log.profile, ties_follow_id=True, tie_order="hash"))
    for planted in (log, said, tied_log(lambda items: sorted(items, reverse=True))):
        finding = one(audit(split_leave_last(planted)), Kind.FILE_ORDER)
        assert "item id" in finding.message
        assert "ties='exclude'" in finding.fix
    excluded = audit(split_leave_last(log, ties="exclude"))
    assert excluded.ok  # no target of a second is told by the order of that second
    assert Kind.FILE_ORDER in {note.kind for note in excluded.notes}


def test_a_few_ties_are_not_said_to_be_in_order():
    rows = [[2, 3, 4, 5], [6, 7, 8, 9]]
    log = log_of(rows, times=[[1_000, 1_000, 1_000 + 9, 1_000 + 20]] * 2, items=10)
    (note,) = [note for note in audit(split_leave_last(log)).notes if note.kind is Kind.TIES]
    assert "too few to tell whether it follows the item id" in note.message
    (note,) = [n for n in audit(split_leave_last(tied_log(list))).notes if n.kind is Kind.TIES]
    assert "says nothing of the item id" in note.message


def test_the_reader_s_hash_passes_where_its_file_does_not():
    g = Generator().manual_seed(2)
    seconds = [torch.randperm(50, generator=g)[:4].sort().values.tolist() for _ in range(60 * 3)]
    events = pl.DataFrame({
        "u": [u for u in range(60) for _ in range(12)],
        "i": [item for second in seconds for item in second],
        "t": [1_600_000_000 + 60 * (n // 4) for _ in range(60) for n in range(12)],
    })  # fmt: skip
    log = read_events(events, user="u", item="i", time="t")
    assert log.profile.tie_order == "hash"
    assert audit(split_leave_last(log)).ok
    order = torch.argsort(log.user * 10**12 + (log.time - log.time.min()) * 10**4 + _ids(log))
    assert Kind.FILE_ORDER in kinds(audit(split_leave_last(replace(log, item=log.item[order]))))


def _ids(log):
    return torch.tensor(log.catalogue.vocabulary.ids(log.item.tolist()).to_list())


def test_a_log_out_of_time_order_is_found():
    log = random_log(users=6)
    time = log.time.clone()
    time[[3, 4]] = time[[4, 3]]
    finding = audit(split_leave_last(replace(log, time=time))).first
    assert finding.kind is Kind.LOG_ORDER
    assert finding.row == 4


def test_training_rows_after_the_cut_are_found():
    split = split_by_time(random_log(), valid=0.2, test=0.2)
    assert audit(split).ok
    part = split.part.clone()
    row = int(split.test.rows[3])
    part[row] = TRAIN
    finding = one(audit(replace(split, part=part)), Kind.LATER_TRAINING)
    assert finding.row == row


def test_training_rows_behind_a_held_out_one_are_found_in_a_split_per_user():
    log = random_log()
    drawn = torch.rand(len(log), generator=Generator().manual_seed(3)) < 0.2
    part = torch.full((len(log),), TRAIN, dtype=torch.uint8).masked_fill_(drawn, TEST)
    at_random = Split(log, part, "user", "rows at random")
    assert Kind.LATER_TRAINING in kinds(audit(at_random))
    assert audit(split_leave_last(log)).ok
    by_item = audit(split_by_item(log))
    assert by_item.ok  # no history holds these items, so nothing learned from follows them
    assert Kind.OWN_FUTURE in {note.kind for note in by_item.notes}


@given(splits(ways=("last", "user", "item", "time")))
def test_the_cross_user_future_equals_its_slow_version(split):
    log, owner = split.log, split.log.user.tolist()
    asked, trained = split.test.targets.tolist(), split.train.rows.tolist()
    shares = []
    for row in asked:
        others = [int(log.time[other]) for other in trained if owner[other] != owner[row]]
        later = sum(time > int(log.time[row]) for time in others)
        shares.append(later / max(len(others), 1))
    found = cross_user_future(split)
    if not shares:
        assert found is None
    else:
        assert found == pytest.approx(sum(shares) / len(shares))


def test_the_cross_user_future_is_a_note_of_splits_per_user_only():
    log = random_log()
    assert audit(split_by_time(log, valid=0.2, test=0.2)).cross_user_future is None
    found = audit(split_leave_last(log))
    assert "inherent" in found.line
    assert 0 < found.cross_user_future < 1
    without = audit(split_leave_last(log_of([[2, 3, 4, 5]] * 3, has_time=False)))
    assert without.ok
    assert "no times" in str(without)


def test_a_column_that_tells_the_label_is_named_and_one_that_does_not_is_not():
    log = random_log(labels=True)
    noise = torch.rand(len(log), generator=Generator().manual_seed(0))
    telling = replace(log, columns={"rating": log.label * 3 + noise, "hour": noise})
    notes = [note for note in audit(split_leave_last(telling)).notes if note.kind is Kind.TELLING_COLUMN]
    assert [note.column for note in notes] == ["rating"]
    assert audit(split_leave_last(telling)).ok
    upside_down = replace(log, columns={"rating": -log.label})
    assert Kind.TELLING_COLUMN in {note.kind for note in audit(split_leave_last(upside_down)).notes}


def telling(log, **columns):
    """The telling columns among those of a log, and what is said of them."""
    notes = audit(split_leave_last(replace(log, columns=columns))).notes
    return {note.column: note.message for note in notes if note.kind is Kind.TELLING_COLUMN}


def test_a_strong_column_is_not_taken_for_the_label():
    log = random_log(users=200, labels=True)
    noise = torch.randn(len(log), generator=Generator().manual_seed(1))
    strong = log.label * 1.8 + noise
    assert 0.88 < area(strong.double(), log.label > 0.5) < 0.92
    assert not telling(log, strong=strong, rough=strong.round(), score=(strong * 2).round())


def test_a_value_that_only_one_label_has_is_named():
    """What is possible only after a click, as satisfaction is."""
    log = random_log(users=200, labels=True)
    drawn = torch.rand(len(log), generator=Generator().manual_seed(1))
    satisfied = log.label * (drawn < 0.7)
    assert 0.8 < area(satisfied.double(), log.label > 0.5) < 0.9
    half = (drawn < 0.5).float()
    found = telling(log, satisfied=satisfied, half=half, some=log.label.where(log.label > 0, torch.nan))
    assert set(found) == {"satisfied", "some"}
    assert "'satisfied' has 1 in " in found["satisfied"]
    assert "all of label 1" in found["satisfied"]
    dwell = torch.where(log.label > 0, drawn, torch.nan).where(drawn < 0.8, drawn)
    assert "has no value in" in telling(log, dwell=dwell)["dwell"]


@pytest.mark.parametrize(("count", "named"), [(150, False), (350, True)])
def test_a_value_of_few_rows_is_named_only_beyond_chance(count, named):
    """Of half positives: 189 rows of one of two values, each ten times as likely, are once in a million."""
    label = torch.arange(4_000) % 2 == 0
    values = torch.zeros(4_000)
    values[label.nonzero().squeeze(1)[:count]] = 1
    assert (one_sided(values, label) is not None) == named
    assert one_sided(values, torch.ones(4_000, dtype=torch.bool)) is None


def test_attribute_tables_are_said_not_to_have_been_looked_at():
    found = audit(split_leave_last(random_log()))
    (note,) = [note for note in found.notes if note.kind is Kind.NOT_LOOKED_AT]
    assert "of items: genres" in note.message
    assert "note" not in found.line
    assert Kind.NOT_LOOKED_AT not in {n.kind for n in audit(split_leave_last(log_of([[2, 3, 4]]))).notes}


@pytest.mark.parametrize("at", ["each", "cut"])
def test_a_query_that_sees_the_future_is_found(at):
    split = split_leave_last(random_log(), k=2)
    clean = split.test(at)
    assert audit(split, queries=[clean]).ok
    end = clean.end.clone()
    end[1] += 1  # the target itself
    finding = one(audit(split, queries=[replace(clean, end=end)]), Kind.QUERY)
    assert f"user 'u{int(clean.user[1])}'" in finding.message
    assert Kind.QUERY in kinds(audit(split, queries=[replace(clean, at=clean.at - 10**6)]))
    assert Kind.QUERY in kinds(audit(split, queries=[replace(clean, user=clean.user.roll(1))]))


def test_a_query_for_what_the_user_does_not_do_any_more_is_found():
    split = split_leave_last(log_of([[2, 3, 4, 5, 6], [6, 5, 4, 3, 2]]))
    clean = split.test()
    wrong = Queries(
        split, clean.user, clean.end, clean.at, Ragged(torch.tensor([2, 2]), clean.targets.offsets), clean.row
    )
    assert one(audit(split, queries=[wrong]), Kind.QUERY).count == 1


def test_a_tied_history_is_a_query_s_leak_where_ties_are_excluded():
    log = tied_log(list)
    loose, strict = (split_leave_last(log, ties=ties) for ties in ("order", "exclude"))
    assert audit(strict).ok
    assert Kind.QUERY in kinds(audit(strict, queries=[loose.test()]))
