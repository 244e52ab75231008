"""DIN's training rate on MovieLens-100k at the sizes of the peers' race.

    PENCHANT_DATA=... python benchmarks/din.py [--seconds 8] [--threads 1] [--once]

Batches of 1,024 events, history 50, width 16, attention 80-40, head 200-80, Dice, batch norm, user ids, Adam
at 1e-3: one pass over the first 80 % of the events in time (or `seconds` of it), learning whether a rating
is 4 or more; then the AUC of the last 10 %. What is timed holds making the batches, too. `--once` prints one
JSON line, as the peers' scripts do; `run.py` takes its figures from there, in turn with the peers'.
"""

import argparse
import json
import os
import time
from pathlib import Path

import torch
from learner import Learner

from penchant.data import Requests, Split, at_least, datasets, split_by_time
from penchant.evaluation import auc
from penchant.rank import DIN

BATCH = 1024  # events a step


def once(split: Split, seconds: float) -> dict[str, object]:
    """One run from cold, as the peers' scripts print it."""
    model = DIN(
        split.log.features, width=16, history=50, attention=(80, 40), head=(200, 80), head_inputs="paper",
        user_id=True, negatives=0,
    )  # fmt: skip
    model.prepare(split)
    learner = Learner(model)
    source, done = model.source(split, batch_size=BATCH, seed=0), 0
    wall, cpu = time.perf_counter(), time.process_time()
    for batch in source:
        learner.step(batch)
        done += len(batch)
        if time.perf_counter() > wall + seconds:
            break
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "peer": "penchant", "task": "DIN train", "processed": done, "unit": "examples", "cpu_s": cpu,
        "wall_s": wall, "rate_per_cpu_s": done / cpu, "quality": {"auc": round(quality(model, split), 4)},
    }  # fmt: skip


@torch.no_grad()
def quality(model: DIN, split: Split) -> float:
    """AUC over the events of the test part, disliked ones too."""
    rows = split.test.rows
    log, scores = split.log, []
    model.eval()
    for some in rows.split(BATCH):
        users = log.user_of(some)
        histories = split.histories(users, split.history_end(some), model.history)
        state = model.encode_user(Requests(users, histories, log.time.index_select(0, some)))
        scores.append(model.score(state, log.item.index_select(0, some).long().unsqueeze(1)).squeeze(1))
    return auc(torch.cat(scores), log.positive(rows).float())


def main() -> None:
    """Trains once and prints what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8, help="of training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--once", action="store_true", help="as a JSON line")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder = Path(os.environ["PENCHANT_DATA"]) / "movielens-100k"
    row = once(split_by_time(datasets.movielens_100k(folder, label=at_least("rating", 4))), options.seconds)
    if options.once:
        print(json.dumps(row))
    else:
        print(f"{row['rate_per_cpu_s']:,.0f} examples a CPU second; {row['quality']}")


if __name__ == "__main__":
    main()
