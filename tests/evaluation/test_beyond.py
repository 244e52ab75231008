import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asked import ragged
from penchant.errors import ArgumentError
from penchant.evaluation import beyond as module
from penchant.evaluation.beyond import (
    average_popularity,
    category_coverage,
    category_entropy,
    exposure_gini,
    intra_list_diversity,
    item_coverage,
    novelty,
    personalisation,
    serendipity,
)

PER_LIST = {
    "entropy": category_entropy,
    "coverage": category_coverage,
    "category_diversity": intra_list_diversity,
    "vector_diversity": intra_list_diversity,
    "novelty": novelty,
    "popularity": average_popularity,
}


def slow(row, labels, vectors, counts):
    """Every per-list metric of one list from its definition."""
    items = [item for item in row if item]
    sets = [{label for label in labels[item] if label} for item in items]
    sets = [chosen for chosen in sets if chosen]
    mass = {}
    for chosen in sets:
        for label in chosen:
            mass[label] = mass.get(label, 0) + 1 / len(chosen)
    shares = [value / len(sets) for value in mass.values()]
    everything = {label for labels_of in labels for label in labels_of if label}
    known = [vectors[item].astype(float) for item in items if np.abs(vectors[item]).sum() > 0]
    cosines = [a @ b / math.sqrt((a @ a) * (b @ b)) for a, b in itertools.combinations(known, 2)]
    jaccard = [1 - len(a & b) / len(a | b) for a, b in itertools.combinations(sets, 2)]
    mean = lambda values: float(np.mean(values)) if len(values) else math.nan  # noqa: E731
    return {
        "entropy": -sum(p * math.log2(p) for p in shares) if sets else math.nan,
        "coverage": len(mass) / min(sum(map(len, sets)), len(everything)) if sets else math.nan,
        "category_diversity": mean(jaccard),
        "vector_diversity": 1 - mean(cosines),
        "novelty": mean([-math.log2(max(counts[item], 1) / sum(counts)) for item in items]),
        "popularity": mean([counts[item] for item in items]),
    }


@st.composite
def shown(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    items, queries, length = draw(st.integers(1, 12)), draw(st.integers(1, 5)), draw(st.integers(1, 8))
    labels = np.zeros((items + 1, draw(st.integers(1, 4))), np.int64)
    for row in labels[1:]:
        n = rng.integers(0, len(row) + 1)
        row[rng.permutation(len(row))[:n]] = rng.permutation(np.arange(2, 9))[:n]
    vectors = rng.integers(-1, 2, (items + 1, 3)).astype(np.float32)
    counts = rng.integers(0, 9, items + 1)
    counts[0] += 1
    lists = np.stack(
        [
            rng.permutation(np.r_[np.arange(1, items + 1), np.zeros(length, int)])[:length]
            for _ in range(queries)
        ]
    )
    return lists, labels, vectors, counts


@given(shown(), st.sampled_from([1, 30, 2**21]))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_equals_the_slow_version(case, chunk):
    lists, *tables = map(torch.from_numpy, case)
    tables = dict(zip(PER_LIST, [tables[0]] * 3 + [tables[1]] + [tables[2]] * 2))
    whole, module._CHUNK = module._CHUNK, chunk
    try:
        found = {name: metric(lists, tables[name]) for name, metric in PER_LIST.items()}
    finally:
        module._CHUNK = whole
    for q, row in enumerate(case[0].tolist()):
        ours = {name: values[q] for name, values in found.items()}
        assert ours == pytest.approx(slow(row, *case[1:]), abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    ("labels", "bits"), [([2, 2, 2, 2], 0), ([2, 2, 3, 3], 1), ([2, 2, 2, 3], 0.8112781), (range(2, 10), 3)]
)
def test_entropy_in_closed_form(labels, bits):
    labels = torch.tensor([0, *labels])
    lists = torch.arange(1, len(labels)).unsqueeze(0)
    assert category_entropy(lists, labels.unsqueeze(1)) == pytest.approx(bits, abs=1e-7)


def test_an_item_of_two_categories_counts_half_for_each():
    labels = torch.tensor([[0, 0], [2, 3], [2, 0]])
    assert category_entropy(torch.tensor([[1, 2]]), labels) == pytest.approx(0.8112781)  # 3/4 and 1/4


def test_coverage_is_of_what_there_was_room_for():
    labels = torch.arange(2, 12).unsqueeze(1)
    labels[0] = 0
    lists = torch.tensor([[1, 2, 0], [1, 2, 3]])
    assert category_coverage(lists, labels).tolist() == [
        1,
        1,
    ]  # ten categories do not fit into a list of three
    two = torch.tensor([[0], [2], [2], [3]])
    assert category_coverage(torch.tensor([[1, 2, 0], [1, 2, 3]]), two).tolist() == [0.5, 1]


def test_diversity_in_closed_form():
    axes = torch.cat([torch.zeros(1, 5), 3 * torch.eye(5), -torch.eye(5)])
    assert intra_list_diversity(torch.tensor([[1, 2, 3, 4, 5]]), axes) == pytest.approx(1)
    assert intra_list_diversity(torch.tensor([[1, 6]]), axes) == pytest.approx(2)
    same = torch.ones(4, 7)
    assert intra_list_diversity(torch.tensor([[1, 2, 3]]), same) == pytest.approx(0, abs=1e-12)
    assert np.isnan(intra_list_diversity(torch.tensor([[1, 0, 0]]), axes)).all()


def test_novelty_of_equally_popular_items_is_log2_of_their_number():
    counts = torch.tensor([0] + [7] * 32)
    assert novelty(torch.arange(1, 9).reshape(2, 4), counts).tolist() == [5, 5]


@given(st.integers(1, 40), st.integers(1, 9))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_catalogue_in_closed_form(items, times):
    allowed = torch.arange(items + 1) > 0
    uniform = torch.arange(1, items + 1).repeat(times).unsqueeze(1)
    assert exposure_gini(uniform, allowed) == pytest.approx(0, abs=1e-12)
    assert item_coverage(uniform, allowed) == 1
    one = torch.ones(times, 1, dtype=torch.long)
    assert exposure_gini(one, allowed) == pytest.approx((items - 1) / items)
    assert item_coverage(one, allowed) == pytest.approx(1 / items)


def test_gini_is_half_the_relative_mean_difference():  # the slow, obvious version
    lists = torch.from_numpy(np.random.default_rng(0).zipf(1.5, (50, 6)) % 21)
    allowed = torch.arange(21) % 4 != 3
    shown = [int((lists == item).sum()) for item in range(1, 21) if allowed[item]]
    apart = sum(abs(a - b) for a in shown for b in shown)
    assert exposure_gini(lists, allowed) == pytest.approx(apart / (2 * len(shown) * sum(shown)))
    assert item_coverage(lists, allowed) == sum(count > 0 for count in shown) / len(shown)


def test_nothing_shown():
    nothing, allowed = torch.zeros(2, 3, dtype=torch.long), torch.tensor([True, True, True])
    assert item_coverage(nothing, allowed) == 0
    assert math.isnan(exposure_gini(nothing, allowed))
    tables = [torch.ones(3, 1, dtype=torch.long)] * 3 + [torch.ones(3, 1)] + [torch.ones(3)] * 2
    for metric, table in zip(PER_LIST.values(), tables):
        assert np.isnan(metric(nothing, table)).all(), metric
        assert metric(nothing[:0], table).shape == (0,)


@pytest.mark.parametrize("metric", [*PER_LIST.values(), item_coverage, exposure_gini])
def test_arguments_are_refused_by_name(metric):
    one, two = torch.ones(5), torch.ones(5, 2, dtype=torch.long)
    right, wrong = (two, one) if metric in list(PER_LIST.values())[:4] else (one, two)
    lists = torch.tensor([[1, 4]])
    for name, args in {
        "lists": (lists[0], right),
        "lists=.*float": (lists.double(), right),
        r"\w+": (lists, wrong),
        r"\w+=.*a row for item 5": (lists + 1, right),
        r"\w+=.*a row": (lists - 2, right),
    }.items():
        with pytest.raises(ArgumentError, match=f"^{name}"):
            metric(*args)


# -- serendipity --------------------------------------------------------------------------------------------


def slow_serendipity(row, targets, counts, allowed):
    """By listing all items by popularity, everything from its definition."""
    if not len(targets):
        return math.nan
    able = [item for item in range(1, len(counts)) if allowed[item]]
    total = 0.0
    for place, item in enumerate(row, 1):
        if item in targets and item in able:
            more = sum(counts[other] > counts[item] for other in able)
            same = sum(counts[other] == counts[item] for other in able)
            rank = more + sum(range(1, same + 1)) / same
            expected = (len(able) + 1 - rank) / len(able) if counts[item] else 0
            total += max((len(able) + 1 - place) / len(able) - expected, 0)
    return total / len(row)


@given(shown(), st.integers(0, 2**31))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_serendipity_equals_the_slow_version(case, seed):
    lists, _, _, counts = case
    rng = np.random.default_rng(seed)
    allowed = rng.random(len(counts)) < 0.8
    wanted = [rng.permutation(len(counts) - 1)[: rng.integers(0, 4)] + 1 for _ in lists]
    found = serendipity(
        torch.from_numpy(lists), ragged(wanted), torch.from_numpy(counts), torch.from_numpy(allowed)
    )
    for value, row, targets in zip(found, lists.tolist(), wanted):
        assert value == pytest.approx(slow_serendipity(row, targets, counts, allowed), nan_ok=True)


def test_serendipity_is_that_of_rectools_where_no_counts_tie():
    """The example in the documentation of `rectools.metrics.Serendipity`; u3 has a list of one."""
    lists, wanted = torch.tensor([[1, 2], [2, 3], [3, 0], [2, 3]]), ragged([[1, 2], [2, 3], [2], [2]])
    counts, every = torch.tensor([0, 3, 2, 0, 0]), torch.arange(5) > 0
    assert serendipity(lists[:, :1], wanted, counts, every).tolist() == [0, 0.25, 0, 0.25]
    assert serendipity(lists, wanted, counts, every).tolist() == [0, 0.5, 0, 0.125]


def test_what_is_popular_is_no_surprise_and_what_is_not_asked_for_neither():
    counts, every = torch.arange(11).flip(0) * (torch.arange(11) > 0), torch.arange(11) > 0  # 1 is first
    popular = torch.arange(1, 6).unsqueeze(0)
    assert serendipity(popular, ragged([range(1, 11)]), counts, every) == 0
    last = torch.tensor([[9, 8, 7, 6, 5]])
    assert serendipity(last, ragged([[1, 2]]), counts, every) == 0
    assert serendipity(last, ragged([[9]]), counts, every) == pytest.approx(0.8 / 5)  # (10 - 2) / 10 places


# -- personalisation ----------------------------------------------------------------------------------------


def slow_personalisation(lists, users):
    """All pairs of lists of different users."""
    sets = [({item for item in row if item}, user) for row, user in zip(lists, users)]
    cosines = [
        len(a & b) / math.sqrt(len(a) * len(b))
        for (a, u), (b, v) in itertools.combinations(sets, 2)
        if u != v and a and b
    ]
    return 1 - float(np.mean(cosines)) if cosines else math.nan


@given(shown(), st.integers(0, 2**31))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_personalisation_equals_all_pairs(case, seed):
    lists = np.concatenate([case[0], case[0][::-1] * (np.arange(case[0].shape[1]) % 2)])
    users = np.random.default_rng(seed).integers(0, 5, len(lists)) * 1_000
    found = personalisation(torch.from_numpy(lists), users)
    assert found == pytest.approx(
        slow_personalisation(lists.tolist(), users.tolist()), abs=1e-12, nan_ok=True
    )


def test_personalisation_in_closed_form():
    same, apart = torch.tensor([[1, 2, 3]]).repeat(4, 1), torch.arange(1, 13).reshape(4, 3)
    assert personalisation(same) == pytest.approx(0, abs=1e-12)
    assert personalisation(apart) == pytest.approx(1)
    assert personalisation(torch.cat([same, apart[1:]]), np.array([0, 0, 0, 0, 1, 2, 3])) == pytest.approx(1)
    assert math.isnan(personalisation(same, np.zeros(4, dtype=np.int64)))
    assert math.isnan(personalisation(torch.zeros(3, 2, dtype=torch.long)))


def test_their_arguments_are_refused_by_name():
    lists, counts = torch.tensor([[1, 4]]), torch.ones(5)
    for name, call in {
        "counts": lambda: serendipity(lists, ragged([[1]]), counts[:3], counts),
        "recommendable": lambda: serendipity(lists, ragged([[1]]), counts, counts[:3]),
        "targets": lambda: serendipity(lists, ragged([[1], [2]]), counts, counts),
        "lists": lambda: personalisation(lists.double()),
        "users": lambda: personalisation(lists, np.arange(2)),
    }.items():
        with pytest.raises(ArgumentError, match=f"^{name}="):
            call()
