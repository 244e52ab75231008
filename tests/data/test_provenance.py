"""Statistics say which rows they were counted on, and are held to it."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, nn

from audited import everything, kinds, one, prepared, solved
from drawn import splits
from logs import log_of, random_log
from penchant.data import Pointwise, Sequences, Source, split_by_time, split_leave_last
from penchant.data.audit import audit
from penchant.data.findings import Kind
from penchant.data.provenance import WEIGHTS, Provenance, provenance_of
from penchant.data.split import TRAIN
from penchant.errors import ArgumentError, StoreError
from penchant.evaluation import evaluate
from penchant.protocols import Defaults, Loss
from penchant.rank import DIN
from penchant.retrieve import EASE, Popularity, SASRec
from penchant.train import build, describe, fit, load_weights, save_weights
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


def test_a_count_under_another_split_is_held_to_the_rows_themselves():
    log = random_log()
    one_out, two_out = split_leave_last(log), split_leave_last(log, k=2)
    assert Kind.STATISTIC in kinds(audit(two_out, statistics=[Counts(one_out, one_out.train.rows[1:])]))
    assert audit(one_out, statistics=[Counts(two_out, two_out.train.rows[1:])]).ok
    by_time = split_by_time(log, valid=0.1, test=0.1)
    strays = by_time.train.rows[one_out.part[by_time.train.rows] != TRAIN]
    assert len(strays)
    assert len(by_time.train) < len(one_out.train)  # so numbers of rows tell nothing
    finding = one(audit(one_out, statistics=[Counts(by_time, by_time.train.rows)]), Kind.STATISTIC)
    assert (finding.count, finding.row) == (len(strays), int(strays[0]))


class Says:
    """Somebody's own statistic of which this is said."""

    def __init__(self, said, **changes):
        self.provenance = (replace(said, **changes),)


def test_what_cannot_be_told_from_a_leak_is_one():
    """Rows of another split that are too many to be told one by one, or do not read."""
    log = random_log()
    one_out, two_out = split_leave_last(log), split_leave_last(log, k=2)
    said = Provenance.of("clicks an hour", two_out, two_out.train.rows[1:])
    for exact in (None, "no base64", "bm8gYml0bWFw", said.exact[:-4]):
        finding = one(audit(one_out, statistics=[Says(said, exact=exact)]), Kind.OTHER_SPLIT)
        assert "does not say which" in finding.message
        assert audit(two_out, statistics=[Says(said, exact=exact)]).ok
    other = split_leave_last(random_log(seed=9))
    said = Provenance.of("clicks an hour", other, other.train.rows)
    assert "another log" in one(audit(one_out, statistics=[Says(said)]), Kind.OTHER_SPLIT).message
    earlier = audit(one_out, statistics=[Says(said, latest=int(log.time.min()) - 1)])
    assert earlier.ok
    assert "another log" in str(earlier)


def test_a_count_on_the_same_events_with_other_labels_is_held_to_its_rows():
    log = random_log(labels=True)
    there = split_leave_last(log)
    here = replace(there, log=replace(log, label=1 - log.label))
    found = audit(here, statistics=[Counts(there, there.train.rows)])
    assert found.ok
    assert "other labels" in str(found)
    assert one(audit(here, statistics=[Counts(there, there.test.rows)]), Kind.STATISTIC).count == len(
        here.test
    )


@given(splits(), st.integers(0, 2**32))
def test_the_rows_counted_come_back_from_text(split, seed):
    rows = (torch.rand(len(split.log), generator=Generator().manual_seed(seed)) < 0.5).nonzero().squeeze(1)
    said = Provenance.from_dict(json.loads(json.dumps(Provenance.of("x", split, rows.flip(0)).as_dict())))
    assert said.rows_in(split).tolist() == rows.tolist()
    longer = log_of([[2] * (len(split.log) + 1)])
    assert said.rows_in(split_leave_last(longer)) is None


def test_a_model_trained_on_test_rows_and_then_on_training_rows_is_found(tmp_path):
    log = random_log()
    split = split_leave_last(log)
    model = SASRec(log.features, width=4)
    settings = {"epochs": 1, "progress": False, "device": "cpu"}
    fit(model, Source(Sequences(everything(split)), batch_size=64), **settings)
    fit(model, split, **settings)
    for one_model in (model, saved(model, log, tmp_path)):
        finding = one(audit(split, statistics=[one_model]), Kind.STATISTIC)
        assert "its weights were learned from" in finding.message
        assert f"{len(split.test):,} test" in finding.message
    honest = fit(fit(SASRec(log.features, width=4), split, **settings), split, **settings)
    assert audit(split, statistics=[honest]).ok
    assert [said.what for said in honest.provenance] == ["weights"]  # once, however often


def saved(model, log, folder):
    save_weights(model, folder / "weights")
    again = build(describe(model), log.features)
    load_weights(again, folder / "weights")
    return again


class Theirs(nn.Module):
    """Somebody's model that neither prepares nor says anything."""

    defaults = Defaults(epochs=1, batch_size=64)

    def __init__(self, features):
        super().__init__()
        self.bias = nn.Embedding(features.items, 1)

    def source(self, split, *, batch_size, seed):
        return Source(Pointwise(split), batch_size=batch_size, seed=seed)

    def loss(self, batch):
        each = (1 - self.bias(batch.target).squeeze(1)).square()
        return Loss((batch.weight * each).sum(), batch.weight.sum())


def test_somebody_s_trained_model_is_held_to_the_rows_of_its_fit():
    log = random_log()
    split = split_leave_last(log)
    silent = audit(split, statistics=[Theirs(log.features)])
    assert silent.ok
    assert [note.where for note in silent.notes if note.kind is Kind.NO_PROVENANCE] == ["Theirs"]
    settings = {"progress": False, "device": "cpu"}
    honest = fit(Theirs(log.features), Source(Pointwise(split), batch_size=64), **settings)
    found = audit(split, statistics=[honest])
    assert found.ok
    assert Kind.NO_PROVENANCE not in {note.kind for note in found.notes}
    source = Source(Pointwise(everything(split)), batch_size=64)
    fit(honest, source, **settings)
    assert Kind.STATISTIC in kinds(audit(split, statistics=[honest]))

    class Rows:
        def __len__(self):
            return len(source.examples)

        def batch(self, index, generator):
            return source.examples.batch(index, generator)

    unknown = fit(Theirs(log.features), Source(Rows(), batch_size=64), **settings)
    notes = audit(split, statistics=[unknown]).notes
    assert "source of Rows" in str(next(note for note in notes if note.kind is Kind.NO_PROVENANCE))

    class Spoken(Rows):
        def __init__(self, split):
            self.split = split  # its word on a split is not its word on rows
            self.provenance = ()

    silent = fit(Theirs(log.features), Source(Spoken(split), batch_size=64), **settings)
    assert Kind.NO_PROVENANCE in {note.kind for note in audit(split, statistics=[silent]).notes}
    said = Spoken(split)
    said.provenance = (Provenance.of(WEIGHTS, split, everything(split).train.rows),)
    spoken = fit(Theirs(log.features), Source(said, batch_size=64), **settings)
    assert Kind.STATISTIC in kinds(audit(split, statistics=[spoken]))


def test_an_epoch_that_is_chosen_by_test_rows_is_found():
    split = split_leave_last(random_log())
    settings = {"progress": False, "epochs": 2}
    honest = fit(SASRec(split.log.features, width=4), split, **settings)
    assert audit(split, statistics=[honest]).ok
    for valid in (split.test, split.test(at="cut")):
        chosen = fit(SASRec(split.log.features, width=4), split, valid=valid, **settings)
        finding = one(audit(split, statistics=[chosen]), Kind.STATISTIC)
        assert "'the epoch that is kept'" in finding.message
        assert "test rows among them" in finding.message
        assert "the epoch that is kept" in evaluate(chosen, split.test, bootstrap=0).cautions[0]
        fit(chosen, split, **settings)  # what was chosen before stands behind what is learned now
        assert Kind.STATISTIC in kinds(audit(split, statistics=[chosen]))


def test_negatives_of_a_source_that_says_nothing_are_unknown():
    split = split_leave_last(random_log(users=40))

    class Silent:
        def __init__(self):
            self.inner = Sequences(split, negatives=4)

        def __len__(self):
            return len(self.inner)

        def batch(self, index, generator):
            return self.inner.batch(index, generator)

    for examples, silent in (
        (Silent(), True),
        (Sequences(split, negatives=4), False),
        (Sequences(split), False),
    ):
        notes = audit(split, Source(examples, batch_size=8)).notes
        told = [note.message for note in notes if note.kind is Kind.NO_PROVENANCE]
        assert ["its negatives were counted" in message for message in told] == [True] * silent


def test_a_resumed_run_says_once_what_it_and_the_model_before_it_learned_from(tmp_path):
    log = random_log()
    split = split_leave_last(log)
    settings = {"progress": False, "device": "cpu", "checkpoint": tmp_path / "run", "epochs": 2}
    model = Theirs(log.features)
    fit(model, Source(Pointwise(everything(split)), batch_size=64), progress=False, device="cpu")
    source = Source(Pointwise(split), batch_size=64)

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model, source, callbacks=[stop], **settings)
    resumed = fit(Theirs(log.features), Source(Pointwise(split), batch_size=64), **settings)
    assert sorted(said.rows for said in resumed.provenance) == [len(split.train), len(log)]


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
