"""Leaks planted in batches: each is found and named, and its clean twin passes."""

from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Generator

from audited import (
    kinds,
    later_row,
    one,
    rows_before,
    tied_log,
    whole,
    with_histories,
)
from drawn import splits
from logs import log_of, random_log
from penchant.data import (
    Histories,
    Pointwise,
    Sequences,
    Source,
    Split,
    at_least,
    split_leave_last,
)
from penchant.data.audit import audit
from penchant.data.datasets import movielens_100k
from penchant.data.findings import Kind
from penchant.errors import LeakError


def target_in_history(batch, split):
    return with_histories(batch, rows_before(split, extra=lambda row, _: [row]), split)


def somebody_elses(batch, split):
    other = {0: int(split.log.offsets[3])}
    rows = rows_before(split, extra=lambda row, _: [])
    return with_histories(
        batch, [[other.get(n, 0), *some] if not n else some for n, some in enumerate(rows)], split
    )


def shuffled(batch, split):
    return with_histories(batch, [some[::-1] for some in rows_before(split, extra=lambda row, _: [])], split)


def later_label(batch, split):
    """Each event of a history carries the label of the event behind it: the newest one that of the target."""
    rows = torch.tensor([row for some in rows_before(split, extra=lambda row, _: []) for row in some])
    columns = dict(batch.histories.columns) | {"label": split.log.label[rows + 1]}
    return replace(batch, histories=replace(batch.histories, columns=columns))


def later_context(batch, split):
    rows = split.train.rows
    return replace(batch, context={"hour": split.log.columns["hour"][rows + 1]})


def wrong_label(batch, _):
    return replace(batch, label=1 - batch.label)


def held_out_target(batch, split):
    """The first example asks for a test row."""
    row = split.test.targets[:1]
    log = split.log
    user, target, at = batch.user.clone(), batch.target.clone(), batch.at.clone()
    user[0], target[0], at[0] = log.user_of(row)[0], log.item[row][0], log.time[row][0]
    rows = rows_before(split, extra=lambda row, _: [])
    rows[0] = []
    return replace(with_histories(batch, rows, split), user=user, target=target, at=at)


def another_time(batch, _):
    return replace(batch, at=batch.at + 5)


def strange_target(batch, split):
    log = split.log
    never = next(
        i for i in range(2, len(log.catalogue)) if i not in set(log.item[log.user == batch.user[0]].tolist())
    )
    target = batch.target.clone()
    target[0] = never
    return replace(batch, target=target)


def unseen_negatives(batch, split):
    never = (split.item_counts == 0).nonzero().squeeze(1)[-1]  # only test rows hold it
    drawn = batch.extra["negatives"].clone()
    drawn[0, 0] = never
    weight = torch.ones_like(batch.extra["negatives_weight"])
    return replace(batch, extra={"negatives": drawn, "negatives_weight": weight})


PLANTED = [
    (target_in_history, Kind.TARGET_IN_HISTORY),
    (later_row, Kind.LATER_ROW),
    (somebody_elses, Kind.STRANGE_EVENT),
    (shuffled, Kind.HISTORY_ORDER),
    (later_label, Kind.LATER_LABEL),
    (later_context, Kind.LATER_CONTEXT),
    (wrong_label, Kind.LABEL),
    (held_out_target, Kind.HELD_OUT_TARGET),
    (another_time, Kind.WRONG_TIME),
    (strange_target, Kind.STRANGE_TARGET),
    (unseen_negatives, Kind.NEGATIVES),
]


@pytest.fixture(scope="module")
def labelled():
    """A split of a log with labels and a context column, one of whose items only test rows hold."""
    log = random_log(users=12, mean=6, labels=True)
    last = log.offsets[1:][log.offsets.diff() > 0] - 1
    item, label = log.item.clone(), log.label.clone()
    item[last[0]], label[last] = len(log.catalogue) - 1, 1.0
    item[torch.arange(len(log)) != last[0]] = item[torch.arange(len(log)) != last[0]].clamp(
        max=len(log.catalogue) - 2
    )
    hours = torch.arange(len(log), dtype=torch.float32) * 7 % 24
    return split_leave_last(replace(log, item=item, label=label, columns={"hour": hours}))


@pytest.mark.parametrize(("plant", "kind"), PLANTED, ids=lambda x: x.__name__ if callable(x) else "")
def test_a_leak_in_a_batch_is_found_and_its_clean_twin_passes(labelled, plant, kind):
    clean = whole(Pointwise(labelled, history=99, negatives=2))
    assert audit(labelled, [clean]).ok
    found = audit(labelled, [plant(clean, labelled)])
    assert kinds(found) == {kind}
    finding = one(found, kind)
    assert finding.count >= 1
    assert finding.fix
    with pytest.raises(LeakError, match=str(found.first.kind)):
        found.check()


@pytest.fixture(scope="module")
def some_of_movielens(penchant_data):
    """Fifteen people of MovieLens-100k, and the hour of each rating."""
    log = movielens_100k(penchant_data("movielens-100k"), label=at_least("rating", 4))
    count = int(log.offsets[17])
    log = replace(
        log,
        offsets=log.offsets.clamp(max=count),
        item=log.item[:count],
        time=log.time[:count],
        label=log.label[:count],
        columns={"hour": (log.time[:count] // 3600 % 24).float()},
    )
    return split_leave_last(log)


@pytest.mark.real
@pytest.mark.parametrize(("plant", "kind"), PLANTED, ids=lambda x: x.__name__ if callable(x) else "")
def test_the_same_leaks_are_found_among_real_ratings(some_of_movielens, plant, kind):
    split = some_of_movielens
    clean = whole(Pointwise(split, history=999, negatives=2))
    assert audit(split, [clean]).ok
    assert kind in kinds(audit(split, [plant(clean, split)]))


def test_a_finding_names_user_items_and_both_times(labelled):
    found = audit(labelled, [later_row(whole(Pointwise(labelled, history=99, negatives=2)), labelled)])
    finding = one(found, Kind.LATER_ROW)
    log = labelled.log
    row = finding.row
    words = (
        f"user 'u{int(log.user[row])}'", f"item 'i{int(log.item[row])}'", f"item 'i{int(log.item[row + 1])}'",
        f"row {row:,}", f"row {row + 1:,}", "1970-",
    )  # fmt: skip
    for word in words:
        assert word in finding.message


@pytest.mark.parametrize("plant", [target_in_history, later_row])
def test_packed_windows_are_looked_at_position_by_position(labelled, plant):
    clean = whole(Sequences(labelled, history=4))
    assert audit(labelled, [clean]).ok
    log, split = labelled.log, labelled
    # the inputs moved by one event (the input is its own target) or by two
    shift = 1 if plant is target_in_history else 2
    owner = torch.repeat_interleave(clean.offsets.diff())
    rows = _input_rows(clean, split)
    moved = torch.minimum(rows + shift, log.offsets[clean.user[owner] + 1] - 1)
    whole_log = Histories(log.offsets, log.item, log.time, log.event, log.history_columns)
    found = audit(split, [replace(clean, histories=whole_log.take(moved, clean.offsets))])
    assert dict(PLANTED)[plant] in kinds(found)


def test_what_a_window_holds_early_is_seen_by_every_later_position():
    split = split_leave_last(log_of([[2, 3, 4, 5, 6, 7, 8]]))
    clean = whole(Sequences(split, history=9))
    log = split.log
    item, time = clean.histories.item.clone(), clean.histories.time.clone()
    item[0], time[0] = log.item[4], log.time[4]  # the last target
    target = clean.target.clone()
    target[:-1] = 0  # which alone is learned
    assert audit(split, [replace(clean, target=target)]).ok
    broken = replace(clean, target=target, histories=replace(clean.histories, item=item, time=time))
    assert Kind.TARGET_IN_HISTORY in kinds(audit(split, [broken]))


def _input_rows(batch, split):
    """The log rows of a clean packed batch's inputs: by time, as users here never do two things at once."""
    keys = {
        (user, time): row
        for row, (user, time) in enumerate(zip(split.log.user.tolist(), split.log.time.tolist()))
    }
    owner = torch.repeat_interleave(batch.offsets.diff())
    asked = zip(batch.user[owner].tolist(), batch.histories.time.tolist())
    return torch.tensor([keys[pair] for pair in asked])


def test_events_of_the_target_s_second_are_a_leak_where_ties_are_excluded():
    log = tied_log(list)
    ordered, excluded = (split_leave_last(log, ties=ties) for ties in ("order", "exclude"))
    batch = whole(Pointwise(ordered, history=99, negatives=1))
    assert audit(ordered, [batch]).ok
    finding = one(audit(excluded, [batch]), Kind.TIES)
    assert "the split excludes ties" in finding.message
    assert audit(excluded, [whole(Pointwise(excluded, history=99, negatives=1))]).ok
    windows = whole(Sequences(ordered, history=7))
    assert Kind.TIES in kinds(audit(excluded, [windows]))


def test_a_later_event_of_the_target_s_second_is_a_leak_under_either_rule():
    log = tied_log(list)
    split = split_leave_last(log)
    batch = later_row(whole(Pointwise(split, history=99, negatives=1)), split)
    assert Kind.TIES in kinds(audit(split, [batch]))
    assert Kind.LATER_ROW in kinds(audit(split, [batch]))  # of those whose next event is in another second


def test_rows_that_cannot_be_told_apart_are_taken_as_they_fit():
    log = log_of([[2, 3, 3, 3, 4, 5]], times=[[1, 2, 2, 2, 3, 4]])
    split = Split(log, torch.tensor([1, 1, 1, 1, 1, 3], dtype=torch.uint8), "user", "by hand")
    batch = whole(Pointwise(split, history=9, negatives=1))
    assert audit(split, [batch], queries=()).ok
    assert audit(split, [whole(Sequences(split, history=2))], queries=()).ok
    # three of a kind before the third of them is one too many
    rows = [[], [0], [0, 1], [0, 1, 2, 3], [0, 1, 2, 3]]
    assert Kind.TARGET_IN_HISTORY in kinds(audit(split, [with_histories(batch, rows, split)], queries=()))
    rows = [[], [0], [0, 1], [0, 1, 2], [0, 1, 1, 1, 1]]
    assert Kind.STRANGE_EVENT in kinds(audit(split, [with_histories(batch, rows, split)], queries=()))


def many_users(*, seed=0):
    """Users enough that negatives which never hit a held-out item cannot be chance."""
    return split_leave_last(random_log(users=120, items=25, mean=6, seed=seed), k=2)


def test_negatives_that_avoid_the_future_are_found_by_what_they_avoid():
    split = many_users()
    for reject in ("past", "positive"):
        assert audit(split, Source(Pointwise(split, reject=reject), batch_size=64)).ok
    found = audit(split, Source(Pointwise(split, reject="all"), batch_size=64))
    # by chance, and by the rows that its list of items to avoid was made of
    assert kinds(found) == {Kind.NEGATIVES}
    assert "items that negatives avoid" in str(found)
    assert f"{len(split.test):,} test rows" in str(found)


def test_negatives_that_avoid_the_future_are_found_without_a_word_of_their_source():
    split = many_users()
    batches = list(Source(Pointwise(split, reject="all", negatives=8), batch_size=64))
    finding = one(audit(split, batches), Kind.NEGATIVES)
    assert "chance" in finding.message
    assert audit(split, list(Source(Pointwise(split, negatives=8), batch_size=64))).ok


def test_a_negative_that_the_user_had_is_a_violation_of_a_promise_else_a_note():
    split = many_users()
    batch = whole(Pointwise(split, negatives=1))
    late = int((batch.histories.lengths > 0).nonzero()[0, 0])
    drawn = batch.extra["negatives"].clone()
    drawn[late, 0] = batch.histories.item[batch.histories.offsets[late]]
    weight = torch.ones_like(batch.extra["negatives_weight"])
    planted = replace(batch, extra={"negatives": drawn, "negatives_weight": weight})
    noted = audit(split, [planted])
    assert noted.ok
    assert Kind.NEGATIVE_SEEN in {note.kind for note in noted.notes}

    class Broken(Pointwise):
        def batch(self, index, generator):
            return planted

    examples = Broken(split, negatives=1)
    assert Kind.NEGATIVE_SEEN in kinds(
        audit(split, Source(examples, batch_size=len(examples), shuffle=False))
    )


@pytest.mark.parametrize("few", [True, False])
def test_negatives_too_few_to_tell_are_drawn_again_and_else_said_to_be(few):
    split = split_leave_last(random_log(users=4 if few else 60, items=25, mean=6))

    class Silent(Pointwise):
        provenance = property(lambda self: (), lambda self, said: None)

    source = Source(Silent(split, reject="all", negatives=1), batch_size=16)
    at_once = audit(split, list(source))
    assert at_once.ok
    (note,) = [note for note in at_once.notes if note.kind is Kind.FEW_NEGATIVES]
    assert "chance gives" in note.message
    again = audit(split, source)
    assert kinds(again) == (set() if few else {Kind.NEGATIVES})
    assert (Kind.FEW_NEGATIVES in {note.kind for note in again.notes}) == few
    assert source.state_dict() == {"epoch": 0, "consumed": len(source)}  # where it stood


def test_the_same_negatives_drawn_again_are_no_further_evidence():
    split = split_leave_last(random_log(users=60, items=25, mean=6))

    class Fixed(list):
        def set_epoch(self, _):
            pass

    batches = Fixed(Source(Pointwise(split, reject="all", negatives=1), batch_size=16))
    found = audit(split, {"fixed": batches})
    assert found.ok
    assert Kind.FEW_NEGATIVES in {note.kind for note in found.notes}


def strange(found):
    """What is said of columns that cannot be traced, by column."""
    return {f.column: f.severity for f in found.findings if f.kind is Kind.UNTRACED}


@pytest.fixture(scope="module")
def many():
    """A split of a log with labels and a column, large enough that nothing is chance."""
    log = random_log(users=60, mean=6, labels=True)
    hours = torch.arange(len(log), dtype=torch.float32) * 7 % 24
    return split_leave_last(replace(log, columns={"hour": hours}))


def test_columns_that_the_log_does_not_have_are_named_and_leaks_where_they_tell(many):
    clean = whole(Pointwise(many, history=9, negatives=2))
    assert strange(audit(many, [clean])) == {}
    label, target = clean.label, clean.target
    noise = torch.rand(len(label), generator=Generator().manual_seed(0))
    context = {**clean.context, "clicked": label, "noise": noise, "both": torch.stack([noise, label], 1)}
    found = audit(many, [replace(clean, context=context)])
    assert strange(found) == {"clicked": "violation", "noise": "note", "both": "violation"}
    extra = {**clean.extra, "negative_items": target, "users": torch.ones(3)}
    found = audit(many, [replace(clean, extra=extra)])
    assert strange(found) == {"negative_items": "violation", "users": "note"}
    found = audit(many, [replace(clean, extra={**clean.extra, "log_q": target.float()})])
    assert strange(found) == {"log_q": "violation"}
    found = audit(many, [replace(clean, weight=label)])
    assert strange(found) == {"weight": "note"}
    assert "a leak in what a model reads" in str(found)


@pytest.mark.parametrize("packed", [False, True])
def test_a_history_column_that_holds_the_next_item_is_a_leak(many, packed):
    clean = whole(Sequences(many, history=9) if packed else Pointwise(many, history=9, negatives=2))
    histories, log = clean.histories, many.log
    following = torch.cat([log.item[1:], log.item[:1]])
    by_time = {(u, t): int(i) for u, t, i in zip(log.user.tolist(), log.time.tolist(), following.tolist())}
    users = clean.user[histories.items.owner].tolist()
    there = torch.tensor([by_time[pair] for pair in zip(users, histories.time.tolist())])
    for name, values, severity in (("next_item", there, "violation"), ("this", histories.item, "note")):
        columns = {**histories.columns, name: values}
        found = audit(many, [replace(clean, histories=replace(histories, columns=columns))])
        assert strange(found) == {name: severity}


def test_the_context_of_packed_windows_is_traced(many):
    clean = whole(Sequences(many, history=4))
    rows = _input_rows(clean, many)
    hour = many.log.columns["hour"]
    learned = (clean.target > 0).nonzero().squeeze(1)
    right = hour[(rows + 1).clamp(max=len(hour) - 1)]
    assert audit(many, [replace(clean, context={"hour": right})]).ok
    later = hour[(rows + 2).clamp(max=len(hour) - 1)]
    finding = one(audit(many, [replace(clean, context={"hour": later})]), Kind.LATER_CONTEXT)
    assert finding.count > len(learned) // 2
    # one a window: that of its first target
    owner = torch.repeat_interleave(clean.offsets.diff())
    first = torch.stack([right[(owner == b) & (clean.target > 0)][:1].sum() for b in range(len(clean))])
    assert audit(many, [replace(clean, context={"hour": first})]).ok
    assert Kind.LATER_CONTEXT in kinds(audit(many, [replace(clean, context={"hour": first + 1})]))
    strangers = audit(many, [replace(clean, context={"aim": clean.target, "hour": first[:3]})])
    assert strange(strangers) == {"aim": "violation", "hour": "note"}


@given(splits(labels=False, ways=("last", "time", "user")), st.integers(0, 2**32), st.booleans())
def test_one_event_of_one_history_replaced_by_a_later_one_is_found(split, seed, packed):
    # items that are row numbers: rows are told apart by their contents
    log = replace(split.log, item=torch.arange(2, len(split.log) + 2, dtype=torch.int32))
    catalogue = log_of([[len(log) + 2]]).catalogue
    split = replace(split, log=replace(log, catalogue=catalogue))
    examples = Sequences(split, history=4) if packed else Pointwise(split, history=4, negatives=1)
    assume(len(examples))
    batch = whole(examples)
    rows = batch.histories.item.long() - 2
    owner = batch.histories.items.owner
    users = batch.user[owner]
    # the first event that each example is asked behind, as a row
    if packed:
        aims = batch.target - 2
        assume(bool((aims >= 0).any()))
        place = int((aims >= 0).nonzero()[seed % int((aims >= 0).sum()), 0])
        limit = int(aims[place])
    else:
        assume(len(rows))
        place = seed % len(rows)
        limit = int(batch.target[owner[place]]) - 2
    last = int(split.log.offsets[users[place] + 1]) - 1
    assume(last >= limit)
    late = limit + (seed // 7) % (last - limit + 1)
    rows = rows.clone()
    rows[place] = late
    broken = replace(
        batch.histories, item=(rows + 2).to(batch.histories.item.dtype), time=split.log.time[rows]
    )
    assert audit(split, [batch], queries=()).ok
    found = kinds(audit(split, [replace(batch, histories=broken)], queries=()))
    assert found & {Kind.TARGET_IN_HISTORY, Kind.LATER_ROW, Kind.TIES}
