"""The exam that every retriever sits. A new one joins by a line in SUBJECTS."""

import inspect
from dataclasses import dataclass, field, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator

from asked import asked
from exam.batches import gradients
from logs import log_of, random_log
from penchant.data import split_leave_last
from penchant.protocols import (
    Defaults,
    Explains,
    Incremental,
    Retriever,
    Solvable,
    Trainable,
    Trunk,
    VectorRetriever,
    window_of,
)
from penchant.retrieve import EASE, Popularity, SASRec
from penchant.train import build, describe, fit, load_weights, save_weights
from train.parts import (
    assert_bfloat16_learns_alike,
    assert_every_part_moves_a_weight,
    assert_every_tensor_learns,
)


@dataclass(frozen=True)
class Subject:
    """A retriever and its arguments.

    `vectors`: it encodes users. `empty`: it answers who has no history. `order`: it reads their order.
    """

    kind: type
    settings: dict = field(default_factory=dict)
    name: str = ""
    vectors: bool = True
    empty: bool = True
    order: bool = True

    def __call__(self, features, **more):
        return self.kind(features, **{**self.settings, **more})


SMALL = {"width": 8, "history": 12}
SUBJECTS = [
    Subject(Popularity, {}, "Popularity", order=False),
    Subject(Popularity, {"half_life_days": 20.0}, "Popularity-decayed", order=False),
    Subject(EASE, {"l2": 10.0}, "EASE", vectors=False, empty=False, order=False),
    Subject(SASRec, {**SMALL}, "SASRec"),
    Subject(
        SASRec,
        {**SMALL, "objective": "sampled", "norm": "post", "heads": 2, "item_dropout": 0.2},
        "SASRec-sampled",
    ),
    Subject(SASRec, {**SMALL, "objective": "bce", "norm": "pre", "categories": ("genres",)}, "SASRec-bce"),
    Subject(SASRec, {**SMALL, "final_norm": "l2", "temperature": 0.05, "ffn_mult": 2}, "SASRec-cosine"),
]  # fmt: skip


def those(wanted):
    subjects = [subject for subject in SUBJECTS if wanted(subject)]
    return pytest.mark.parametrize("subject", subjects, ids=lambda subject: subject.name)


def trains(subject):
    return issubclass(subject.kind, Trainable)


every = those(lambda _: True)
ITEMS = st.lists(st.integers(1, 31), max_size=15)  # of random_log(): ids 2 to 31, 1 is unknown
ROWS = st.lists(ITEMS, min_size=1, max_size=5)
LOG = random_log()
SPLIT = split_leave_last(LOG)


def made(subject, *, log=LOG, dtype=torch.float64, **more):
    """A model in evaluation that has seen the training rows; weights to be trained are drawn at random."""
    model = subject(log.features, **more)
    split = split_leave_last(log)
    if not trains(subject):
        model.solve(split)
        return model.to(dtype).eval()
    model.prepare(split)
    g = Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" not in name and "closing" not in name:
                p.copy_(0.4 * torch.randn(p.shape, generator=g))
        for module in model.modules():
            if hasattr(module, "known") or hasattr(module, "table"):
                module.weight[0] = 0
    return model.to(dtype).eval()


def batch_of(model, size=6):
    batch = next(iter(model.source(SPLIT, batch_size=size, seed=0)))
    return replace(batch, weight=torch.linspace(0.5, 2, len(batch.weight)))


def vectors(model, rows):
    return model.encode(asked(rows)).vectors


@every
def test_offers_what_the_protocols_ask(subject):
    model = subject(LOG.features)
    assert isinstance(model, Retriever)
    assert isinstance(model, Trainable) != isinstance(model, Solvable)
    assert isinstance(model, Trunk) == isinstance(model, Incremental) == (subject.kind is SASRec)
    assert isinstance(model, VectorRetriever) == subject.vectors
    if trains(subject):
        assert isinstance(model.defaults, Defaults)


@every
def test_keeps_every_argument_as_an_attribute(subject):
    model = subject(LOG.features)
    for name, parameter in inspect.signature(subject.kind).parameters.items():
        if name != "features":
            assert getattr(model, name) == subject.settings.get(name, parameter.default), name


@every
@given(rows=ROWS, k=st.integers(1, 8))
def test_a_batch_is_answered_as_one_at_a_time(subject, rows, k):
    model = made(subject)
    together = model.retrieve(asked(rows), k)
    alone = [model.retrieve(asked([row]), k) for row in rows]
    assert torch.equal(together.item, torch.cat([one.item for one in alone]))
    torch.testing.assert_close(together.score, torch.cat([one.score for one in alone]))


@those(trains)
@given(row=ITEMS, mates=ROWS)
def test_batch_mates_change_no_gradient(subject, row, mates):
    model = made(subject)
    alone = gradients(model, vectors(model, [row]).pow(3).sum())
    shared = gradients(model, vectors(model, [*mates, row])[-1].pow(3).sum())
    torch.testing.assert_close(shared, alone)


@every
def test_lists_are_sorted_and_hold_each_allowed_item_once(subject):
    model = made(subject)
    eligible = torch.arange(32) % 3 > 0
    rows = [[2, 3, 4], [9, 30], [31] * 14, [5]]
    found = model.retrieve(asked(rows, eligible=eligible, exclude=[[4, 5], [], [8], [0, 1]]), 50)
    assert found.item.shape == found.score.shape == (4, 50)
    for row, scores, hidden in zip(found.item.tolist(), found.score.tolist(), [[4, 5], [], [8], []]):
        allowed = [item for item in range(2, 32) if item % 3 and item not in hidden]
        assert sorted(row) == [0] * (50 - len(allowed)) + allowed
        assert scores == sorted(scores, reverse=True)
        assert all((item == 0) == (score == -torch.inf) for item, score in zip(row, scores))


@every
def test_each_request_may_have_items_of_its_own(subject):
    model = made(subject)
    eligible = torch.zeros(2, 32, dtype=torch.bool)
    eligible[0, 7] = eligible[1, [9, 11]] = True
    found = model.retrieve(asked([[2, 3], [2, 3]], eligible=eligible), 2).item.tolist()
    assert found[0] == [7, 0]
    assert set(found[1]) == {9, 11}


@every
def test_nobody_and_no_history_are_answered(subject):
    model = made(subject)
    assert model.retrieve(asked([]), 3).item.shape == (0, 3)
    found = model.retrieve(asked([[], [3, 4]]), 3)
    assert bool(found.item[0].all()) == subject.empty
    assert bool(found.item[1].all())
    if subject.vectors:
        assert vectors(model, [[], [3]]).isfinite().all()


@every
def test_a_user_never_seen_is_answered_from_the_history(subject):
    model = made(subject)
    known = replace(asked([[3, 4, 9]]), users=torch.tensor([5]))
    assert torch.equal(model.retrieve(known, 5).item, model.retrieve(asked([[3, 4, 9]]), 5).item)


@every
def test_an_item_without_training_events_is_read_as_unknown_and_never_answered(subject):
    log = log_of([[2, 3, 4, 5], [3, 4, 5, 2], [2, 5, 4, 3]], items=12, genres=[[2]] * 10)
    model = made(subject, log=log)
    same = [[2, 9], [2, 11]] if "categories" in subject.settings else [[2, 9], [2, 1]]  # 1 has no genre
    found = model.retrieve(asked(same), 12)
    assert set(found.item.unique().tolist()) == {0, 2, 3, 4, 5}
    assert torch.equal(found.item[0], found.item[1])


@those(lambda subject: subject.vectors)
def test_answers_are_the_largest_inner_products(subject):
    model = made(subject)
    user, items = vectors(model, [[2, 3, 4]])[0], model.item_vectors()
    assert items.shape[0] == 32
    torch.testing.assert_close(model.item_vectors(torch.tensor([5, 7])), items[[5, 7]])
    found = model.retrieve(asked([[2, 3, 4]]), 32)
    scores = (user @ items.T).amax(0)
    real = found.item[0][found.item[0] > 0]
    torch.testing.assert_close(scores[real].float(), found.score[0, : len(real)], rtol=1e-4, atol=1e-5)
    assert len(real) == int(SPLIT.seen_items.sum())


@every
def test_save_and_load_give_the_same_lists(subject, tmp_path):
    model = made(subject, dtype=torch.float32)
    save_weights(model, tmp_path / "weights.safetensors")
    trust = ("penchant", subject.kind.__module__)  # the exam may be sat by others' models
    again = build(describe(model), LOG.features, trust=trust)
    assert isinstance(again, subject.kind)
    load_weights(again, tmp_path / "weights.safetensors")
    again.eval()
    rows = asked([[3, 4, 9], [], [31]])
    one, other = model.retrieve(rows, 9), again.retrieve(rows, 9)
    assert torch.equal(one.item, other.item)
    assert torch.equal(one.score, other.score)
    assert describe(again) == describe(model)


@those(trains)
def test_the_seed_alone_decides_the_initial_weights(subject):
    state = torch.get_rng_state()
    one, same, other = (subject(LOG.features, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state), "something drew from the global generator"
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@those(trains)
def test_every_part_of_the_loss_moves_a_weight(subject):
    model = subject(LOG.features).train()
    assert_every_part_moves_a_weight(model, batch_of(model))
    assert_every_tensor_learns(model, batch_of(model))


@those(trains)
def test_weight_two_is_the_row_twice(subject):
    """The last window of a packed batch: with its weight doubled, and said twice."""
    off = {name: 0.0 for name in ("dropout", *subject.settings) if name.endswith("dropout")}
    model = made(subject, **off).train()
    batch = batch_of(model)
    begin, end = batch.offsets[-2:].tolist()
    heavy = batch.weight.clone()
    heavy[begin:] *= 2
    again = torch.cat([torch.arange(end), torch.arange(begin, end)])
    offsets = torch.cat([batch.offsets, batch.offsets[-1:] + end - begin])
    own = {name: value[again] for name, value in batch.extra.items() if name.startswith("own")}
    twice = replace(
        batch, target=batch.target[again], weight=batch.weight[again], at=batch.at[again], offsets=offsets,
        histories=batch.histories.take(again, offsets), extra={**batch.extra, **own},
    )  # fmt: skip
    one, other = model.loss(replace(batch, weight=heavy)), model.loss(twice)
    torch.testing.assert_close(one.mean, other.mean)
    torch.testing.assert_close(gradients(model, one.mean), gradients(model, other.mean))


@those(trains)
def test_a_resumed_run_is_the_unbroken_one_to_the_bit(subject, tmp_path):
    class KilledError(Exception):
        pass

    def kill(*_):
        raise KilledError

    settings = {"epochs": 2, "batch_size": 32, "progress": False, "seed": 4}
    unbroken = fit(subject(LOG.features), SPLIT, **settings)
    with pytest.raises(KilledError):
        fit(subject(LOG.features), SPLIT, **settings, checkpoint=tmp_path, callbacks=[kill])
    resumed = fit(subject(LOG.features), SPLIT, **settings, checkpoint=tmp_path)
    for (name, one), other in zip(unbroken.state_dict().items(), resumed.state_dict().values()):
        assert torch.equal(one, other), name


@those(trains)
def test_half_precision_learns_what_single_precision_does(subject):
    assert_bfloat16_learns_alike(lambda: subject(LOG.features), SPLIT)


@those(lambda subject: "half_life_days" not in subject.settings)
def test_a_log_without_times_will_do(subject):
    timed = random_log(users=20, items=9)
    bare = replace(timed, has_time=False, time=torch.arange(len(timed)) - timed.offsets[timed.user])
    one, other = made(subject, log=timed), made(subject, log=bare)
    assert torch.equal(one.retrieve(asked([[2, 3]]), 9).item, other.retrieve(asked([[2, 3]]), 9).item)


@every
def test_learns_a_planted_taste(subject):
    """Item 2 is liked by all; each user goes round the five items of one genre, 3 + g, 7 + g, ... 19 + g."""
    g, rows = Generator().manual_seed(4), []
    for user in range(64):
        begin, popular = int(torch.randint(5, (1,), generator=g)), torch.rand(14, generator=g) < 0.15
        rows.append(
            [2 if p else 3 + (4 * (begin + n) + user % 4) % 20 for n, p in enumerate(popular.tolist())]
        )
    log = log_of(rows, items=23, genres=[[2], *([2 + n % 4] for n in range(20))])
    model, split = subject(log.features), split_leave_last(log)
    if trains(subject):
        source = model.source(split, batch_size=8, seed=0)
        fit(model, source, epochs=15, learning_rate=1e-2, progress=False)
    else:
        fit(model, split)
    asking = [[3 + genre, 7 + genre] for genre in range(4)]
    found = model.retrieve(asked(asking, exclude=asking), 3).item.tolist()
    rest = [{11 + genre, 15 + genre, 19 + genre} for genre in range(4)]
    if isinstance(model, Popularity):
        assert [row[0] for row in found] == [2] * 4
    elif not subject.order:
        assert [set(row) for row in found] == rest
    elif subject.settings.get("objective") == "bce":  # its negatives are never of the user's genre
        assert all(row[0] in allowed for row, allowed in zip(found, rest))
    else:
        assert [row[0] for row in found] == [11, 12, 13, 14]


@those(lambda subject: hasattr(subject.kind, "explain"))
def test_explains_every_event_that_it_read(subject):
    more = {"history": 3} if trains(subject) else {}
    model = made(subject, **more)
    assert isinstance(model, Explains)
    rows = [[4, 5, 6, 7], [], [9]]
    found = model.explain(asked(rows), torch.tensor([3, 3, 8]))
    assert [part.item.tolist() for part in found] == [[4, 5, 6, 7][-3 if more else 0 :], [], [9]]
    assert all(part.value.shape == part.item.shape and part.value.isfinite().all() for part in found)
    alone = model.explain(asked([[9]]), torch.tensor([8]))[0]
    torch.testing.assert_close(found[2].value, alone.value)


@those(lambda subject: hasattr(subject.kind, "similar"))
def test_similar_items_are_other_known_items(subject):
    found = made(subject).similar(torch.tensor([3, 9]), 5)
    assert found.item.shape == (2, 5)
    assert found.item.min() > 1
    assert not (found.item == torch.tensor([[3], [9]])).any()


@every
def test_nothing_before_the_window_that_it_names_is_read(subject):
    model = made(subject, **({"history": 3} if trains(subject) else {}))
    window = window_of(model)
    assert window == (3 if trains(subject) else 0 if issubclass(subject.kind, Popularity) else None)
    if window is None:
        return
    whole = asked([[4, 5, 6, 7, 9], [], [9], [2, 3, 4]])
    newest = replace(whole, histories=whole.histories.tail(window))
    found, same = model.retrieve(whole, 5), model.retrieve(newest, 5)
    assert torch.equal(found.item, same.item)
    assert torch.equal(found.score, same.score)
