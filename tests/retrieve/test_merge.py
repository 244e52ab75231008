import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from penchant.errors import ArgumentError
from penchant.protocols import Candidates
from penchant.retrieve.merge import merge

lists = st.lists(st.integers(1, 9), unique=True, max_size=6)


def found(rows: list[list[int]], width: int = 6) -> Candidates:
    item = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    score = torch.where(item > 0, -torch.arange(width).float(), -torch.inf)
    return Candidates(item, score)


def slow(parts: list[list[int]], weights: list[float], k: int) -> list[tuple[int, int]]:
    """Items of one user with the retriever that counted most for each, best first; ties by place in the
    merged row."""
    score: dict[int, float] = {}
    best: dict[int, tuple[float, int]] = {}
    for n, (part, weight) in enumerate(zip(parts, weights, strict=True)):
        for rank, item in enumerate(part):
            score[item] = score.get(item, 0.0) + weight / (61 + rank)
            counted = (-weight / (61 + rank), n)
            best[item] = min(best.get(item, counted), counted)
    return [(item, best[item][1]) for item in sorted(score, key=lambda i: -score[i])][:k]


@given(st.lists(st.tuples(lists, lists, lists), min_size=1, max_size=4), st.integers(1, 20))
def test_equals_the_slow_version_but_for_ties(users, k):
    # weights that are no simple ratio, so that equal sums are rare and both sides order alike
    weights = [1.0, 1.37, 0.71]
    answer = merge({n: found([u[i] for u in users]) for i, n in enumerate("abc")}, k, weights=weights)
    for b, user in enumerate(users):
        kept = answer.item[b] > 0
        got = list(zip(answer.item[b][kept].tolist(), answer.origin[b][kept].tolist(), strict=True))
        assert got == slow(list(user), weights, k)
    assert answer.item.shape == (len(users), k)
    assert (answer.score[answer.item == 0] == -torch.inf).all()


def test_one_retriever_keeps_its_own_scores():
    only = Candidates(torch.tensor([[5, 3, 2]]), torch.tensor([[2.5, 1.5, -1.0]]))
    answer = merge({"a": only}, 2)
    assert answer.item.tolist() == [[5, 3]]
    assert answer.score.tolist() == [[2.5, 1.5]]


def test_an_item_that_two_found_beats_one_that_one_found():
    answer = merge({"a": found([[1, 2]]), "b": found([[3, 2]])}, 3)
    assert answer.item[0, 0] == 2


def test_the_order_of_users_plays_no_part():
    a, b = found([[1, 2, 3], [4, 5]]), found([[3, 9], [5, 6, 7]])
    both = merge({"a": a, "b": b}, 5)
    one = merge({"a": found([[4, 5]]), "b": found([[5, 6, 7]])}, 5)
    assert both.item[1].tolist() == one.item[0].tolist()


def test_the_origin_is_the_retriever_that_counted_most():
    lists = {"a": found([[1, 2, 3]]), "b": found([[3, 4]])}
    answer = merge(lists, 4, weights=[1.0, 1e-4])
    assert answer.item.tolist() == [[1, 2, 3, 4]]
    assert answer.origin.tolist() == [[0, 0, 0, 1]]


def test_nobody_asked_gives_empty_lists():
    nothing = Candidates(torch.zeros(0, 5, dtype=torch.int64), torch.zeros(0, 5))
    assert merge({"a": nothing, "b": nothing}, 3).item.shape == (0, 3)


def test_weights_must_fit():
    lists = {"a": found([[1]]), "b": found([[2]])}
    for wrong in ([1.0], 3, "11"):
        with pytest.raises(ArgumentError, match="one weight for each of a, b"):
            merge(lists, 1, weights=wrong)
    for wrong in ([-1.0, 1.0], [0, 0], [float("nan"), 1.0], [float("inf"), 1.0], ["1", "2"], [True, 1]):
        with pytest.raises(ArgumentError, match="numbers of 0 or more"):
            merge(lists, 1, weights=wrong)
