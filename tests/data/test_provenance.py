"""Statistics say which rows they were counted on, and are held to it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, nn

from audited import everything, kinds, one, prepared, solved
from drawn import splits
from logs import random_log
from penchant.data import (
    split_leave_last,
)
from penchant.data.audit import audit
from penchant.data.findings import Kind
from penchant.data.provenance import Provenance, provenance_of
from penchant.data.split import TRAIN
from penchant.errors import ArgumentError, StoreError
from penchant.rank import DIN
from penchant.retrieve import EASE, Popularity, SASRec
from penchant.train import build, describe, load_weights, save_weights
from penchant.train.checkpoint import save_tensors, weights_of

MODELS = [
    lambda features, split: solved(Popularity(features), split),
    lambda features, split: solved(EASE(features), split),
    lambda features, split: prepared(SASRec(features, width=4), split),
    lambda features, split: prepared(
        DIN(features, width=4, attention=[4], head=[4], categories=["genres"]), split
    ),
]


@pytest.mark.parametrize("make", MODELS, ids=["Popularity", "EASE", "SASRec", "DIN"])
@pytest.mark.parametrize("labels", [False, True])
def test_a_statistic_over_test_rows_is_found_and_the_honest_one_passes(make, labels):
    log = random_log(labels=labels)
    split = split_leave_last(log)
    assert audit(split, statistics=[make(log.features, split)]).ok
    found = audit(split, statistics={"popular": make(log.features, everything(split))})
    assert kinds(found) == {Kind.STATISTIC}
    assert found.first.where.startswith("popular")
    assert f"{len(split.test):,} test rows" in str(found) or labels
    assert "validation" in found.first.message
    assert "user 'u2'" in found.first.message  # whose held-out row is the first


def test_a_fit_on_validation_rows_too_is_clean_on_the_joined_split_alone():
    split = split_leave_last(random_log())
    model = solved(Popularity(split.log.features), split.joined())
    assert audit(split.joined(), statistics=[model]).ok
    finding = one(audit(split, statistics=[model]), Kind.STATISTIC)
    assert f"{len(split.valid):,} validation rows" in finding.message
    assert "joined()" in finding.fix


class Counts:
    """Somebody's own statistic."""

    def __init__(self, split, rows):
        self.provenance = (Provenance.of("clicks an hour", split, rows),)


@given(splits(), st.integers(0, 2**32))
def test_any_row_that_is_not_of_training_is_found(split, seed):
    rows = split.train.rows
    kept = rows[torch.rand(len(rows), generator=Generator().manual_seed(seed)) < 0.7]
    assert audit(split, statistics=[Counts(split, kept)]).ok
    others = (split.part != TRAIN).nonzero().squeeze(1)
    stray = others[seed % len(others)]
    finding = one(audit(split, statistics=[Counts(split, torch.cat([kept, stray[None]]))]), Kind.STATISTIC)
    assert (finding.count, finding.row) == (1, int(stray))


def test_a_count_under_another_split_is_a_leak_where_that_is_certain_and_else_told():
    log = random_log()
    one_out, two_out = split_leave_last(log), split_leave_last(log, k=2)
    assert Kind.STATISTIC in kinds(audit(two_out, statistics=[Counts(one_out, one_out.train.rows[1:])]))
    found = audit(one_out, statistics=[Counts(two_out, two_out.train.rows[1:])])
    assert found.ok
    assert Kind.OTHER_SPLIT in {note.kind for note in found.notes}
    other = split_leave_last(random_log(seed=9))
    assert "another log" in str(audit(one_out, statistics=[Counts(other, other.train.rows)]))


def test_a_model_that_counted_and_does_not_say_where_is_unknown():
    class Silent(nn.Module):
        def solve(self, split):
            self.counts = split.item_counts

    split = split_leave_last(random_log())
    found = audit(split, statistics=[Silent(), nn.Linear(2, 2)])
    assert found.ok
    assert [(note.kind, note.where) for note in found.notes if note.kind is Kind.NO_PROVENANCE] == [
        (Kind.NO_PROVENANCE, "Silent")
    ]
    with pytest.raises(ArgumentError, match="provenance"):
        audit(split, statistics=[object()])


@given(splits(), st.integers(0, 2**32))
def test_provenance_says_what_was_counted(split, seed):
    rows = torch.arange(len(split.log))
    rows = rows[torch.rand(len(rows), generator=Generator().manual_seed(seed)) < 0.5]
    said = Provenance.of("x", split, rows)
    parts = [int(split.part[row]) for row in rows]
    assert [said.unused, said.train, said.valid, said.test] == [parts.count(part) for part in range(4)]
    assert said.rows == len(rows)
    assert said.latest == max((int(split.log.time[row]) for row in rows), default=None)
    strays = [int(row) for row, part in zip(rows, parts) if part != TRAIN]
    assert said.stray == min(strays, default=None)
    assert Provenance.from_dict(said.as_dict()) == said


@pytest.mark.parametrize(
    "change",
    [{"rows": "many"}, {"rows": True}, {"what": None}, {"more": 1}],
    ids=["text", "bool", "none", "more"],
)
def test_what_is_no_provenance_is_refused(change):
    split = split_leave_last(random_log())
    with pytest.raises(ValueError, match=next(iter(change)) if "more" not in change else "expected"):
        Provenance.from_dict(Provenance.of("x", split, split.train.rows).as_dict() | change)


@pytest.mark.parametrize("make", MODELS, ids=["Popularity", "EASE", "SASRec", "DIN"])
def test_provenance_is_saved_with_the_weights_and_comes_back(make, tmp_path):
    log = random_log()
    split = split_leave_last(log)
    model = make(log.features, everything(split))
    save_weights(model, tmp_path / "weights")
    again = build(describe(model), log.features)
    assert not provenance_of(again)
    load_weights(again, tmp_path / "weights")
    assert provenance_of(again) == provenance_of(model) != {}
    assert audit(split, statistics=[again]).first == audit(split, statistics=[model]).first


def test_a_model_that_was_saved_before_provenance_was_loads_and_is_unknown(tmp_path):
    log = random_log()
    split = split_leave_last(log)
    model = solved(Popularity(log.features), split)
    save_tensors(weights_of(model), tmp_path / "old")
    load_weights(model, tmp_path / "old")
    assert model.provenance == ()  # not that of what it was before
    found = audit(split, statistics=[model])
    assert found.ok
    assert "unknown" in str(found)


@pytest.mark.parametrize("text", ["{", "[1]", '{"": [1]}', '{"": [{}]}', '{"no.such.part": []}'])
def test_what_is_no_provenance_in_a_file_is_refused_before_anything_changes(text, tmp_path):
    log = random_log()
    model = solved(Popularity(log.features), split_leave_last(log))
    save_tensors(weights_of(model), tmp_path / "odd", note={"provenance": text})
    before = model.provenance
    with pytest.raises(StoreError, match="rows counted"):
        load_weights(model, tmp_path / "odd")
    assert model.provenance == before
