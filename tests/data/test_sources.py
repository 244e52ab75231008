import dataclasses
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from drawn import splits
from logs import log_of, random_log
from penchant.data import Pointwise, Sequences, split_by_item, split_by_time, split_leave_last
from penchant.errors import ArgumentError


def all_of(examples, seed=0):
    return examples.batch(torch.arange(len(examples)), torch.Generator().manual_seed(seed))


def numbered(split):
    """The same split of a log whose items are its row numbers, from 2: a target says which row it is."""
    rows = torch.arange(2, len(split.log) + 2, dtype=torch.int32)
    return dataclasses.replace(split, log=dataclasses.replace(split.log, item=rows))


def lists(values, offsets):
    return [part.tolist() for part in values.split(offsets.diff().tolist())]


class TestSequences:
    @given(splits(), st.integers(1, 5), st.sampled_from(["all", "newest"]))
    def test_targets_follow_their_inputs_and_none_is_lost_or_learned_twice(self, split, history, windows):
        log = split.log
        owner, times = log.user.tolist(), log.time.tolist()
        usable = range(len(log)) if split.usable is None else split.usable.tolist()
        by_user = {user: [row for row in usable if owner[row] == user] for user in set(owner)}
        train = set(split.train.rows.tolist())
        slow = {}  # target row -> the event before it
        for rows in by_user.values():
            pairs = [(a, b) for a, b in pairwise(rows) if b in train]
            if windows == "newest":
                pairs = pairs[-history:]
            slow |= {
                b: a
                for a, b in pairs
                if (log.label is None or log.label[b] == 1) and (split.ties == "order" or times[a] < times[b])
            }
        examples = Sequences(numbered(split), history=history, windows=windows)
        if not len(examples):
            assert not slow
            return
        batch = all_of(examples)
        inputs, targets = (
            lists(batch.histories.item - 2, batch.offsets),
            lists(batch.target - 2, batch.offsets),
        )
        found = {}
        for user, window, aims, at in zip(
            batch.user.tolist(), inputs, targets, lists(batch.at, batch.offsets), strict=True
        ):
            assert 1 <= len(window) <= history
            mine = by_user[user]
            place = mine.index(window[0])
            assert window == mine[place : place + len(window)]  # whole stretches of one user's usable events
            assert at == [times[row] for row in mine[place + 1 : place + 1 + len(window)]]
            for before, aim in zip(window, aims, strict=True):
                if aim >= 0:
                    assert aim not in found
                    found[aim] = before
        assert found == slow

    @given(
        st.lists(st.integers(1, 30), min_size=3, max_size=12),
        st.integers(1, 9),
        st.sampled_from([split_leave_last, split_by_time]),
    )
    def test_every_training_target_with_a_past_is_learned_exactly_once(self, lengths, history, make):
        log = log_of([[2 + i % 7 for i in range(n + 3)] for n in lengths])
        split = make(log) if make is split_leave_last else make(log, valid=0.3, test=0.3)
        examples = Sequences(split, history=history)
        if not len(examples):
            return
        batch = all_of(examples)
        assert batch.offsets.diff().max() <= history
        assert torch.equal(batch.offsets, batch.histories.offsets)
        assert len(batch.target) == len(batch.histories.item) == len(batch.at)
        # rows that are trained on and have an event of the same user before them
        rows = [r for r in split.train.rows.tolist() if r not in set(log.offsets.tolist())]
        learned = sorted(
            zip(batch.at[batch.target > 0].tolist(), batch.target[batch.target > 0].tolist(), strict=True)
        )
        assert learned == sorted((int(log.time[r]), int(log.item[r])) for r in rows)

    def test_the_target_is_the_event_after_the_input(self):
        split = split_leave_last(log_of([[2, 3, 4, 5, 6, 7]]))
        batch = all_of(Sequences(split, history=10))
        assert batch.histories.item.tolist() == [2, 3, 4]
        assert batch.target.tolist() == [3, 4, 5]
        windows = all_of(Sequences(split, history=2))
        assert windows.offsets.tolist() == [0, 2, 3]
        assert windows.histories.item.tolist() == [3, 4, 2]
        assert windows.target.tolist() == [4, 5, 3]
        assert all_of(Sequences(split, history=2, windows="newest")).target.tolist() == [4, 5]

    def test_what_is_no_positive_is_an_input_and_no_target(self):
        log = log_of([[2, 3, 4, 5, 6]], labels=[[1, 0, 1, 1, 1]])
        batch = all_of(Sequences(split_leave_last(log), history=10))
        assert batch.histories.item.tolist() == [2, 3]
        assert batch.target.tolist() == [0, 4]

    def test_tied_neighbours_are_no_targets_where_ties_are_excluded(self):
        log = log_of([[2, 3, 4, 5, 6, 7]], times=[[1, 1, 2, 2, 3, 4]])
        assert all_of(Sequences(split_leave_last(log), history=9)).target.tolist() == [3, 4, 5]
        assert all_of(Sequences(split_leave_last(log, ties="exclude"), history=9)).target.tolist() == [
            0,
            4,
            0,
        ]

    def test_items_kept_out_are_neither_inputs_nor_targets(self):
        split = split_by_item(random_log(users=30), valid=0.2, test=0.2)
        batch = all_of(Sequences(split, history=6))
        warm = set(split.log.item[split.train.rows].tolist())
        assert set(batch.histories.item.tolist()) <= warm
        assert set(batch.target.tolist()) <= warm  # none is 0: all rows of the pool are training rows

    def test_negatives_of_a_position_are_not_its_user_s(self):
        split = split_leave_last(random_log(users=20, items=40))
        batch = all_of(Sequences(split, history=6, own_negatives=3))
        owner = torch.repeat_interleave(batch.user, batch.offsets.diff())
        rows = split.train.rows
        mine = {
            (u, i) for u, i in zip(split.log.user[rows].tolist(), split.log.item[rows].tolist(), strict=True)
        }
        for p, u in enumerate(owner.tolist()):
            for n, good in zip(
                batch.extra["own_negatives"][p].tolist(),
                batch.extra["own_negatives_weight"][p].tolist(),
                strict=True,
            ):
                assert not good or (u, n) not in mine
        assert batch.extra["own_negatives_weight"].mean() > 0.9

    def test_shared_negatives_come_with_their_log_probability(self):
        split = split_leave_last(random_log(users=20))
        batch = all_of(Sequences(split, history=6, negatives=50, alpha=1.0))
        counts = split.item_counts.double()
        drawn = batch.extra["negatives"]
        torch.testing.assert_close(batch.extra["log_q"], (counts / counts.sum()).log().float()[drawn])


class TestPointwise:
    @given(splits(), st.integers(1, 4))
    def test_every_training_event_comes_with_exactly_what_was_before_it(self, split, history):
        log = split.log
        owner, times = log.user.tolist(), log.time.tolist()
        usable = range(len(log)) if split.usable is None else split.usable.tolist()
        # made from the true log, as negatives are drawn from its catalogue
        examples = Pointwise(split, history=history)
        examples.split, examples._sampler = numbered(split), None
        batch = all_of(examples)
        rows = split.train.rows.tolist()
        assert (batch.target - 2).tolist() == rows
        assert batch.row.tolist() == list(range(len(rows)))
        assert batch.user.tolist() == [owner[row] for row in rows]
        assert batch.at.tolist() == [times[row] for row in rows]
        assert batch.label.tolist() == [1.0 if log.label is None else float(log.label[row]) for row in rows]
        slow = [
            [
                other
                for other in usable
                if other < row
                and owner[other] == owner[row]
                and (split.ties == "order" or times[other] < times[row])
            ][-history:]
            for row in rows
        ]
        assert lists(batch.histories.item - 2, batch.histories.offsets) == slow

    @given(splits(), st.sampled_from(["past", "positive", "all"]), st.sampled_from([0.0, 1.0]))
    def test_a_negative_that_counts_was_not_chosen_and_none_counts_where_all_were(self, split, reject, alpha):
        log = split.log
        owner, items = log.user.tolist(), log.item.tolist()
        train = split.train.rows.tolist()
        liked = [row for row in train if log.label is None or log.label[row] == 1]
        batch = all_of(Pointwise(split, negatives=2, reject=reject, alpha=alpha))
        drawn, weights = batch.extra["negatives"].tolist(), batch.extra["negatives_weight"].tolist()
        seen = set(split.seen_items.nonzero().squeeze(1).tolist())
        for b, row in enumerate(train):
            pool = {"past": [r for r in train if r < row], "positive": liked, "all": range(len(log))}[reject]
            chosen = {items[r] for r in pool if owner[r] == owner[row]} | {items[row]}
            for item, weight in zip(drawn[b], weights[b], strict=True):
                assert item in seen
                assert weight == 0 or item not in chosen
                assert weight == 0 or float(batch.label[b]) == 1
                if not seen - chosen:
                    assert weight == 0

    def test_an_example_is_an_event_with_its_past_and_its_negatives(self):
        split = split_leave_last(random_log(users=25, items=40))
        examples = Pointwise(split, history=4, negatives=3)
        batch = all_of(examples)
        assert len(examples) == len(split.train)
        rows = split.train.rows
        assert batch.target.tolist() == split.log.item[rows].tolist()
        assert (batch.label == 1).all()
        for b, row in enumerate(rows.tolist()):
            begin = int(split.log.offsets[split.log.user[row]])
            past = split.log.item[begin:row].tolist()
            assert (
                batch.histories.item[slice(*batch.histories.offsets[b : b + 2].tolist())].tolist()
                == past[-4:]
            )
            for item, weight in zip(
                batch.extra["negatives"][b].tolist(), batch.extra["negatives_weight"][b].tolist(), strict=True
            ):
                assert weight == 0 or (item not in past and item != batch.target[b])

    def test_what_future_knowledge_rejects(self):
        split = split_leave_last(random_log(users=25, items=40))
        batch = all_of(Pointwise(split, negatives=5, reject="all"))
        for b, user in enumerate(batch.user.tolist()):
            everything = set(split.log.item[split.log.user == user].tolist())
            good = batch.extra["negatives_weight"][b] > 0
            assert not everything & set(batch.extra["negatives"][b][good].tolist())

    def test_a_log_with_labels_needs_no_negatives_and_none_are_drawn_for_label_zero(self):
        split = split_by_time(random_log(labels=True), valid=0.2, test=0.2)
        plain = all_of(Pointwise(split))
        assert not plain.extra
        assert plain.label.tolist() == split.log.label[split.train.rows].tolist()
        mixed = all_of(Pointwise(split, negatives=2))
        assert (mixed.extra["negatives_weight"][mixed.label == 0] == 0).all()
        assert (mixed.extra["negatives_weight"][mixed.label == 1].mean()) > 0.9

    def test_who_has_seen_everything_gets_negatives_of_no_weight(self):
        log = log_of([[2, 3, 4, 5, 2, 3, 4, 5, 2, 3], [2, 3, 4, 5, 3, 2]])
        batch = all_of(Pointwise(split_leave_last(log), negatives=2))
        late = batch.at >= 1_000_000 + 60 * 4
        assert (batch.extra["negatives_weight"][late] == 0).all()

    @pytest.mark.parametrize(
        "wrong", [{"history": 0}, {"negatives": -1}, {"negatives": 0}, {"reject": "never"}]
    )
    def test_wrong_arguments_are_named(self, wrong):
        with pytest.raises(ArgumentError, match=next(iter(wrong))):
            Pointwise(split_leave_last(random_log()), **wrong)


def test_the_same_index_and_generator_give_the_same_batch():
    split = split_leave_last(random_log())
    for examples in (Pointwise(split), Sequences(split, negatives=9, own_negatives=1)):
        one, other = all_of(examples, seed=4), all_of(examples, seed=4)
        assert torch.equal(one.target, other.target)
        for name in one.extra:
            assert torch.equal(one.extra[name], other.extra[name])
        assert any(not torch.equal(one.extra[n], all_of(examples, seed=5).extra[n]) for n in one.extra)


def test_a_split_made_by_hand_never_trains_on_what_it_holds_out():
    split = split_leave_last(log_of([[2, 3, 4, 5, 6], [2, 3, 4, 5, 6]]))
    part = torch.tensor(
        [1, 3, 1, 2, 1, 1, 1, 1, 2, 3], dtype=torch.uint8
    )  # held out in the midst of training
    split = numbered(dataclasses.replace(split, part=part))
    learned = all_of(Sequences(split, history=9)).target - 2
    assert set(learned[learned >= 0].tolist()) <= set(split.train.rows.tolist())
