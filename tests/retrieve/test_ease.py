import numpy as np
import pytest
import torch

from asked import asked
from logs import log_of, random_log
from penchant.data import Features, split_leave_last
from penchant.errors import ArgumentError
from penchant.retrieve import EASE


def solved(log, **settings):
    model = EASE(log.features, **settings)
    model.solve(split_leave_last(log))
    return model


def chosen(split):
    """Who chose what in training: a dense 0/1 matrix, one loop step an event."""
    x = np.zeros((len(split.log.users), len(split.log.catalogue)))
    for row in split.train.targets.tolist():
        x[int(split.log.user[row]), int(split.log.item[row])] = 1
    return x


@pytest.mark.parametrize("labels", [False, True])
def test_the_weights_are_stecks_closed_form(labels):
    log = random_log(users=30, items=12, labels=labels)
    model = solved(log, l2=7.0)
    x = chosen(split_leave_last(log))
    p = np.linalg.inv(x.T @ x + 7.0 * np.eye(x.shape[1]))
    b = np.eye(x.shape[1]) - p / np.diag(p)[None, :]
    np.testing.assert_allclose(model.weight.numpy(), b, atol=1e-6)
    assert not model.weight.diagonal().any()


def test_the_weights_minimise_the_penalised_error_under_a_zero_diagonal():
    log = random_log(users=30, items=8)
    x = torch.from_numpy(chosen(split_leave_last(log)))
    b = solved(log, l2=3.0).weight.double().requires_grad_()
    error = ((x - x @ b) ** 2).sum() + 3.0 * (b**2).sum()
    (slope,) = torch.autograd.grad(error, b)
    slope.fill_diagonal_(0.0)  # the diagonal is not free
    assert slope.abs().max() < 1e-4


def test_a_score_is_the_sum_of_weights_from_each_known_item_once():
    log = random_log(users=20, items=9)
    model = solved(log)
    found = model.retrieve(asked([[2, 3, 2, 1, 3], [4]]), 9)
    for history, row, scores in zip([[2, 3], [4]], found.item.tolist(), found.score.tolist()):
        true = model.weight[history].sum(0)
        assert row[:9] == sorted(range(2, 11), key=lambda item: -true[item])
        assert scores == pytest.approx([float(true[item]) for item in row])


def test_labels_of_a_history_are_obeyed():
    model = solved(random_log(users=20, items=9))
    labelled = model.retrieve(asked([[2, 3, 2]], label=[[0, 1, 0]]), 3)
    assert labelled.item.tolist() == model.retrieve(asked([[3]]), 3).item.tolist()
    once = model.retrieve(asked([[2, 3, 2]], label=[[0, 1, 1]]), 3)
    torch.testing.assert_close(once.score, model.retrieve(asked([[3, 2]]), 3).score)


def test_who_has_nothing_known_gets_no_answer():
    model = solved(log_of([[2, 3, 4, 2, 2], [3, 4, 2, 2]], items=9))
    found = model.retrieve(asked([[], [1, 8], [2]]), 2)
    assert found.item[:2].tolist() == [[0, 0], [0, 0]]
    assert found.item[2].tolist() != [0, 0]


def test_repeats_count_once():
    once, often = log_of([[2, 3, 4, 5, 5], [3, 4, 5, 5]]), log_of([[2, 2, 2, 3, 3, 4, 5, 5], [3, 4, 4, 5, 5]])
    torch.testing.assert_close(solved(once).weight, solved(often).weight)


def test_contributions_sum_to_the_score():
    model = solved(random_log(users=20, items=9))
    requests = asked([[2, 3, 2, 5], []])
    target = torch.tensor([7, 7])
    told, nothing = model.explain(requests, target)
    assert told.item.tolist() == [2, 3, 2, 5]
    assert told.value[2] == 0  # said once already
    found = model.retrieve(requests, 9)
    assert told.value.sum().item() == pytest.approx(float(found.score[0][found.item[0] == 7]))
    assert len(nothing.item) == 0


def test_similar_follows_the_item_alone():
    model = solved(random_log(users=40, items=9, taste=0.7, mean=4), l2=5.0)
    found = model.similar(torch.tensor([3, 1]), 3)
    best = model.weight[3].clone()
    best[:2], best[3] = -torch.inf, -torch.inf
    assert found.item[0].tolist() == best.topk(3).indices.tolist()
    assert found.item[1].tolist() == [0, 0, 0]


def test_blocks_of_users_change_nothing(monkeypatch):
    log = random_log(users=30, items=9)
    whole = solved(log).weight
    monkeypatch.setattr("penchant.retrieve.ease._USERS", 7)
    torch.testing.assert_close(solved(log).weight, whole, rtol=0, atol=0)


def test_a_large_catalogue_and_a_penalty_of_nothing_are_refused():
    with pytest.raises(ArgumentError, match="at most 30,000 items"):
        EASE(Features(items=30_001))
    with pytest.raises(ArgumentError, match="above 0"):
        EASE(Features(items=9), l2=0.0)


def test_with_few_users_the_smaller_system_gives_the_same_model(monkeypatch):
    log = random_log(users=20, items=60, taste=0.6)
    factored = solved(log, l2=5.0)
    assert factored.weight.shape == (62, 22)  # items by users, not items by items
    monkeypatch.setattr("penchant.retrieve.ease._FACTORED", 1e9)
    whole = solved(log, l2=5.0)
    assert whole.weight.shape == (62, 62)
    requests = asked([list(range(2 + n, 9 + n)) for n in range(8)])
    for one, other in zip(
        (factored.retrieve(requests, 7), factored.similar(torch.arange(2, 12), 7)),
        (whole.retrieve(requests, 7), whole.similar(torch.arange(2, 12), 7)),
        strict=True,
    ):
        torch.testing.assert_close(one.score, other.score)
    items = torch.arange(2, 10)
    for one, other in zip(factored.explain(requests, items), whole.explain(requests, items), strict=True):
        torch.testing.assert_close(one.value, other.value)
