"""A result says where a system has learned from what it is asked."""

from dataclasses import replace

import pytest
import torch

from fixed import Fixed
from logs import random_log
from penchant import report
from penchant.data import split_leave_last
from penchant.data.split import TEST, TRAIN
from penchant.evaluation import evaluate
from penchant.funnel import Funnel
from penchant.rank import DIN
from penchant.retrieve import EASE, Popularity
from penchant.train import fit
from pretend import pretended


@pytest.fixture
def split():
    return split_leave_last(random_log(users=60, items=25, seed=3))


def leaking(split):
    """The same with the test rows to be learned from."""
    return replace(split, part=split.part.masked_fill(split.part == TEST, TRAIN))


def counted(split):
    return fit(Popularity(split.log.features), split)


def asked(system, part, **more):
    return evaluate(system, part, bootstrap=0, **more)


def test_a_count_of_test_rows_is_told_wherever_the_result_is_read(split, tmp_path):
    result = asked(counted(leaking(split)), split.test, against=[counted(split)])
    assert [row.name for row in result.systems] == ["Popularity-1", "Popularity-2"]
    (caution,) = result.cautions
    tests = int((split.part == TEST).sum())
    assert caution.startswith("Popularity-1 learned from what it is asked, so its figures flatter: ")
    assert f"{tests} test rows among them" in caution
    assert caution in str(result)
    assert [row["caution"] != "" for row in result.as_dict()["systems"]] == [True, False]
    report.html(result, tmp_path / "page.html")
    assert "so its figures flatter" in (tmp_path / "page.html").read_text()


def test_validation_rows_may_be_learned_from_before_the_test_and_not_before_the_validation(split):
    for model in (counted(split), counted(split.joined())):
        assert asked(model, split.test).cautions == []
    assert asked(counted(split), split.valid).cautions == []
    assert "validation rows among them" in asked(counted(split.joined()), split.valid).cautions[0]
    assert "test rows among them" in asked(counted(leaking(split)), split.valid(at="cut")).cautions[0]


def test_the_training_rows_are_no_test(split):
    (caution,) = asked(counted(split), split.train).cautions
    assert caution == "Popularity is asked about training rows, so its figures flatter"


def test_where_a_log_is_too_large_to_keep_its_rows_parts_are_known_by_their_digest(split, monkeypatch):
    monkeypatch.setattr("penchant.data.provenance._LONGEST", 0)
    for model in (counted(split), counted(split.joined())):
        assert model.provenance[0].exact is None
        assert asked(model, split.test).cautions == []
    assert len(asked(counted(split.joined()), split.valid).cautions) == 1
    assert len(asked(counted(leaking(split)), split.test).cautions) == 1


def test_a_funnel_names_the_stage_and_a_ranker_is_judged_too(split):
    fine, leaky = fit(EASE(split.log.features), split), counted(leaking(split))
    funnel = Funnel(retrieve=[fine, leaky], data=split.log)
    (caution,) = asked(funnel, split.test, against=[fine]).cautions
    assert caution.startswith("Funnel learned from what it is asked, so its figures flatter (Popularity): ")
    ranker = DIN(split.log.features, width=4, history=5)
    fit(ranker, leaking(split), epochs=1, progress=False)
    (caution,) = asked(ranker, split.test).cautions
    assert caution.startswith("DIN learned")
    assert "its weights were learned from 670 rows" in caution
    assert (
        asked(Funnel(retrieve=fine, rank=ranker, data=split.log), split.test)
        .cautions[0]
        .startswith("Funnel learned from what it is asked, so its figures flatter (rank): ")
    )


def test_what_took_nothing_down_is_taken_at_its_word(split):
    assert asked(Fixed(torch.arange(27.0)), split.test).cautions == []


def test_a_log_elsewhere_is_judged_alike(split):
    leaky, fine = counted(leaking(split)), counted(split.joined())
    here = asked(leaky, split.test, against=[fine]).cautions
    other = counted(split_leave_last(random_log(users=60, items=25, seed=4)))
    unlike = asked(other, split.test).cautions
    assert len(here) == len(unlike) == 1
    with pretended() as device:
        away = split.to(device)
        assert asked(leaky, away.test, against=[fine]).cautions == here
        assert asked(other, away.test).cautions == unlike
