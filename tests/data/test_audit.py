"""The audit as a whole: what we ship is clean, strangers are looked at, what is said reads well."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator

from audited import (
    everything,
    kinds,
    solved,
    whole,
)
from drawn import splits
from logs import random_log
from penchant.data import (
    Batch,
    Pointwise,
    Sequences,
    Source,
    at_least,
    split_by_item,
    split_by_time,
    split_by_user,
    split_leave_last,
)
from penchant.data.audit import audit
from penchant.data.datasets import movielens_100k
from penchant.data.findings import Kind
from penchant.errors import ArgumentError, LeakError
from penchant.nn.embedding import ItemTable
from penchant.retrieve import Popularity


def sources_of(split):
    makers = {
        "pointwise": lambda: Pointwise(split, history=3, negatives=2),
        "positive": lambda: Pointwise(split, negatives=1, reject="positive", alpha=0.5),
        "windows": lambda: Sequences(split, history=2, negatives=3),
        "newest": lambda: Sequences(split, windows="newest", own_negatives=2),
    }
    found = {}
    for name, make in makers.items():
        examples = make()
        if len(examples):
            found[name] = Source(examples, batch_size=3)
    return found


@given(splits(), st.sampled_from([None, 5]))
def test_every_split_source_and_statistic_of_ours_is_clean(split, sample):
    found = audit(split, sources_of(split), {"item": prepared_table(split)}, sample=sample)
    assert found.ok, str(found)


def prepared_table(split):
    table = ItemTable(len(split.log.catalogue), 2, std=0.1, generator=Generator().manual_seed(0))
    table.prepare(split)
    return table


def test_a_source_of_somebody_else_is_looked_at_all_the_same():
    """One that has no rows, filters what histories hold, and cannot be moved."""
    split = split_leave_last(random_log(users=20))

    class Theirs:
        def __init__(self, leak):
            self.leak, self.inner = leak, Source(Pointwise(split, history=50), batch_size=8)

        def __len__(self):
            return len(self.inner)

        def __iter__(self):
            for batch in self.inner:
                odd = torch.arange(len(batch.histories.item)) % 2 == 0
                owner = batch.histories.items.owner[odd]
                counts = torch.bincount(owner, minlength=len(batch))
                offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
                kept = batch.histories.take(odd.nonzero().squeeze(1), offsets)
                at = batch.at + (10**7 if self.leak else 0)
                yield Batch(torch.arange(len(batch)), batch.user, at, batch.target, batch.weight, kept)

    for sample in (None, 30):
        assert audit(split, Theirs(leak=False), sample=sample).ok
        assert kinds(audit(split, Theirs(leak=True), sample=sample)) == {Kind.WRONG_TIME}
    with pytest.raises(ArgumentError, match="batches"):
        audit(split, ["no batch"])


def test_a_source_stands_where_it_stood_and_a_sample_is_said_to_be_one():
    split = split_leave_last(random_log())
    source = Source(Pointwise(split), batch_size=8)
    source.load_state_dict({"epoch": 3, "consumed": 5})
    before = next(iter(source))
    source.load_state_dict({"epoch": 3, "consumed": 5})
    found = audit(split, {"mine": source}, sample=40)
    assert any("of mine (a sample)" in told for told in found.looked_at)
    assert any("of mine (an epoch)" in told for told in audit(split, {"mine": source}, sample=None).looked_at)
    assert source.state_dict() == {"epoch": 3, "consumed": 5}
    assert torch.equal(next(iter(source)).target, before.target)
    assert source.ahead == 2


def test_an_audit_reads_well_adds_up_and_is_json():
    split = split_leave_last(random_log())
    model = solved(Popularity(split.log.features), everything(split))
    clean, leak = audit(split), audit(split, statistics=[model])
    both = clean + leak
    assert not both.ok
    assert both.first == leak.first
    assert set(both.looked_at) == {*clean.looked_at, "1 statistic of Popularity"}
    assert len(both.looked_at) == len(set(both.looked_at))
    said = json.loads(json.dumps(both.as_dict()))
    assert said["findings"][0] | {"message": ""} == {
        "kind": "statistic over held-out rows", "severity": "violation", "where": "Popularity", "message": "",
        "fix": both.first.fix, "count": len(split.valid) + len(split.test), "row": int(split.valid.rows[0]),
        "column": None,
    }  # fmt: skip
    assert [line for line in str(both).splitlines() if line.startswith("violation: ")]
    assert clean.check() is clean
    assert "1 violation;" in leak.line
    with pytest.raises(LeakError, match=r"(?s)statistic over held-out rows.*Fix: count on"):
        both.check()


def test_what_cannot_be_audited_says_why():
    split = split_leave_last(random_log())
    with pytest.raises(ArgumentError, match="a Split"):
        audit(split.log)
    with pytest.raises(ArgumentError, match="sample"):
        audit(split, sample=0)
    batch = whole(Pointwise(split))
    with pytest.raises(ArgumentError, match="times"):
        audit(split, [replace(batch, histories=replace(batch.histories, time=None))])


@pytest.mark.real
@pytest.mark.parametrize("make", [split_leave_last, split_by_time, split_by_user, split_by_item])
def test_movielens_100k_is_clean_and_its_planted_leaks_are_found(penchant_data, make):
    log = movielens_100k(penchant_data("movielens-100k"), label=at_least("rating", 4), context=["rating"])
    split = make(log)
    sources = {"pointwise": Source(Pointwise(split, negatives=2), batch_size=256)}
    sources["windows"] = Source(Sequences(split, own_negatives=1), batch_size=32)
    model = solved(Popularity(log.features), split)
    found = audit(split, sources, [model], sample=2_000)
    assert found.ok, str(found)
    assert "rating" in {note.column for note in found.notes}
    assert kinds(audit(split, statistics=[solved(model, everything(split))], queries=())) == {Kind.STATISTIC}
    batch = next(iter(sources["pointwise"]))
    late = replace(batch.histories, time=batch.histories.time + 1)
    assert Kind.STRANGE_EVENT in kinds(audit(split, [replace(batch, histories=late)], queries=()))


@pytest.mark.parametrize("spent", [list, lambda batches: iter(())])
def test_a_source_that_gives_nothing_is_no_clean_source(spent):
    split = split_leave_last(random_log(users=12, seed=1))
    with pytest.raises(ArgumentError, match="at least one batch"):
        audit(split, {"mine": spent([])})
