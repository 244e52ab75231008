"""No evaluation sees the future: where the future alone tells the answer, nobody knows it."""

import pytest
import torch

import penchant as pt
from penchant.data import Split, split_by_item, split_by_time, split_by_user, split_leave_last
from penchant.data.findings import Kind
from penchant.evaluation import evaluate
from planted.future import ReadsTheTwin, telling_log

SPLITS = {
    "time": split_by_time,
    "time, ties excluded": lambda log: split_by_time(log, ties="exclude"),
    "leave last": lambda log: split_leave_last(log, k=4),
    "users": split_by_user,
    "items": split_by_item,
}


def first_halves(queries):
    """The queries for the first item of a pair, which its past does not tell."""
    return queries.rows((queries.targets.values < 202).nonzero().squeeze(1))


@pytest.mark.parametrize("kind", SPLITS)
@pytest.mark.parametrize("at", ["each", "cut"])
def test_what_the_future_tells_nobody_knows(kind, at):
    split = SPLITS[kind](telling_log())
    for part in (split.valid, split.test):
        asked = part(at)
        found = evaluate(
            ReadsTheTwin(),
            first_halves(asked) if at == "each" else asked,
            candidates="all", exclude_seen=False, cutoffs=(1,), bootstrap=0,
        )  # fmt: skip
        if at == "each":
            assert found["recall@1"] < 0.05  # 1 of 200 by chance
        for begin, stop in asked.chunks(16):
            requests = asked.requests(begin, stop, exclude_seen=False)
            owner = requests.histories.items.owner
            assert (requests.histories.time < requests.at[owner]).all()


def test_a_broken_history_would_know_it_and_the_audit_says_so(monkeypatch):
    split = split_by_time(telling_log())
    asked = first_halves(split.test())
    end = Split.history_end
    monkeypatch.setattr(Split, "history_end", lambda self, rows: end(self, rows) + 2)
    broken = split_by_time(telling_log())
    found = evaluate(
        ReadsTheTwin(),
        first_halves(broken.test()), candidates="all", exclude_seen=False, cutoffs=(1,), bootstrap=0,
    )  # fmt: skip
    assert found["recall@1"] > 0.9
    assert Kind.QUERY in {finding.kind for finding in pt.audit(broken).violations}
    monkeypatch.undo()
    assert torch.equal(asked.end, first_halves(split.test()).end)
    assert pt.audit(split).ok
