"""A log on a device: what is gathered there is what is gathered at home."""

import pytest
import torch

from logs import random_log
from penchant.data import split_by_item, split_by_time, split_leave_last
from penchant.data.loader import Source
from penchant.data.sources import Pointwise, Sequences
from penchant.evaluation import evaluate, setting
from penchant.rank import DIN
from penchant.retrieve import EASE, Popularity, SASRec
from penchant.train import fit
from pretend import ELSEWHERE, Elsewhere, pretended
from rank.richly import rich_log


def same(there, here):
    """Whether a dataclass of tensors on the device holds what its twin at home holds, and nothing at home."""
    if isinstance(here, torch.Tensor):
        assert isinstance(there, Elsewhere)
        assert torch.equal(there.cpu(), here)
    elif isinstance(here, dict):
        assert there.keys() == here.keys()
        for name in here:
            same(there[name], here[name])
    elif isinstance(here, tuple):
        for a, b in zip(there, here, strict=True):
            same(a, b)
    elif hasattr(here, "__dataclass_fields__"):
        for name in here.__dataclass_fields__:
            same(getattr(there, name), getattr(here, name))
    else:
        assert there == here


def test_the_pretended_device_refuses_what_a_true_one_refuses():
    with pretended():
        there = torch.arange(4).to(ELSEWHERE)
        assert there.device == ELSEWHERE
        assert type(torch.zeros(2, device=there.device)) is Elsewhere
        assert (there + 1).tolist() == [1, 2, 3, 4]
        for wrong in (
            lambda: there + torch.arange(4),
            lambda: torch.cat([there, torch.arange(2)]),
            lambda: there.index_select(0, torch.tensor([1])),
        ):
            with pytest.raises(RuntimeError, match="one device"):
                wrong()
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        assert type(there.cpu()) is torch.Tensor


EXAMPLES = {
    "windows": lambda split: Sequences(split, history=5),
    "windows and shared negatives": lambda split: Sequences(split, history=5, negatives=7, alpha=0.5),
    "windows and own negatives": lambda split: Sequences(split, history=5, own_negatives=2),
    "targets and negatives": lambda split: Pointwise(split, history=5),
    "targets and fresh negatives": lambda split: Pointwise(split, history=5, reject="all", negatives=2),
}
SPLITS = {"leave last": split_leave_last, "time": split_by_time, "items": split_by_item}


@pytest.mark.parametrize("parted", SPLITS)
@pytest.mark.parametrize("kind", EXAMPLES)
def test_batches_made_there_are_those_made_at_home(kind, parted):
    split = SPLITS[parted](random_log(users=20, seed=3), ties="exclude")
    home = list(Source(EXAMPLES[kind](split), batch_size=9, seed=1, ahead=0))
    with pretended() as device:
        there = list(Source(EXAMPLES[kind](split.to(device)), batch_size=9, seed=1, ahead=0))
        assert len(there) == len(home)
        for a, b in zip(there, home, strict=True):
            same(a, b)


def test_labels_and_context_go_along():
    log = random_log(users=20, seed=3, labels=True)
    split = split_leave_last(log)
    home = list(Source(Pointwise(split, history=4), batch_size=50, seed=1, ahead=0))
    with pretended() as device:
        for a, b in zip(
            Source(Pointwise(split.to(device), history=4), batch_size=50, seed=1, ahead=0), home, strict=True
        ):
            same(a, b)


@pytest.mark.parametrize("at", ["each", "cut"])
def test_requests_gathered_there_are_those_gathered_at_home(at):
    split = split_by_time(random_log(users=20, seed=4))
    with pretended() as device:
        for part in ("valid", "test"):
            asked, away = getattr(split, part)(at), getattr(split.to(device), part)(at)
            assert asked.targets.values.equal(away.targets.values)
            assert asked.history_lengths().equal(away.history_lengths())
            for history in (None, 3):
                same(
                    away.requests(1, 4, exclude_seen=True, history=history),
                    asked.requests(1, 4, exclude_seen=True, history=history),
                )


def test_attributes_columns_and_labels_are_learned_and_judged_there_as_at_home():
    split = split_leave_last(rich_log())
    all_of_it = {
        "user_id": True, "categories": ["genres"], "numbers": ["year"], "people": ["job", "age"],
        "context": ["hour", "device"], "columns": ["event", "label", "hour"],
    }  # fmt: skip

    def made(given):
        din = DIN(given.log.features, width=4, history=5, **all_of_it)
        din.prepare(given)
        din.fitted = True
        return din.eval()

    here = made(split)
    found = evaluate(here, split.test, bootstrap=20)
    batches = list(here.source(split, batch_size=7, seed=0))
    with pretended() as device:
        away = split.to(device)
        there = made(away)
        for name, value in here.state_dict().items():
            assert torch.equal(value, there.state_dict()[name]), name
        source = there.source(away, batch_size=7, seed=0)
        source.ahead = 0  # the pretence holds in this thread alone
        for a, b in zip(source, batches, strict=True):
            same(a, b)
        judged = evaluate(there, away.test, bootstrap=20)
        assert repr(judged.systems[0].metrics) == repr(found.systems[0].metrics)


@pytest.mark.parametrize("chosen", [None, setting("rectools_loo")])
def test_models_at_home_learn_from_and_are_asked_by_a_log_elsewhere_as_by_one_at_home(chosen):
    split = split_leave_last(random_log(users=60, items=40, seed=2))

    def made(given):
        sasrec, din = SASRec(given.log.features, width=8), DIN(given.log.features, width=4, history=5)
        models = [sasrec, Popularity(given.log.features, half_life_days=9), EASE(given.log.features), din]
        for model in models:
            (model.solve if hasattr(model, "solve") else model.prepare)(given)
            model.fitted = True
            model.eval()
        return models

    here = made(split)
    found = evaluate(here[0], split.test, against=here[1:3], bootstrap=20, setting=chosen)
    scored = evaluate(here[3], split.test, bootstrap=20)
    with pretended() as device:
        away = split.to(device)
        there = made(away)
        for a, b in zip(there, here, strict=True):
            for name, value in b.state_dict().items():
                assert torch.equal(value, a.state_dict()[name]), name
        asked = evaluate(there[0], away.test, against=there[1:3], bootstrap=20, setting=chosen)
        judged = evaluate(there[3], away.test, bootstrap=20)
    for a, b in zip((*asked.systems, *judged.systems), (*found.systems, *scored.systems), strict=True):
        assert a.metrics == b.metrics
        assert a.lists is None or a.lists.equal(b.lists)
    assert asked.samples == found.samples


def test_a_model_fitted_on_a_log_elsewhere_is_the_one_fitted_at_home():
    split = split_leave_last(random_log(users=30, items=20, seed=2))

    def fitted(given):
        model = SASRec(given.log.features, width=8, history=6)
        source = model.source(given, batch_size=8, seed=0)
        source.ahead = 0  # the pretence holds in this thread alone
        return fit(model, source, valid=given.valid, epochs=2, device="cpu", progress=False)

    here = fitted(split)
    with pretended() as device:
        there = fitted(split.to(device))
    assert [row["metrics"] for row in there.training_log] == [row["metrics"] for row in here.training_log]
    for name, value in here.state_dict().items():
        assert torch.equal(value, there.state_dict()[name]), name
