"""What models make of a world: they gain by what is planted, and by nothing where nothing is."""

from dataclasses import replace

import pytest

from penchant.data import split_by_time, split_leave_last
from penchant.evaluation import evaluate
from penchant.rank import DIN, NoHistory
from penchant.retrieve import EASE, Popularity, SASRec
from penchant.train import fit
from penchant.world import Sequels, World, simulate

RICH = World(users=600, items=400, categories=12, days=20, exposure=None, seed=1)
FLAT = RICH.without(
    "interests", "births", "semantic", "boredom", "sequels", "satisfaction", "churn", "treatment"
)


def ndcg(model, split):
    return evaluate(model, split.test, bootstrap=20)["ndcg@10"]


def split_of(world):
    return split_leave_last(simulate(world).interactions())


def test_interests_help_ease_and_nothing_helps_where_there_are_none():
    for world, helped in ((RICH, True), (FLAT, False)):
        split = split_of(world)
        popular, ease = (fit(model(split.log.features), split) for model in (Popularity, EASE))
        gain = ndcg(ease, split) - ndcg(popular, split)
        assert (gain > 0.015) == helped


def test_order_is_what_sasrec_has_over_popularity():
    plain = replace(FLAT, users=200, items=60, categories=4, content=None)
    for world, low, high in ((replace(plain, sequels=Sequels(share=0.8)), 0.4, 1.0), (plain, -0.05, 0.02)):
        split = split_of(world)
        features = split.log.features
        sasrec = SASRec(features, width=32, depth=1, history=10, dropout=0.1)
        fit(sasrec, split, epochs=5 if world.sequels else 2, batch_size=64, progress=False)
        assert low < ndcg(sasrec, split) - ndcg(fit(Popularity(features), split), split) < high


@pytest.mark.slow
def test_order_and_drift_help_sasrec_beyond_ease():
    for world, low, high in ((RICH, 0.05, 1.0), (FLAT, -0.03, 0.01)):  # flat: nobody beats popularity
        split = split_of(world)
        features = split.log.features
        sasrec = fit(SASRec(features, width=32, history=30, dropout=0.1), split, epochs=12)
        popular, ease = (ndcg(fit(model(features), split), split) for model in (Popularity, EASE))
        best = max(popular, ease) if world is RICH else popular
        assert low < ndcg(sasrec, split) - best < high
        assert (ease > popular + 0.01) == (world is RICH)


@pytest.mark.slow
def test_histories_help_din():
    world = World(users=300, items=300, categories=10, days=20, seed=1)
    split = split_by_time(simulate(world).interactions())
    gauc = [
        evaluate(
            fit(model(split.log.features, width=16, categories=["category"]), split, epochs=2), split.test
        )["gauc"]
        for model in (DIN, NoHistory)
    ]  # fmt: skip
    assert gauc[0] > gauc[1] + 0.05
