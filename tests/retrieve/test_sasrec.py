import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from asked import asked, histories_of
from logs import log_of, random_log
from penchant.data import Features, Histories, split_leave_last
from penchant.errors import ArgumentError
from penchant.nn.softmax import softmax_loss
from penchant.retrieve import SASRec

FEATURES = Features(items=12, events=4)
ROWS = st.lists(st.lists(st.integers(1, 11), max_size=12), max_size=5)
SETTINGS = [
    {"norm": "sasrec"},
    {"norm": "pre", "heads": 2, "ffn_mult": 2},
    {"norm": "post", "depth": 1, "final_norm": "none"},
    {"final_norm": "l2", "temperature": 0.05, "use_event": True},
]


def made(features=FEATURES, *, dtype=torch.float64, **settings):
    """A model whose weights are of order 1: at the initial ones nearly nothing depends on anything."""
    model = SASRec(features, **{"width": 8, "history": 12, **settings})
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" not in name and "closing" not in name:
                p.copy_(0.5 * torch.randn(p.shape, generator=g))
        for table in (model.item, *model.labels):
            table.weight[0] = 0
    return model.to(dtype).eval()


def batch_of(model, log, size=64):
    split = split_leave_last(log)
    model.prepare(split)
    return next(iter(model.source(split, batch_size=size, seed=0)))


def slow_states(model, items, events):
    """Equations of the default block ("sasrec"), one user, one position and one head at a time."""
    width, size = model.width, model.width // model.heads
    x = model.item(torch.tensor(items)) * width**0.5 + model.position[: len(items)]
    if model.use_event:
        x = x + model.kind[torch.tensor(events)]
    for block in model.blocks:
        new = []
        for i in range(len(items)):
            query = block.first_norm(x[i])
            q, kv, found = block.query(query), block.key_value(x[: i + 1]), []
            for h in range(0, width, size):
                share = torch.softmax(kv[:, h : h + size] @ q[h : h + size] / size**0.5, 0)
                found.append(share @ kv[:, width + h : width + h + size])
            y = block.second_norm(query + block.merge(torch.cat(found)))
            new.append(y + block.narrow(torch.relu(block.wide(y))))
        x = torch.stack(new)
    return model.closing(x)


@pytest.mark.parametrize("settings", [{}, {"heads": 2, "depth": 3}, {"use_event": True, "ffn_mult": 3}])
def test_states_are_those_of_the_equations(settings):
    model = made(**settings)
    fast = model.states(histories_of([[2, 5, 1, 2, 9]], event=True))
    torch.testing.assert_close(fast, slow_states(model, [2, 5, 1, 2, 9], [2, 3, 2, 3, 2]))


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("changed", [1, 4, 9])
def test_generative_backbones_3_sasrec_later_events_leave_earlier_states_bitwise_alone(settings, changed):
    model = made(**settings)
    items = [3, 4, 5, 6, 7, 8, 9, 10, 11, 2]
    before = model.states(histories_of([items], event=True))
    items[changed:] = [2 + (item + 3) % 9 for item in items[changed:]]
    after = model.states(histories_of([items], event=True))
    assert torch.equal(before[:changed], after[:changed])
    assert not torch.allclose(before[changed:], after[changed:])


@given(rows=ROWS, settings=st.sampled_from(SETTINGS))
def test_generative_backbones_4_sasrec_packed_is_one_user_at_a_time_in_states_and_gradients(rows, settings):
    model = made(**settings)
    rows = [row for row in rows if row]
    pull = torch.randn(
        sum(map(len, rows)), 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )

    def run(groups):
        model.zero_grad()
        states = torch.cat([pull[:0], *(model.states(histories_of(group, event=True)) for group in groups)])
        if len(states):
            (states * pull).sum().backward()
        return states, [p.grad.clone() for p in model.parameters() if p.grad is not None]

    torch.testing.assert_close(run([rows]), run([[row] for row in rows]), rtol=0, atol=1e-10)


@given(rows=ROWS, settings=st.sampled_from(SETTINGS))
def test_generative_backbones_4_sasrec_encode_is_the_newest_state_or_the_cold_vector(rows, settings):
    model = made(**settings)
    found = model.encode(asked(rows, event=True)).vectors
    assert found.shape == (len(rows), 1, 8)
    for vector, row in zip(found[:, 0], rows):
        true = model.states(histories_of([row], event=True))[-1] if row else model._close(model.cold)
        torch.testing.assert_close(vector, true)


def test_users_are_encoded_in_blocks(monkeypatch):
    model, requests = made(), asked([[2, 3], [], [4], [5, 6, 7], [8]])
    whole = model.encode(requests).vectors
    monkeypatch.setattr("penchant.retrieve.sasrec._BLOCK", 2)
    torch.testing.assert_close(model.encode(requests).vectors, whole)


def test_generative_backbones_4_sasrec_only_the_newest_events_of_a_long_history_are_read():
    model = made()
    long, short = asked([[2, 3, *range(2, 12), 4, 5]]), asked([[*range(2, 12), 4, 5]])
    torch.testing.assert_close(model.encode(long).vectors, model.encode(short).vectors, rtol=0, atol=0)
    with pytest.raises(ArgumentError, match="at most 12 events"):
        model.states(long.histories)


@pytest.mark.parametrize("objective", ["softmax", "sampled", "bce"])
def test_generative_backbones_4_sasrec_the_loss_does_not_care_who_shares_the_batch(objective):
    log = random_log(users=12, items=10)
    model = made(log.features, objective=objective)
    split = split_leave_last(log)
    model.prepare(split)
    examples = model.source(split, batch_size=4, seed=0).examples
    whole = examples.batch(torch.arange(8), torch.Generator().manual_seed(0))
    total = model.loss(whole)
    parts = []
    for row in range(8):
        part = examples.batch(torch.tensor([row]), torch.Generator())
        extra = dict(whole.extra)
        if objective == "bce":  # each position's own
            extra = {k: v[whole.offsets[row] : whole.offsets[row + 1]] for k, v in extra.items()}
        parts.append(model.loss(type(part)(**{**vars(part), "extra": extra})))
    torch.testing.assert_close(total.sum, sum(part.sum for part in parts))
    torch.testing.assert_close(total.weight, sum(part.weight for part in parts))


@pytest.mark.parametrize("norm", ["sasrec", "pre", "post"])
def test_generative_backbones_13_sasrec_without_weights_only_the_chain_of_norms_is_left(norm):
    model = made(norm=norm, depth=2)
    g = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for block in model.blocks:
            for layer in (block.query, block.key_value, block.merge, block.wide, block.narrow):
                layer.weight.zero_(), layer.bias.zero_()
            for layer in (block.first_norm, block.second_norm):
                layer.weight.copy_(torch.rand(8, generator=g)), layer.bias.copy_(torch.rand(8, generator=g))
    x = model.item(torch.tensor([4, 7])) * 8**0.5 + model.position[:2]
    for block in model.blocks:
        x = x if norm == "pre" else block.second_norm(block.first_norm(x))
    torch.testing.assert_close(model.states(histories_of([[4, 7]])), model.closing(x))


def test_a_layer_has_as_many_weights_as_its_formula_says():
    model = made(width=8, depth=1)
    count = sum(p.numel() for p in model.blocks.parameters())
    assert count == 4 * 8 * 8 + 4 * 8 + 2 * 8 * 8 + 2 * 8 + 4 * 8  # attention, feed-forward, two norms


@pytest.mark.parametrize("labels", [False, True])
def test_the_softmax_loss_is_cross_entropy_over_known_items_of_states_and_cold_vector(labels):
    log = random_log(users=6, items=10, labels=labels)
    model = made(log.features, history=5)
    batch = batch_of(model, log)
    histories, states, logits, targets = batch.histories, [], [], []
    whole = model.states(histories)
    for b in range(len(histories)):
        begin, end = histories.offsets[b : b + 2].tolist()
        states += [model._close(model.cold), *whole[begin:end]]
        first = int(histories.item[begin])
        targets += [
            first if not labels or histories.columns["label"][begin] > 0.5 else 0,
            *batch.target[begin:end].tolist(),
        ]
    targets, states = torch.tensor(targets), torch.stack(states)
    logits = (states @ model.item.weight.T).masked_fill(~model.item.known, -torch.inf)
    loss = model.loss(batch)
    torch.testing.assert_close(loss.sum, F.cross_entropy(logits, targets, ignore_index=0, reduction="sum"))
    assert loss.weight == (targets > 0).sum()


def test_generative_backbones_8_sampled_loss_with_many_negatives_nears_the_exact_one():
    log = random_log(users=30, items=10)
    exact, few = made(log.features), made(log.features, objective="sampled", negatives=20_000, alpha=0.5)
    few.load_state_dict(exact.state_dict())
    true, near = exact.loss(batch_of(exact, log)).mean, few.loss(batch_of(few, log)).mean
    torch.testing.assert_close(near, true, rtol=0.01, atol=0)


def test_generative_backbones_10_softmax_chunks_of_the_loss_change_nothing(monkeypatch):
    log = random_log(users=12, items=10)
    model = made(log.features)
    batch = batch_of(model, log)

    def gradients():
        model.zero_grad()
        model.loss(batch).sum.backward()
        return [p.grad.clone() for p in model.parameters()]

    whole = gradients()
    monkeypatch.setattr("penchant.nn.softmax._rows", lambda *_: 5)
    assert softmax_loss  # the chunked one is what the model calls
    torch.testing.assert_close(gradients(), whole)


@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize("objective", ["softmax", "sampled", "bce"])
def test_every_weight_is_trained_and_padding_is_not(objective, large, monkeypatch):
    if large:
        monkeypatch.setattr("penchant.retrieve.sasrec._DENSE_CELLS", 0)
    log = random_log(users=20, items=10)
    model = SASRec(log.features, width=8, history=12, objective=objective, categories=["genres"]).train()
    batch = batch_of(model, log)
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        model.loss(batch).sum.backward()
    for name, p in model.named_parameters():
        grad = p.grad.to_dense() if p.grad.is_sparse else p.grad
        if name == "position":
            grad = grad[: int(batch.histories.lengths.max())]
        if "bias" not in name and "weight" not in name:
            assert grad.any(), name
        assert grad.isfinite().all()
        assert p.grad.is_sparse == (name == "item.weight" and large and objective != "softmax")
    table = model.item.weight.grad.to_dense()
    assert not table[0].any()
    assert table[1].any()  # some inputs are shown as unknown


def test_an_unknown_item_reads_the_unknown_row_and_is_never_answered():
    log = log_of([[2, 3, 4, 2, 2], [3, 4, 2, 2]], items=9)
    model = made(log.features)
    model.prepare(split_leave_last(log))
    torch.testing.assert_close(model.states(histories_of([[2, 8]])), model.states(histories_of([[2, 1]])))
    assert torch.equal(model.item_vectors(torch.tensor([8]))[0], model.item.weight[1])
    assert set(model.retrieve(asked([[8], []]), 9).item.unique().tolist()) == {0, 2, 3, 4}


def test_categories_enter_the_item_vectors():
    log = random_log(items=10)
    model = made(log.features, categories=["genres"])
    vectors, labels = model.item_vectors(), model.labels[0]
    torch.testing.assert_close(vectors[5], model.item.weight[5] + labels.weight[labels.table[5, 0]])
    assert not vectors[0].any()
    answer = model.retrieve(asked([[2, 3]]), 10)
    scores = model.encode(asked([[2, 3]])).vectors[0, 0] @ vectors.T
    torch.testing.assert_close(answer.score[0].double(), scores[answer.item[0]], rtol=1e-5, atol=1e-5)


def test_cosine_scores_are_bounded_by_the_temperature():
    model = made(final_norm="l2", temperature=0.1)
    found = model.retrieve(asked([[2, 3], []]), 10)
    assert found.score.abs().max() <= 10.0001


def test_an_explanation_has_a_share_for_every_event_of_the_window():
    model = made()
    told, nothing = model.explain(asked([[2, 3, 4], []]), torch.tensor([5, 6]))
    assert told.item.tolist() == [2, 3, 4]
    assert told.value.abs().min() > 0
    assert len(nothing.value) == 0
    assert not any(p.grad is not None for p in model.parameters())


def test_attention_weights_are_dropped_in_training_alone():
    log = random_log(users=6, items=9, seed=1)
    model = SASRec(log.features, width=8, history=20, dropout=0.0, attention_dropout=0.5)
    histories = log.histories(log.offsets[2:-1], log.offsets[3:]).tail(20)
    trained = [model.train().states(histories) for _ in range(2)]
    asked = [model.eval().states(histories) for _ in range(2)]
    assert not torch.equal(*trained)
    assert torch.equal(*asked)
    plain = SASRec(log.features, width=8, history=20, dropout=0.0)
    assert torch.equal(plain.states(histories), asked[0])


@pytest.mark.parametrize("objective", ["softmax", "sampled", "bce"])
def test_an_item_lacks_the_same_elements_wherever_a_batch_shows_it(objective, monkeypatch):
    log = random_log(users=6, items=9, seed=1)
    split = split_leave_last(log)
    model = SASRec(log.features, width=8, dropout=0.0, item_dropout=0.5, objective=objective, seed=2)
    model.prepare(split)
    read: list[tuple[torch.Tensor, torch.Tensor]] = []
    drop = model.item_drop.forward

    def spy(values, rows):
        read.append((rows.flatten(), (found := drop(values, rows)).flatten(0, -2) == 0))
        return found

    monkeypatch.setattr(model.item_drop, "forward", spy)
    gone: list[torch.Tensor] = []
    for batch in model.source(split, batch_size=3, seed=0):
        read.clear()
        model.train().loss(batch)
        assert len(read) > 1  # what was read, and what was answered
        rows, lacking = (torch.cat(parts) for parts in zip(*read, strict=True))
        table = torch.zeros(len(model.item.known), 8, dtype=torch.bool)
        table[rows] = lacking
        assert torch.equal(table[rows], lacking)
        assert 0 < lacking.float().mean() < 1
        gone.append(table)
    assert not torch.equal(gone[0], gone[1])
    whole = model.eval().item_vectors()
    assert torch.equal(whole[2:], model.item.weight[model.item.rows(torch.arange(2, len(whole)))])


def test_times_are_not_read():
    model = made()
    histories = histories_of([[2, 3, 4]])
    bare = Histories(histories.offsets, histories.item)
    assert torch.equal(model.states(bare), model.states(histories))


def test_the_same_seed_gives_the_same_weights_and_draws_nothing_from_the_global_generator():
    before = torch.get_rng_state()
    one, two, other = SASRec(FEATURES, seed=3), SASRec(FEATURES, seed=3), SASRec(FEATURES, seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters()))
    assert not torch.equal(one.item.weight, other.item.weight)
    assert not one.item.weight[0].any()


def test_auto_takes_the_exact_softmax_while_the_catalogue_is_small():
    assert not SASRec(Features(items=20_000), width=64).item.sparse
    assert SASRec(Features(items=200_001), width=8).item.sparse


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0}, "width=0"),
        ({"heads": 3}, "a divisor of width=64"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"attention_dropout": -0.1}, "attention_dropout=-0.1"),
        ({"item_dropout": 1.0}, "item_dropout=1.0"),
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"negatives": 0}, "negatives=0"),
        ({"objective": "ce"}, "'softmax', 'sampled', 'bce'"),
        ({"norm": "layer"}, "'sasrec', 'pre', 'post'"),
        ({"categories": ["genres"]}, "item attributes"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(settings, message):
    with pytest.raises(ArgumentError, match=message):
        SASRec(FEATURES, **settings)


def test_event_types_must_be_in_the_log_and_in_the_history():
    with pytest.raises(ArgumentError, match="the log has no event types"):
        SASRec(Features(items=5), use_event=True)
    with pytest.raises(ArgumentError, match=r"histories\.event=None"):
        made(use_event=True).states(histories_of([[2]]))
