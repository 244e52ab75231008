import pytest

from logs import random_log
from penchant.data import split_leave_last
from penchant.funnel import Funnel
from penchant.rank import DIN
from penchant.retrieve import EASE, Popularity, SASRec
from penchant.train import fit


@pytest.fixture(scope="session")
def split():
    return split_leave_last(random_log(users=120, items=30, taste=0.7))


@pytest.fixture(scope="session")
def models(split):
    features = split.log.features
    return {
        "sasrec": fit(SASRec(features, width=16, history=10), split, epochs=2, progress=False),
        "ease": fit(EASE(features), split),
        "popular": fit(Popularity(features), split),
        "din": fit(
            DIN(features, width=8, history=10, categories=["genres"]), split, epochs=1, progress=False
        ),
    }


@pytest.fixture(scope="session")
def funnel(models, split):
    retrieve = [models["sasrec"], models["ease"], models["popular"]]
    return Funnel(retrieve=retrieve, rank=models["din"], data=split.log, candidates=20)
