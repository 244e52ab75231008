"""The exam that every ranker sits. A new one joins by a line in SUBJECTS."""

import inspect
from dataclasses import dataclass, field, replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator

from asked import asked
from exam.batches import gradients, rows_of
from logs import log_of, random_log
from penchant.data import Uniform, draw_unseen, split_leave_last
from penchant.data.negatives import Seen
from penchant.protocols import Defaults, Explains, Ranker, Trainable, window_of
from penchant.rank import DIN, NoHistory
from penchant.train import Checkpoint, build, describe, fit, load_weights, save_weights
from train.parts import (
    assert_bfloat16_learns_alike,
    assert_every_part_moves_a_weight,
    assert_every_tensor_learns,
)


@dataclass(frozen=True)
class Subject:
    """A ranker and its arguments; `settings` say what makes it small, and able to learn the planted taste."""

    kind: type
    settings: dict = field(default_factory=dict)
    name: str = ""

    def __call__(self, features, **more):
        return self.kind(features, **{**SMALL[self.kind], **self.settings, **more})


SMALL = {
    DIN: {"width": 8, "attention": (16, 8), "head": (24, 8)},
    NoHistory: {"width": 8, "head": (24, 8)},
}
PLAIN = {"activation": "prelu", "batch_norm": False}
CODE = {**PLAIN, "normalise": "softmax", "head_inputs": "paper", "categories": ("genres",)}
SUMS = {**PLAIN, "normalise": "sigmoid", "head_inputs": "reference", "difference": False}
SUBJECTS = [
    Subject(DIN, {}, "DIN"),
    Subject(DIN, CODE, "DIN-softmax"),
    Subject(DIN, SUMS, "DIN-sums"),
    Subject(NoHistory, {"user_id": True}, "NoHistory"),
    Subject(NoHistory, {**PLAIN, "user_id": True, "categories": ("genres",)}, "NoHistory-genres"),
    Subject(NoHistory, {"head": (), "user_id": True}, "FM"),
]
every = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
uncoupled = pytest.mark.parametrize(
    "subject",
    # the others bend or normalise by the statistics of the batch: in their loss rows do depend on one another
    [s for s in SUBJECTS if not getattr(s(random_log().features), "couples_rows", False)],
    ids=lambda subject: subject.name,
)
ITEMS = st.lists(st.integers(1, 31), max_size=9)  # of random_log(): ids 2 to 31, 1 is unknown
ROWS = st.lists(ITEMS, min_size=1, max_size=5)
LOG = random_log()
SPLIT = split_leave_last(LOG)


def made(subject, *, dtype=torch.float64, **more):
    """A prepared model in evaluation with weights of order 1: at its initial ones nearly nothing matters."""
    model = subject(LOG.features, **more)
    model.prepare(SPLIT)
    g = Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" not in name:
                p.copy_(0.4 * torch.randn(p.shape, generator=g))
        for module in model.modules():
            if hasattr(module, "known"):
                module.weight[0] = 0
    return model.to(dtype).eval()


def batch_of(model, size=32, seed=0):
    batch = next(iter(model.source(SPLIT, batch_size=size, seed=seed)))
    return replace(batch, weight=torch.linspace(0.5, 2, len(batch)))


def scores(model, requests, items):
    return model.score(model.encode_user(requests), items)


def candidates(rows, count=4):
    g = Generator().manual_seed(len(rows))
    return torch.randint(2, 32, (len(rows), count), generator=g)


@every
def test_offers_what_the_protocols_ask(subject):
    model = subject(LOG.features)
    assert isinstance(model, Ranker)
    assert isinstance(model, Trainable)
    assert isinstance(model.defaults, Defaults)


@every
def test_keeps_every_argument_as_an_attribute(subject):
    given = {**SMALL[subject.kind], "seed": 3, **subject.settings}
    model = subject.kind(LOG.features, **given)
    for name, parameter in inspect.signature(subject.kind).parameters.items():
        if name != "features":
            assert getattr(model, name) == given.get(name, parameter.default), name


@every
@given(rows=ROWS)
def test_a_batch_is_the_same_as_one_at_a_time(subject, rows):
    model, items = made(subject), candidates(rows)
    together = scores(model, asked(rows), items)
    alone = [scores(model, asked([row]), items[i : i + 1]) for i, row in enumerate(rows)]
    torch.testing.assert_close(together, torch.cat(alone))


@every
@given(row=ITEMS, mates=ROWS)
def test_batch_mates_change_no_gradient(subject, row, mates):
    model = made(subject)
    mine = torch.tensor([[5, 9, 2]])
    alone = gradients(model, scores(model, asked([row]), mine).square().sum())
    items = torch.cat([candidates(mates, 3), mine])
    shared = gradients(model, scores(model, asked([*mates, row]), items)[-1].square().sum())
    torch.testing.assert_close(shared, alone)


@every
@given(rows=ROWS, pad=st.integers(1, 3))
def test_padding_candidates_change_nothing(subject, rows, pad):
    model, items = made(subject), candidates(rows)
    wide = F.pad(items, (0, pad))
    padded, bare = scores(model, asked(rows), wide)[:, :4], scores(model, asked(rows), items)
    torch.testing.assert_close(padded, bare)
    torch.testing.assert_close(gradients(model, padded.square().sum()), gradients(model, bare.square().sum()))


@every
def test_no_gradient_reaches_the_padding_row(subject):
    model = made(subject)
    items = torch.tensor([[3, 0, 7], [0, 0, 0]])
    found = gradients(model, scores(model, asked([[4, 5], []]), items).sum())
    for name, module in model.named_modules():
        if hasattr(module, "known"):
            assert not found[f"{name}.weight"][0].any(), name


@every
@given(rows=ROWS, order=st.permutations(range(4)))
def test_candidate_order_permutes_the_scores(subject, rows, order):
    model, items = made(subject), candidates(rows)
    torch.testing.assert_close(
        scores(model, asked(rows), items[:, list(order)]), scores(model, asked(rows), items)[:, list(order)]
    )


@every
def test_a_thousand_candidates_are_scored_as_in_small_portions(subject):
    model = made(subject)
    rows = [[2, 3, 4] * 9, [], list(range(2, 30))]
    items = torch.randint(2, 32, (3, 1500), generator=Generator().manual_seed(0))
    items[0, 7] = items[1, -1] = 0
    with torch.no_grad():
        whole = scores(model, asked(rows), items)
        parts = torch.cat([scores(model, asked(rows), some) for some in items.split(100, 1)], 1)
    torch.testing.assert_close(whole[items > 0], parts[items > 0])


@every
def test_nobody_and_no_history_are_answered(subject):
    model = made(subject)
    assert scores(model, asked([]), torch.zeros(0, 4, dtype=torch.long)).shape == (0, 4)
    found = scores(model, asked([[], [3, 4]]), torch.tensor([[2, 3], [2, 3]]))
    assert found.isfinite().all()
    assert all(g.isfinite().all() for g in gradients(model, found.sum()).values())


@every
def test_unknown_users_and_items_read_the_unknown_row(subject):
    log = log_of([[2, 3, 4, 5], [3, 4, 5, 2], [2, 5, 4, 3]], items=12, genres=[[2]] * 10)
    split = split_leave_last(log)
    model = subject(log.features)
    model.prepare(split)
    model.eval()
    requests = asked([[2, 9], [2, 1], [2, 11]])  # 6 to 11 have no training event
    items = torch.tensor([[2, 10, 1, 3, 6]] * 3)
    if "categories" in subject.settings:  # an item without events still has its genres; index 1 has none
        items = torch.tensor([[2, 10, 7, 3, 6]] * 3)
        requests = asked([[2, 9], [2, 8], [2, 11]])
    found = scores(model, requests, items)
    torch.testing.assert_close(found[:, 1], found[:, 2])
    torch.testing.assert_close(found[:, 1], found[:, 4])
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], found[2])
    assert not torch.equal(found[:, 0], found[:, 1])
    stranger = replace(requests, users=torch.tensor([1, 1, 1]))
    torch.testing.assert_close(scores(model, stranger, items), found)


@every
def test_save_and_load_give_the_same_scores(subject, tmp_path):
    model = made(subject, dtype=torch.float32, seed=5)
    rows = [[3, 4, 9], [], [31]]
    save_weights(model, tmp_path / "weights.safetensors")
    trust = ("penchant", subject.kind.__module__)  # the exam may be sat by others' models
    again = build(describe(model), LOG.features, trust=trust)
    assert isinstance(again, subject.kind)
    load_weights(again, tmp_path / "weights.safetensors")
    again.eval()
    assert torch.equal(
        scores(again, asked(rows), candidates(rows)), scores(model, asked(rows), candidates(rows))
    )
    assert describe(again) == describe(model)


@every
def test_the_seed_alone_decides_the_initial_weights(subject):
    state = torch.get_rng_state()
    one, same, other = (subject(LOG.features, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state), "something drew from the global generator"
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@every
def test_a_user_is_encoded_once_for_target_and_negatives(subject, monkeypatch):
    model = subject(LOG.features).train()
    calls, encode = [], model.encode_user
    monkeypatch.setattr(
        model, "encode_user", lambda requests: calls.append(len(requests)) or encode(requests)
    )
    batch = batch_of(model)
    assert batch.extra["negatives"].shape == (32, 4)
    model.loss(batch)
    assert calls == [32]


@every
def test_every_part_of_the_loss_moves_a_weight(subject):
    model = subject(LOG.features).train()
    assert_every_part_moves_a_weight(model, batch_of(model))
    assert_every_tensor_learns(model, batch_of(model))


@every
def test_the_loss_is_the_mean_of_what_the_slow_version_says(subject):
    model = made(subject)
    batch = batch_of(model, 8)
    batch.extra["negatives_weight"][3, 1] = batch.extra["negatives_weight"][5, :] = 0
    total = weight = 0.0
    for i in range(len(batch)):
        row = rows_of(batch, [i])
        items = [int(row.target), *row.extra["negatives"][0].tolist()]
        for m, item in enumerate(items):
            w = float(row.weight) * (1.0 if m == 0 else float(row.extra["negatives_weight"][0, m - 1]))
            logit = scores(model, row.requests, torch.tensor([[item]])).squeeze()
            total += w * F.softplus(-logit if m == 0 else logit).item()
            weight += w
    loss = model.loss(batch)
    torch.testing.assert_close(loss.sum.item(), total)
    torch.testing.assert_close(loss.weight.item(), weight)


@uncoupled
def test_rows_of_a_training_batch_do_not_know_one_another(subject):
    model = made(subject).train()
    batch = batch_of(model)
    whole = model.loss(batch)
    parts = [model.loss(rows_of(batch, half)) for half in (list(range(9)), list(range(9, 32)))]
    torch.testing.assert_close(whole.sum, parts[0].sum + parts[1].sum)
    torch.testing.assert_close(whole.weight, parts[0].weight + parts[1].weight)


@uncoupled
def test_weight_two_is_the_row_twice(subject):
    model = made(subject).train()
    batch = batch_of(model, 8)
    heavy = replace(batch, weight=batch.weight * torch.tensor([1, 1, 2, 1, 1, 1, 3, 1]))
    repeated = rows_of(batch, [0, 1, 2, 2, 3, 4, 5, 6, 6, 6, 7])
    one, other = model.loss(heavy), model.loss(repeated)
    torch.testing.assert_close(one.mean, other.mean)
    torch.testing.assert_close(gradients(model, one.mean), gradients(model, other.mean))


@every
def test_what_was_not_drawn_touches_nothing_in_training(subject):
    """Not even the statistics of a coupled model: an example is as if drawn without its bad negatives."""
    batch = batch_of(subject(LOG.features), 8)
    batch.extra["negatives_weight"][:, 2:] = 0
    short = replace(batch, extra={name: value[:, :2] for name, value in batch.extra.items()})
    found = []
    for some in (batch, short):
        model = made(subject).train()
        loss = model.loss(some)
        found.append((loss.mean, gradients(model, loss.mean), dict(model.named_buffers())))
    torch.testing.assert_close(found[0], found[1])


@every
def test_a_run_that_goes_on_in_mid_epoch_is_the_unbroken_one_to_the_bit(subject, tmp_path):
    """Stopped by an error in the sixth step of the second epoch; a state was written after every step."""
    settings = {"epochs": 2, "batch_size": 64, "metric": "gauc", "progress": False, "seed": 4}
    unbroken = fit(subject(LOG.features), SPLIT, **settings)
    steps = len(subject(LOG.features).source(SPLIT, batch_size=64, seed=4))
    assert steps > 6
    broken, calls = subject(LOG.features), []
    loss = broken.loss

    def breaking(batch):
        calls.append(batch)
        if len(calls) == steps + 6:
            raise InterruptedError
        return loss(batch)

    broken.loss = breaking
    with pytest.raises(InterruptedError):
        fit(broken, SPLIT, **settings, checkpoint=Checkpoint(tmp_path, every=0))
    resumed, again = subject(LOG.features), []
    loss_of = resumed.loss
    resumed.loss = lambda batch: again.append(batch) or loss_of(batch)
    fit(resumed, SPLIT, **settings, checkpoint=tmp_path)
    assert len(again) == steps - 5
    for (name, one), other in zip(unbroken.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


@every
def test_learns_a_planted_taste(subject):
    """Each user likes one of four genres; what is held out is found among items that were not chosen."""
    log = planted()
    split = split_leave_last(log)
    model = subject(log.features, seed=1)
    before = taste(model, split)
    fit(model, model.source(split, batch_size=128, seed=0), epochs=9, learning_rate=5e-3, progress=False)
    after = taste(model, split)
    assert before < 0.65
    assert after > 0.9


def planted(users=120, items=40):
    g = Generator().manual_seed(4)
    rows = []
    for user in range(users):
        liked = torch.rand(18, generator=g) < 0.92
        drawn = torch.randint(items, (18,), generator=g)
        rows.append((torch.where(liked, drawn - drawn % 4 + user % 4, drawn) + 2).tolist())
    return log_of(rows, items=items + 2, genres=[[2 + i % 4] for i in range(items)])


@torch.no_grad()
def taste(model, split):
    """Mean AUC of held-out items against 40 that the user never had."""
    model.prepare(split)
    model.eval()
    queries = split.test()
    known = torch.arange(len(split.log))
    sampler = Uniform(split.seen_items.nonzero().squeeze(1), len(split.log.catalogue))
    end = torch.full_like(queries.user, len(split.log))
    drawn, good = draw_unseen(
        sampler,
        Seen.of(split, known),
        queries.user,
        end,
        queries.targets.values,
        40,
        Generator().manual_seed(0),
    )
    assert good.all()
    items = torch.cat([queries.targets.values.unsqueeze(1), drawn], 1)
    found = scores(model, queries.requests(0, len(queries), exclude_seen=False), items)
    won = (found[:, :1] > found[:, 1:]).double() + (found[:, :1] == found[:, 1:]).double() / 2
    return float(won.mean())


@pytest.mark.parametrize(
    "subject", [s for s in SUBJECTS if hasattr(s.kind, "explain")], ids=lambda subject: subject.name
)
def test_explains_every_event_that_it_read(subject):
    model = made(subject, history=3)
    assert isinstance(model, Explains)
    rows = [[4, 5, 6, 7], [], [9]]
    found = model.explain(asked(rows), torch.tensor([3, 3, 8]))
    assert [part.item.tolist() for part in found] == [[5, 6, 7], [], [9]]
    assert all(part.value.shape == part.item.shape and part.value.isfinite().all() for part in found)
    alone = model.explain(asked([[9]]), torch.tensor([8]))[0]
    torch.testing.assert_close(found[2].value, alone.value)


@every
def test_nothing_before_the_window_that_it_names_is_read(subject):
    model = made(subject, **({"history": 3} if subject.kind is not NoHistory else {}))
    window = window_of(model)
    assert window == (0 if subject.kind is NoHistory else 3)
    whole = asked([[4, 5, 6, 7, 9], [], [9], [2, 3, 4]])
    newest = replace(whole, histories=whole.histories.tail(window))
    items = candidates(range(4))
    assert torch.equal(scores(model, whole, items), scores(model, newest, items))


@every
def test_negatives_are_as_many_and_as_popular_as_it_is_told(subject):
    often = [[2 + 20 * (user % 2), *(3 + (user + i) % 19 for i in range(5))] for user in range(120)]
    popular = log_of(often)  # 2 and 22 are each of 60 users, the others of fewer
    split = split_leave_last(popular)
    if "categories" in subject.settings:
        subject = replace(subject, settings={**subject.settings, "categories": ()})
    drawn = {}
    for alpha in (0.0, 1.0):
        batch = next(
            iter(subject(popular.features, negatives=3, alpha=alpha).source(split, batch_size=64, seed=0))
        )
        assert batch.extra["negatives"].shape == (64, 3)
        unseen = batch.extra["negatives"][batch.extra["negatives_weight"] > 0]
        drawn[alpha] = float(((unseen == 2) | (unseen == 22)).double().mean())
    assert drawn[1.0] > 1.5 * drawn[0.0]


@every
def test_half_precision_learns_what_single_precision_does(subject):
    assert_bfloat16_learns_alike(lambda: subject(LOG.features), SPLIT)
