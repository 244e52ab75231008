import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asked import histories_of
from logs import random_log
from penchant.data import Batch, Pointwise, Source, keyed_generator, split_leave_last
from penchant.errors import ArgumentError


@pytest.fixture(scope="module")
def examples():
    return Pointwise(split_leave_last(random_log(users=20)), history=5, negatives=2)


def same(one, other):
    return torch.equal(one.row, other.row) and torch.equal(one.extra["negatives"], other.extra["negatives"])


def read(source, epoch=0):
    source.set_epoch(epoch)
    return list(source)


def test_an_epoch_holds_every_example_once_in_an_order_of_its_own(examples):
    source = Source(examples, batch_size=7, seed=3)
    first, second = read(source, 0), read(source, 1)
    for epoch in (first, second):
        assert torch.cat([b.row for b in epoch]).sort().values.tolist() == list(range(len(examples)))
        assert len(epoch) == len(source) == -(-len(examples) // 7)
    assert not all(torch.equal(a.row, b.row) for a, b in zip(first, second, strict=True))
    assert read(Source(examples, batch_size=7, shuffle=False))[1].row.tolist() == list(range(7, 14))


def test_a_thread_changes_nothing(examples):
    with_thread = read(Source(examples, batch_size=7, seed=3, ahead=3), 2)
    without = read(Source(examples, batch_size=7, seed=3, ahead=0), 2)
    assert all(same(a, b) for a, b in zip(with_thread, without, strict=True))


@pytest.mark.parametrize("stop", [0, 1, 5, 10])
def test_a_reader_that_goes_on_where_another_stopped_reads_the_same(examples, stop):
    whole = read(Source(examples, batch_size=11, seed=1), 4)
    reader = Source(examples, batch_size=11, seed=1)
    reader.set_epoch(4)
    for _, batch in zip(range(stop), reader, strict=False):
        assert batch is not None
    # zip may have taken one more from the iterator than it gave; what counts is what was given
    state = {"epoch": 4, "consumed": stop}
    again = Source(examples, batch_size=11, seed=1)
    again.load_state_dict(state)
    rest = list(again)
    assert len(rest) == len(whole) - stop
    assert all(same(a, b) for a, b in zip(rest, whole[stop:], strict=True))


def test_the_state_counts_what_was_consumed_not_what_was_made_ahead(examples):
    source = Source(examples, batch_size=11, seed=1, ahead=4)
    source.set_epoch(2)
    reader = iter(source)
    for _ in range(3):
        next(reader)
    assert source.state_dict() == {"epoch": 2, "consumed": 3}
    reader.close()


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_every_batch_out(examples, ranks):
    whole = read(Source(examples, batch_size=12, seed=5))
    parts = [read(Source(examples, batch_size=12, seed=5).shard(r, ranks)) for r in range(ranks)]
    for batch, *shares in zip(whole, *parts, strict=True):
        rows = torch.cat([share.row for share in shares])
        assert rows.sort().values.tolist() == batch.row.sort().values.tolist()


def test_weights_of_examples_reach_their_rows(examples):
    source = Source(examples, batch_size=9, seed=5)
    source.weights = torch.arange(len(examples)).float()
    for batch in read(source):
        assert batch.weight.tolist() == batch.row.float().tolist()


def test_an_error_in_the_thread_is_raised_where_batches_are_read(examples):
    class Breaks:
        def __len__(self):
            return len(examples)

        def batch(self, index, generator):
            if 5 in index:
                raise ZeroDivisionError("at five")
            return examples.batch(index, generator)

    with pytest.raises(ZeroDivisionError, match="at five"):
        list(Source(Breaks(), batch_size=3, shuffle=False))


def test_no_thread_is_left_when_a_reader_leaves_early(examples):
    for _ in range(3):
        for _batch in Source(examples, batch_size=2, ahead=2):
            break
    assert not [t for t in threading.enumerate() if t.name == "penchant-batches"]


def test_streams_epochs_and_steps_have_draws_of_their_own():
    keys = [(s, name, e, i) for s in (0, 1) for name in ("order", "draws") for e in (0, 1) for i in (0, 1)]
    firsts = {int(torch.randint(2**62, (1,), generator=keyed_generator(*key))) for key in keys}
    assert len(firsts) == len(keys)
    again = torch.rand(5, generator=keyed_generator(7, "order", 3))
    assert torch.equal(again, torch.rand(5, generator=keyed_generator(7, "order", 3)))


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"batch_size": 1, "ahead": -1}])
def test_wrong_arguments_are_named(examples, wrong):
    with pytest.raises(ArgumentError, match=list(wrong)[-1]):
        Source(examples, **wrong)
    with pytest.raises(ArgumentError, match="rank"):
        Source(examples, batch_size=1).shard(2, 2)


class Numbers:
    """`size` examples; the batch draws once an example."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def batch(self, index, generator):
        some = torch.rand(len(index), generator=generator)
        nobody = histories_of([[]] * len(index))
        return Batch(index, index, index, index, torch.ones(len(index)), nobody, extra={"draw": some})


def told(batches):
    return [(batch.row.tolist(), batch.extra["draw"].tolist()) for batch in batches]


SIZES = {"size": st.integers(1, 20), "batch_size": st.integers(1, 7), "epoch": st.integers(0, 2)}


@given(**SIZES, stop=st.integers(0, 20), ahead=st.integers(0, 3), again=st.integers(0, 3))
def test_resuming_anywhere_with_or_without_a_thread_gives_the_remaining_batches(
    size, batch_size, epoch, stop, ahead, again
):
    first = Source(Numbers(size), batch_size=batch_size, seed=3, ahead=0)
    first.set_epoch(epoch)
    whole = told(first)
    reader = Source(Numbers(size), batch_size=batch_size, seed=3, ahead=ahead)
    reader.set_epoch(epoch)
    batches, read = iter(reader), []
    for _ in range(min(stop, len(whole))):
        read += told([next(batches)])
    state = reader.state_dict()
    other = Source(Numbers(size), batch_size=batch_size, seed=3, ahead=again)
    other.load_state_dict(state)
    assert read + told(other) == whole
    assert read + told(batches) == whole
    assert sorted(row for rows, _ in whole for row in rows) == list(range(size))


@given(**SIZES, ranks=st.integers(1, 4))
def test_ranks_make_the_same_number_of_batches_and_share_each_out(size, batch_size, epoch, ranks):
    """Also where a batch holds fewer examples than there are ranks."""
    shares = []
    for rank in range(ranks):
        source = Source(Numbers(size), batch_size=batch_size, seed=1, ahead=0).shard(rank, ranks)
        source.set_epoch(epoch)
        shares.append([batch.row.tolist() for batch in source])
    alone = Source(Numbers(size), batch_size=batch_size, seed=1, ahead=0)
    alone.set_epoch(epoch)
    for batch, *parts in zip(told(alone), *shares, strict=True):
        assert sorted(row for part in parts for row in part) == sorted(batch[0])
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_ranks_do_not_draw_the_same_numbers():
    draws = [next(iter(Source(Numbers(8), batch_size=8).shard(r, 2))).extra["draw"].tolist() for r in (0, 1)]
    assert not set(draws[0]) & set(draws[1])


def test_a_rank_without_an_example_gets_an_empty_batch(examples):
    """The others wait for it: it must not leave the loop, nor fail."""
    last = list(Source(examples, batch_size=len(examples) - 1, shuffle=False).shard(1, 2))[-1]
    assert len(last) == 0
    assert last.extra["negatives"].shape == (0, 2)


def test_no_thread_is_left_after_an_error_and_none_after_the_end():
    class Breaks(Numbers):
        def batch(self, index, generator):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(Source(Breaks(9), batch_size=2, ahead=2))
    list(Source(Numbers(9), batch_size=2, ahead=2))
    reader = iter(Source(Numbers(9), batch_size=1, ahead=1))
    next(reader)
    reader.close()
    assert not [t for t in threading.enumerate() if t.name == "penchant-batches"]


def test_batches_are_made_no_further_ahead_than_asked():
    made = []

    class Counts(Numbers):
        def batch(self, index, generator):
            made.append(index)
            return super().batch(index, generator)

    reader = iter(Source(Counts(50), batch_size=1, ahead=2))
    next(reader)
    reader.close()
    assert len(made) <= 1 + 2 + 2  # given, waiting, and one in the making at either end
