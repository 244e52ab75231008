"""A run that RecTools writes, with RecTools' own figures: what `penchant evaluate --run` is checked on.

    PEERS/peers/bin/python benchmarks/peer_run.py --data FOLDER --out run.csv [--users 60] [--k 20]

Run by the peer's own Python (peerbench's `peers` environment). Everybody's last event is the test, the one
before it is put aside, the rest is what RecTools' EASE learns from; events of one second stand in file order.
The lists go to `--out` (.csv or .parquet) in RecTools' own columns, and its metrics on them are printed as
JSON. `tests/evaluation/rectools_run.csv` is this script's answer for 60 users of MovieLens-100k.

RecTools' NDCG is asked for with `divide_by_achievable=True`: by default it divides by the gain of a list full
of targets, which with one target a user cannot be reached.
"""

import argparse
import json
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd


def main() -> None:
    """Learns, recommends, measures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="a folder with one .inter file")
    parser.add_argument("--out", type=Path, required=True, help="the run, .csv or .parquet")
    parser.add_argument("--users", type=int, help="write lists of so many users only, evenly spread (all)")
    parser.add_argument("--k", type=int, default=20, help="items a list (20)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")

    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.metrics import MRR, NDCG, HitRate, Recall, calc_metrics
    from rectools.models import EASEModel

    (file,) = options.data.glob("*.inter")
    log = pd.read_csv(file, sep="\t").rename(columns=lambda name: name.partition(":")[0])
    log = log.rename(columns={"timestamp": Columns.Datetime}).sort_values(
        [Columns.User, Columns.Datetime], kind="stable"
    )
    log[Columns.Weight] = 1.0
    log[Columns.Datetime] = pd.to_datetime(log[Columns.Datetime], unit="s")
    behind = log.groupby(Columns.User).cumcount(ascending=False)
    train, test = log[behind >= 2], log[behind == 0]

    users = np.sort(test[Columns.User].unique())
    if options.users is not None:
        users = users[np.linspace(0, len(users) - 1, options.users).astype(int)]
        test = test[test[Columns.User].isin(users)]
    dataset = Dataset.construct(train[Columns.Interactions])
    model = EASEModel(regularization=500.0)
    model.fit(dataset)
    lists = model.recommend(users, dataset, k=options.k, filter_viewed=True)

    metrics = {"recall": Recall, "hit_rate": HitRate, "mrr": MRR}
    asked = {f"{name}@{k}": metric(k) for name, metric in metrics.items() for k in (5, 10, 20)}
    asked |= {f"ndcg@{k}": NDCG(k, divide_by_achievable=True) for k in (5, 10, 20)}
    found = calc_metrics(asked, lists, test[Columns.UserItem], train[Columns.UserItem])
    if options.out.suffix == ".parquet":
        lists.to_parquet(options.out, index=False)
    else:
        lists.to_csv(options.out, index=False, float_format="%.5g")
    said = {name: float(value) for name, value in found.items()}
    print(json.dumps({"rectools": version("rectools"), "users": len(users), "metrics": said}, indent=1))


if __name__ == "__main__":
    main()
