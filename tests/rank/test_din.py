import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator

from asked import asked
from exam.batches import gradients
from logs import random_log
from penchant.data import split_leave_last
from penchant.errors import ArgumentError
from penchant.nn import mlp
from penchant.rank import DIN, activation_unit
from penchant.rank.activation_unit import ActivationUnit
from penchant.rank.din import softmax_by
from penchant.train import RowwiseAdamW, build, describe, load_weights, save_weights
from rank.richly import requests_of, rich_log

LOG = random_log()
RICH = rich_log()
ITEM = {"categories": ["genres"], "numbers": ["year"], "columns": ["label", "event"]}
ALL = {**ITEM, "user_id": True, "people": ["age"], "context": ["hour"]}
ROWS = st.lists(st.lists(st.integers(1, 31), max_size=9), min_size=1, max_size=5)


def made(log=LOG, *, dtype=torch.float64, **settings):
    """A model in evaluation with weights of order 1."""
    model = DIN(log.features, **{"width": 4, "attention": (6, 5), "head": (7, 3), **settings})
    model.prepare(split_leave_last(log))
    g = Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" not in name:
                p.copy_(0.5 * torch.randn(p.shape, generator=g))
        model.items.table.weight[0] = 0
    return model.to(dtype).eval()


def slow_score(model, requests, item):
    """One user and one item, event by event, by the concatenation [v, h, v - h, v * h]."""
    v = model.items(torch.tensor([item])).flatten()
    history = requests.histories.tail(model.history)
    events = [model.items(history.item[i : i + 1]).flatten() for i in range(len(history.item))]
    if model.events is not None:
        events = [h + extra for h, extra in zip(events, model.events(history), strict=True)]
    weights = []
    for h in events:
        parts = [v, h, v - h, v * h] if model.difference else [v, h, v * h]
        weights.append(model.unit.tail(model.unit.first(torch.cat(parts))[None]).squeeze())
    if model.normalise == "softmax" and weights:
        weights = torch.softmax(torch.stack(weights) / math.sqrt(len(v)), 0)
    elif model.normalise == "sigmoid":
        weights = [w.sigmoid() for w in weights]
    pooled = sum((w * h for w, h in zip(weights, events, strict=True)), torch.zeros_like(v))
    total = sum(events, torch.zeros_like(v))
    tail = {"paper": [], "product": [pooled * v], "reference": [total, v * total]}[model.head_inputs]
    inputs = torch.cat([model.user(requests).flatten(), pooled, v, *tail])
    return model.tower(inputs[None, None]).squeeze()


@pytest.mark.parametrize("head_inputs", ["paper", "product", "reference"])
@pytest.mark.parametrize("normalise", ["none", "softmax", "sigmoid"])
@pytest.mark.parametrize("difference", [True, False])
def test_dien_6_din_users_cached_and_layers_split_equal_one_pair_at_a_time(
    head_inputs, normalise, difference
):
    model = made(RICH, **ALL, head_inputs=head_inputs, normalise=normalise, difference=difference, history=3)
    requests, items = requests_of(RICH, [5, 0, 2]), torch.tensor([[2, 5, 8], [3, 3, 4], [8, 1, 2]])
    found = model.score(model.encode_user(requests), items)
    for i in range(3):
        one = requests.rows(torch.tensor([i]))
        for c in range(3):
            torch.testing.assert_close(found[i, c], slow_score(model, one, int(items[i, c])))


@pytest.mark.parametrize("difference", [True, False])
def test_dien_6_din_the_split_layer_is_the_concatenated_one_in_single_precision(difference):
    g = Generator().manual_seed(0)
    unit = ActivationUnit(16, (80, 40), activation="sigmoid", difference=difference, generator=g)
    h, v = torch.randn(30, 16, generator=g), torch.randn(30, 16, generator=g)
    parts = [v, h, v - h, v * h] if difference else [v, h, v * h]
    whole = unit.tail(unit.first(torch.cat(parts, 1)))
    split = unit(h, unit.shares(h), torch.arange(30), v.unsqueeze(1))
    torch.testing.assert_close(split, whole, rtol=0, atol=1e-6)


@given(rows=ROWS, choices=st.integers(1, 3), block=st.integers(1, 12), seed=st.integers(0, 5))
def test_the_blockwise_layer_has_the_gradients_of_the_plain_one(rows, choices, block, seed):
    g = Generator().manual_seed(seed)
    unit = ActivationUnit(3, (4,), activation="prelu", difference=True, generator=g).double()
    owner = torch.repeat_interleave(torch.tensor([len(row) for row in rows]))
    h = torch.randn(len(owner), 3, generator=g, dtype=torch.float64, requires_grad=True)
    v = torch.randn(len(rows), choices, 3, generator=g, dtype=torch.float64, requires_grad=True)
    inputs = [h, v, *unit.parameters()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(activation_unit, "_CELLS", block)
        fast = unit(h, unit.shares(h), owner, v)
        along = torch.randn(fast.shape, generator=g, dtype=torch.float64)
        found = torch.autograd.grad(fast, inputs, along)
    pairs_h, pairs_v = h.unsqueeze(1).expand(-1, choices, -1), v[owner]
    slow = unit.tail(
        unit.first(torch.cat([pairs_v, pairs_h, pairs_v - pairs_h, pairs_v * pairs_h], -1)).flatten(0, 1)
    )
    torch.testing.assert_close(fast, slow.view_as(fast))
    torch.testing.assert_close(found, torch.autograd.grad(slow.view_as(fast), inputs, along))


@given(rows=ROWS, seed=st.integers(0, 5))
def test_softmax_by_owner_is_softmax_row_by_row(rows, seed):
    owner = torch.repeat_interleave(torch.tensor([len(row) for row in rows]))
    x = 50 * torch.randn(len(owner), 2, generator=Generator().manual_seed(seed), dtype=torch.float64)
    x.requires_grad_()
    slow = torch.cat([x[:0], *(x[owner == b].softmax(0) for b in range(len(rows)))])
    fast = softmax_by(x, owner, len(rows))
    torch.testing.assert_close(fast, slow)
    along = torch.randn(fast.shape, generator=Generator().manual_seed(9), dtype=torch.float64)
    torch.testing.assert_close(torch.autograd.grad(fast, x, along), torch.autograd.grad(slow, x, along))


@pytest.mark.parametrize("normalise", ["none", "softmax", "sigmoid"])
@given(rows=ROWS, length=st.integers(1, 9), order=st.randoms())
def test_dien_5_din_padding_order_and_batch_mates_change_nothing(normalise, rows, length, order):
    """What is beyond the window is not read, in training and evaluation; rows may come in any order."""
    model = made(normalise=normalise, history=length)
    items = torch.randint(2, 32, (len(rows), 2), generator=Generator().manual_seed(0))

    def run(histories, some):
        scores = model.score(model.encode_user(asked(histories)), some)
        return scores.detach(), gradients(model, scores.square().sum())

    scores, slopes = run(rows, items)
    cut, cut_slopes = run([row[-length:] for row in rows], items)
    assert torch.equal(cut, scores)
    torch.testing.assert_close(cut_slopes, slopes)
    places = list(range(len(rows)))
    order.shuffle(places)
    other, other_slopes = run([rows[i] for i in places], items[places])
    torch.testing.assert_close(other, scores[places])
    torch.testing.assert_close(other_slopes, slopes)
    with_a_mate, _ = run([*rows, [7] * 30], torch.cat([items, items[:1]]))
    torch.testing.assert_close(with_a_mate[:-1], scores)


def test_dien_5_din_one_row_no_events_and_a_full_history_work_in_training():
    model = made(history=5).train()
    for row in ([], [3], [3, 4, 5, 6, 7], [9] * 12):
        scores = model.score(model.encode_user(asked([row])), torch.tensor([[5]]))
        assert scores.isfinite().all()
        assert all(g.isfinite().all() for g in gradients(model, scores.sum()).values())


def test_no_events_pool_to_zero():
    model = made(head_inputs="paper")
    state = model.encode_user(asked([[]]))
    v = model.items(torch.tensor([[5]])).flatten(-2)
    expected = model.tower(torch.cat([torch.zeros_like(v), v], -1))
    torch.testing.assert_close(model.score(state, torch.tensor([[5]])), expected)


@given(st.permutations(range(6)))
def test_the_order_of_events_means_nothing_to_it(order):
    row, model = [3, 9, 4, 4, 30, 1], made()
    items = torch.tensor([[5, 6]])
    shuffled = model.score(model.encode_user(asked([[row[i] for i in order]])), items)
    torch.testing.assert_close(shuffled, model.score(model.encode_user(asked([row])), items))


def test_dien_9_din_learns_256_examples_by_heart():
    split = split_leave_last(random_log(60, 30))
    model = DIN(split.log.features, width=16, user_id=True, seed=2)
    model.prepare(split)
    batch = next(iter(model.source(split, batch_size=52, seed=0)))  # 52 x (1 + 4) pairs
    adam = RowwiseAdamW(model.parameters(), lr=1e-2)
    for _ in range(250):
        adam.zero_grad()
        loss = model.loss(batch).mean
        loss.backward()
        adam.step()
        if loss < 0.01:
            break
    assert model.loss(batch).mean < 0.02


def test_dien_9_din_one_seed_gives_one_set_of_numbers_and_a_saved_model_scores_as_before(tmp_path):
    split = split_leave_last(LOG)

    def trained():
        model = DIN(LOG.features, width=8, seed=3)
        model.prepare(split)
        adam = RowwiseAdamW(model.parameters(), lr=1e-2)
        source = model.source(split, batch_size=64, seed=5)
        source.set_epoch(0)
        for batch in source:
            adam.zero_grad()
            model.loss(batch).mean.backward()
            adam.step()
        return model.eval()

    one, other = trained(), trained()
    items = torch.tensor([[4, 5, 6], [7, 8, 9]])
    before = one.score(one.encode_user(asked([[2, 3], []])), items)
    assert torch.equal(other.score(other.encode_user(asked([[2, 3], []])), items), before)
    save_weights(one, tmp_path / "weights.safetensors")
    again = build(describe(one), LOG.features)
    load_weights(again, tmp_path / "weights.safetensors")
    again.eval()
    assert torch.equal(again.score(again.encode_user(asked([[2, 3], []])), items), before)


@pytest.mark.parametrize("head_inputs", ["paper", "product"])
def test_contributions_sum_to_what_the_history_adds_under_a_linear_head(head_inputs):
    model = made(head=(), head_inputs=head_inputs, batch_norm=False)
    rows, items = [[3, 4, 9, 9], [], [31]], torch.tensor([5, 6, 7])
    full = model.score(model.encode_user(asked(rows)), items.unsqueeze(1))
    none = model.score(model.encode_user(asked([[], [], []])), items.unsqueeze(1))
    found = torch.stack([part.value.sum() for part in model.explain(asked(rows), items)])
    torch.testing.assert_close(found, (full - none).squeeze(1))


def test_contributions_are_slopes_under_a_deep_head():
    model, items = made(), torch.tensor([[5]])
    requests = asked([[3, 4, 9]])
    state = model.encode_user(requests)
    weights = model._weights(state, model.items(items).flatten(-2), None).detach()

    def logit(scale):
        pooled = ((weights * scale.unsqueeze(1)).unsqueeze(-1) * state.events.unsqueeze(1)).sum(0)[None]
        return model._logits(state, model.items(items).flatten(-2), pooled, None).sum()

    scale = torch.ones(3, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(logit(scale), scale)
    torch.testing.assert_close(model.explain(requests, items[0])[0].value, slope)


def test_the_user_side_is_shared_by_all_candidates():
    """Histories are embedded once, however many candidates there are."""
    model, seen = made(), []
    model.items.register_forward_hook(lambda _, given, __: seen.append(tuple(given[0].shape)))
    state = model.encode_user(asked([[3, 4, 5], [6]]))
    model.score(state, torch.full((2, 7), 9))
    assert seen == [(4,), (2, 7)]


def test_statistics_of_the_batch_couple_rows_in_training_only_where_declared():
    assert DIN(LOG.features).couples_rows
    assert DIN(LOG.features, activation="prelu").couples_rows
    assert DIN(LOG.features, batch_norm=False).couples_rows
    assert not DIN(LOG.features, activation="prelu", batch_norm=False).couples_rows


def test_a_training_step_on_a_large_batch_keeps_little_more_than_the_first_layer(monkeypatch):
    """The blocks are what keeps memory down: nothing as wide as a hidden layer is saved but its input."""
    monkeypatch.setattr(mlp, "_ROWS", 64)
    model = made(attention=(80, 40), dtype=torch.float32).train()
    rows = [[3 + i % 20 for i in range(40)]] * 16  # 640 events, 5 candidates: 3,200 cells
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        model.score(model.encode_user(asked(rows)), torch.full((16, 5), 9))
    sizes = {t.data_ptr(): t.numel() for t in kept}
    assert sum(sizes.values()) < 3_200 * (80 + 40) * 1.25


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0}, "width=0"),
        ({"history": 0}, "history=0"),
        ({"attention": ()}, "at least one hidden layer"),
        ({"attention": (8, 0)}, "layers of at least 1 unit"),
        ({"head": (0,)}, "layers of at least 1 unit"),
        ({"normalise": "soft"}, "softmax"),
        ({"head_inputs": "code"}, "one of paper, product, reference"),
        ({"activation": "dise"}, "did you mean 'dice'"),
        ({"dropout": -0.1}, "dropout=-0.1"),
        ({"categories": ("genre",)}, "did you mean 'genres'"),
        ({"columns": ("label",)}, "known: none"),
    ],
)
def test_an_argument_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        DIN(LOG.features, **settings)
