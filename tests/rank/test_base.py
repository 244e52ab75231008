import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from penchant.data import split_leave_last
from penchant.errors import ArgumentError
from penchant.rank import NoHistory
from penchant.rank.base import pairwise
from rank.richly import requests_of, rich_log

LOG = rich_log()
SPLIT = split_leave_last(LOG)
ITEM = {"categories": ["genres"], "numbers": ["year"]}
ALL = {**ITEM, "user_id": True, "people": ["job", "age"], "context": ["hour", "device"]}


def made(**settings):
    model = NoHistory(LOG.features, width=4, **settings)
    model.prepare(SPLIT)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(8)  # away from zero, where every product vanishes
    return model.double().eval()


@given(fields=st.integers(0, 6), seed=st.integers(0, 99))
def test_the_sum_of_all_pairs_is_a_double_loop(fields, seed):
    x = torch.randn(2, fields, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    slow = torch.zeros(2, dtype=torch.float64)
    for i in range(fields):
        for j in range(i):
            slow += (x[:, i] * x[:, j]).sum(-1)
    torch.testing.assert_close(pairwise(x), slow)


def fields_of(model, requests, item, *, slopes=False):
    """Every field of one request and one item, one after another."""
    items, user = (model.item_slopes, model.user_slopes) if slopes else (model.items, model.user)
    return torch.cat([user(requests)[0], items(torch.tensor([item]))[0]])


@pytest.mark.parametrize("settings", [{}, {"user_id": True}, ALL], ids=["item", "user", "all"])
def test_the_logit_is_the_sum_of_its_three_parts(settings):
    model, requests = made(**settings), requests_of(LOG, [3])
    found = model.score(model.encode_user(requests), torch.tensor([[2, 5, 8]]))[0]
    for place, item in enumerate((2, 5, 8)):
        fields = fields_of(model, requests, item)
        linear = fields_of(model, requests, item, slopes=True).sum()
        crosses = sum((fields[i] * fields[j]).sum() for i in range(len(fields)) for j in range(i))
        deep = model.tower(fields.flatten()[None, None])[0, 0]
        torch.testing.assert_close(found[place], model.bias + linear + crosses + deep)


def test_a_part_that_is_left_out_does_not_count_and_has_no_weights():
    requests, items = requests_of(LOG, [3, 5]), torch.tensor([[2, 5], [8, 3]])

    def logits(**settings):
        model = made(**ALL, **settings)
        return model.score(model.encode_user(requests), items), model

    linear, model = logits(crosses=False, head=())
    assert model.tower is None
    one = fields_of(model, requests.rows(torch.tensor([1])), 8, slopes=True).sum()
    torch.testing.assert_close(linear[1, 0], model.bias + one)
    crosses, model = logits(linear=False, head=())
    assert model.item_slopes is None
    fields = fields_of(model, requests.rows(torch.tensor([1])), 8)
    torch.testing.assert_close(crosses[1, 0], model.bias + pairwise(fields))
    deep, model = logits(linear=False, crosses=False)
    fields = fields_of(model, requests.rows(torch.tensor([1])), 8)
    torch.testing.assert_close(deep[1, 0], model.bias + model.tower(fields.flatten()[None, None])[0, 0])


def test_reads_no_history():
    model, items = made(**ALL), torch.tensor([[2, 5, 8]])
    one, other = requests_of(LOG, [3]), requests_of(LOG, [0])
    other = type(one)(one.users, other.histories, one.at, one.context)
    assert torch.equal(
        model.score(model.encode_user(one), items), model.score(model.encode_user(other), items)
    )


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"width": 0}, "width"),
        ({"head": (8, 0)}, "head"),
        ({"dropout": 1.0}, "dropout"),
        ({"activation": "dise"}, "did you mean 'dice'"),
        ({"linear": False, "crosses": False, "head": ()}, "at least one of linear, crosses and head"),
    ],
)
def test_an_argument_that_cannot_be_is_refused(settings, name):
    with pytest.raises(ArgumentError, match=name):
        NoHistory(LOG.features, **settings)
