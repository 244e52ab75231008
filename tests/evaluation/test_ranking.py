import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ranx import Qrels, Run
from ranx import evaluate as ranx_evaluate

from asked import ragged
from penchant.data.batch import Ragged
from penchant.errors import ArgumentError
from penchant.evaluation import ranking as module
from penchant.evaluation.ranking import RANKING_METRICS, candidate_recall, ranking_metrics
from penchant.nn.topk import topk

RANX = {"recall": "recall", "hit_rate": "hit_rate", "precision": "precision", "ndcg": "ndcg", "mrr": "mrr"}
RANX |= {"map": "map"}


def padded(rows, length):
    return torch.tensor([row + [0] * (length - len(row)) for row in rows]).reshape(len(rows), length)


def slow(found, targets, k):
    """Each metric of one query from its definition; `found` best first, 0 for no item."""
    targets, top = set(targets), (found + [0] * k)[:k]
    relevant = [item in targets for item in top]
    precisions = [sum(relevant[: i + 1]) / (i + 1) for i in range(k)]
    ideal = sum(1 / math.log2(i + 2) for i in range(min(k, len(targets))))
    return {
        "recall": sum(relevant) / len(targets),
        "hit_rate": float(any(relevant)),
        "precision": sum(relevant) / k,
        "ndcg": sum(hit / math.log2(i + 2) for i, hit in enumerate(relevant)) / ideal,
        "mrr": 1 / (relevant.index(True) + 1) if any(relevant) else 0.0,
        "map": sum(p for p, hit in zip(precisions, relevant) if hit) / len(targets),
    }


@st.composite
def asked(draw):
    """Lists of differing real length, some empty (all is seen), targets that repeat or are missing."""
    size = draw(st.integers(2, 30))
    queries = draw(st.integers(1, 6))
    item = st.integers(1, size)
    lists = [draw(st.lists(item, unique=True, max_size=size)) for _ in range(queries)]
    targets = [draw(st.lists(item, max_size=8)) for _ in range(queries)]
    cutoffs = draw(st.lists(st.integers(1, 40), min_size=1, max_size=3, unique=True))
    return lists, targets, cutoffs


@given(asked(), st.integers(0, 4))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_equals_ranx_and_the_slow_version(case, pad):
    lists, targets, cutoffs = case
    found = ranking_metrics(padded(lists, max(map(len, lists)) + pad), ragged(targets), cutoffs)
    assert list(found) == [f"{name}@{k}" for k in cutoffs for name in RANKING_METRICS]
    for q, (row, wanted) in enumerate(zip(lists, targets)):
        for k in cutoffs:
            ours = {name: found[f"{name}@{k}"][q] for name in RANKING_METRICS}
            if wanted:
                assert ours == pytest.approx(slow(row, wanted, k), abs=1e-12)
            else:
                assert np.isnan(list(ours.values())).all()
    kept = [q for q, wanted in enumerate(targets) if wanted]  # ranx refuses a query without targets
    if not kept:
        return
    qrels = Qrels({f"q{q:03}": {f"d{item}": 1 for item in targets[q]} for q in kept})
    run = {  # scores fall strictly, as ranx breaks ties by insertion; an empty list holds what nobody wants
        f"q{q:03}": {f"d{item}": float(-i) for i, item in enumerate(lists[q] or ["none"])} for q in kept
    }
    names = [f"{RANX[name]}@{k}" for k in cutoffs for name in RANKING_METRICS]
    theirs = ranx_evaluate(qrels, Run(run), names, return_mean=False)
    for name, other in zip(found, names):
        values = theirs[other] if isinstance(theirs, dict) else theirs
        np.testing.assert_allclose(found[name][kept], np.atleast_1d(values), rtol=0, atol=1e-9)


def test_a_query_by_hand():
    found = ranking_metrics(torch.tensor([[4, 9, 2, 7]]), ragged([[9, 7, 5, 9]]), [1, 3, 4])
    assert {name: float(values[0]) for name, values in found.items()} == pytest.approx(
        {
            "recall@1": 0, "hit_rate@1": 0, "precision@1": 0, "ndcg@1": 0, "mrr@1": 0, "map@1": 0,
            "recall@3": 1 / 3, "hit_rate@3": 1, "precision@3": 1 / 3, "mrr@3": 1 / 2, "map@3": 1 / 6,
            "ndcg@3": (1 / math.log2(3)) / (1 + 1 / math.log2(3) + 1 / 2),
            "recall@4": 2 / 3, "hit_rate@4": 1, "precision@4": 2 / 4, "mrr@4": 1 / 2, "map@4": 1 / 3,
            "ndcg@4": (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3) + 1 / 2),
        }
    )  # fmt: skip


def test_a_hole_in_a_list_holds_its_place():
    found = ranking_metrics(torch.tensor([[0, 0, 6]]), ragged([[6]]), [3], metrics=["mrr", "recall"])
    assert {name: values.tolist() for name, values in found.items()} == {"mrr@3": [1 / 3], "recall@3": [1.0]}


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_memory_is_bounded_by_chunks_that_change_nothing(monkeypatch, chunk):
    draw = np.random.default_rng(0)
    lists = torch.from_numpy(np.stack([draw.permutation(50)[:9] for _ in range(23)]))
    targets = ragged([draw.integers(1, 50, draw.integers(0, 5)).tolist() for _ in range(23)])
    whole = ranking_metrics(lists, targets)
    monkeypatch.setattr(module, "_CHUNK", chunk)
    parts = ranking_metrics(lists, targets)
    assert all(np.array_equal(whole[name], parts[name], equal_nan=True) for name in whole)


def test_constant_scores_find_no_more_than_chance():
    # Popular items have the low indices and are the targets: ties in index order would look like skill.
    items, queries, k = 2000, 300, 20
    targets = ragged([[item] for item in np.random.default_rng(0).integers(1, 60, queries).tolist()])
    lists = topk(torch.zeros(1, items), k)[1].expand(queries, k)
    by_index = torch.arange(1, k + 1).expand(queries, k)
    assert ranking_metrics(by_index, targets, [k])[f"recall@{k}"].mean() > 0.25
    assert ranking_metrics(lists, targets, [k])[f"recall@{k}"].mean() < 0.1


def test_candidate_recall():
    targets = ragged([[1, 2, 3, 3], [], [8]])
    candidates = torch.tensor([[3, 1, 0, 0, 9], [1, 2, 3, 4, 5], [7, 6, 5, 0, 1]])
    assert candidate_recall(candidates, targets).tolist() == pytest.approx([2 / 3, math.nan, 0], nan_ok=True)


def test_nothing_asked_nothing_found():
    assert ranking_metrics(torch.zeros(0, 5, dtype=torch.long), ragged([]), [3])["ndcg@3"].shape == (0,)
    assert ranking_metrics(torch.zeros(1, 0, dtype=torch.long), ragged([[4]]), [3])["ndcg@3"].tolist() == [0]
    assert candidate_recall(torch.tensor([[3]]), ragged([[]])).tolist() == pytest.approx(
        [math.nan], nan_ok=True
    )


def test_large_indices_are_told_apart():
    top = 2**31 - 1
    lists = torch.tensor([[top, top - 1]] * 3)
    found = ranking_metrics(lists, ragged([[top - 1], [top], [1]]), [2], metrics=["mrr"])
    assert found["mrr@2"].tolist() == [0.5, 1, 0]


GOOD = torch.tensor([[3, 4]])


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("lists", lambda: ranking_metrics(torch.tensor([[3, 3]]), ragged([[1]]))),
        ("lists", lambda: ranking_metrics(torch.tensor([[3, -1]]), ragged([[1]]))),
        ("lists", lambda: ranking_metrics(torch.tensor([[3, 2**31]]), ragged([[1]]))),
        ("lists", lambda: ranking_metrics(torch.tensor([3, 4]), ragged([[1]]))),
        ("targets.values", lambda: ranking_metrics(GOOD, ragged([[0]]))),
        ("targets.values", lambda: ranking_metrics(GOOD, ragged([[2**31]]))),
        ("targets.offsets", lambda: ranking_metrics(GOOD, ragged([[1], [2]]))),
        (
            "targets.offsets",
            lambda: ranking_metrics(GOOD, Ragged(torch.tensor([1, 2]), torch.tensor([0, 1]))),
        ),
        ("targets.offsets", lambda: ranking_metrics(GOOD, Ragged(torch.tensor([1]), torch.tensor([1, 1])))),
        ("cutoffs", lambda: ranking_metrics(GOOD, ragged([[1]]), [5, 0])),
        ("metrics", lambda: ranking_metrics(GOOD, ragged([[1]]), metrics=["ncdg"])),
    ],
)
def test_arguments_are_refused_by_name(name, call):
    with pytest.raises(ArgumentError, match=f"^{name}="):
        call()


def test_a_misspelt_metric_gets_a_hint():
    with pytest.raises(ArgumentError, match="did you mean 'ndcg'"):
        ranking_metrics(GOOD, ragged([[1]]), metrics=["ncdg"])
