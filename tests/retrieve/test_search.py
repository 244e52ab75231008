import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asked import asked
from penchant.errors import ArgumentError
from penchant.protocols import Interests
from penchant.retrieve import search, similar


def slow(interests, items, requests, known, k):
    """One user and one item at a time: the score of every allowed item, best first."""
    lists = []
    for b in range(len(requests)):
        scores = {}
        for item in range(2, len(items)):
            hidden = (
                requests.exclude is not None
                and item
                in requests.exclude.values[requests.exclude.offsets[b] : requests.exclude.offsets[b + 1]]
            )
            eligible = requests.eligible
            if eligible is not None:
                eligible = eligible if eligible.dim() == 1 else eligible[b]
                hidden |= not eligible[item]
            if hidden or not known[item]:
                continue
            each = [
                float(
                    vector @ items[item] + (0 if interests.log_prior is None else interests.log_prior[b, n])
                )
                for n, vector in enumerate(interests.vectors[b])
                if interests.valid is None or interests.valid[b, n]
            ]
            if each:
                scores[item] = max(each)
        lists.append(sorted(scores.items(), key=lambda pair: -pair[1])[:k])
    return lists


@given(
    users=st.integers(0, 5), count=st.sampled_from([1, 3]), k=st.integers(1, 12), chunk=st.integers(1, 3),
    seed=st.integers(0, 999), rules=st.sampled_from(["none", "same", "each"]), parts=st.booleans(),
)  # fmt: skip
def test_search_is_the_slow_one_under_all_rules(users, count, k, chunk, seed, rules, parts):
    g = torch.Generator().manual_seed(seed)
    items = torch.randn(9, 4, generator=g)
    known = torch.rand(9, generator=g) < 0.8
    coin = torch.rand(users, 9, generator=g) < 0.7
    exclude = [
        torch.randint(9, (int(n),), generator=g).tolist() for n in torch.randint(4, (users,), generator=g)
    ]
    interests = Interests(
        torch.randn(users, count, 4, generator=g),
        torch.rand(users, count, generator=g) < 0.8 if parts else None,
        torch.randn(users, count, generator=g) if parts else None,
    )
    eligible = {"none": None, "same": known.roll(1), "each": coin}[rules]
    requests = asked([[]] * users, eligible=eligible, exclude=exclude if parts else None)
    found = search(interests, items, requests, k, known=known, chunk=chunk)
    assert found.item.shape == found.score.shape == (users, k)
    for row, scores, true in zip(
        found.item.tolist(), found.score.tolist(), slow(interests, items, requests, known, k)
    ):
        assert row == [item for item, _ in true] + [0] * (k - len(true))
        assert scores == pytest.approx(
            [score for _, score in true] + [-torch.inf] * (k - len(true)), abs=1e-5
        )


def test_padding_and_the_unknown_item_are_never_answered():
    found = search(Interests(torch.ones(1, 1, 1)), torch.ones(4, 1), asked([[]]), 4)
    assert sorted(found.item[0].tolist()) == [0, 0, 2, 3]
    assert found.score[0].tolist() == [1, 1, -torch.inf, -torch.inf]


def test_equal_scores_come_in_an_order_that_is_not_the_ids():
    found = search(Interests(torch.ones(1, 1, 1)), torch.ones(200, 1), asked([[]]), 198)
    assert sorted(found.item[0].tolist()) == list(range(2, 200))
    assert found.item[0].tolist() != list(range(2, 200))


def test_similar_goes_by_cosine_and_leaves_the_item_out():
    vectors = torch.tensor([[0.0, 0], [9, 9], [1, 0], [5, 0.1], [0, 1], [-1, 0]])
    found = similar(vectors, torch.tensor([2, 4]), 2, known=torch.arange(6) != 5)
    assert found.item.tolist() == [[3, 4], [3, 2]]


@pytest.mark.parametrize(("k", "chunk"), [(0, None), (3, 0)])
def test_sizes_below_one_are_refused(k, chunk):
    with pytest.raises(ArgumentError, match="at least 1"):
        search(Interests(torch.ones(1, 1, 1)), torch.ones(4, 1), asked([[]]), k, chunk=chunk)


def test_one_row_a_request_is_required():
    with pytest.raises(ArgumentError, match="one row for each of 2 requests"):
        search(Interests(torch.ones(1, 1, 1)), torch.ones(4, 1), asked([[], []]), 1)
