"""Time to quality: ours, one run in a process of its own.

    python benchmarks/quality.py --data FOLDER [--goal 0.045] [--cap 12] [--asked 5000] [--threads 1]

FOLDER holds Beauty.txt. What is run, and how it is timed, is said in `course.py`; SASRec learns here by the
softmax over 256 sampled items that a batch shares. It prints one JSON line; `run.py` takes its figures from
there, in turn with those of `peer_quality.py`.
"""

import argparse
import json
from pathlib import Path

import course
import numpy as np
import torch
from learner import Learner

from penchant.data import datasets, split_leave_last
from penchant.retrieve import SASRec

USERS = 256  # users a block of questions


def main() -> None:
    """Runs the course and prints its row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    course.options(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    log = course.beauty(options.data, options.asked)
    split = split_leave_last(datasets.amazon_yelp(options.data))
    queries = split.valid()
    wanted = torch.from_numpy(split.log.users.vocabulary.index(log.asked))
    queries = queries.rows(torch.searchsorted(queries.user, wanted))
    ids = split.log.catalogue.vocabulary
    model = SASRec(
        split.log.features, width=course.WIDTH, depth=1, heads=1, history=course.HISTORY,
        dropout=course.DROPOUT, objective="sampled", negatives=course.NEGATIVES,
    )  # fmt: skip

    def lists() -> np.ndarray:
        model.eval()
        best = [
            model.retrieve(queries.requests(begin, stop, exclude_seen=True), course.CUTOFF).item
            for begin, stop in queries.chunks(USERS)
        ]
        model.train()
        found = torch.cat(best)
        return ids.ids(found.flatten().numpy()).fill_null(0).to_numpy().reshape(found.shape)

    model.prepare(split)
    learner = Learner(model, course.LEARNING_RATE)
    source = model.source(split, batch_size=course.BATCH, seed=0)
    torch.default_generator.manual_seed(0)  # dropout
    run = course.Course(log, options.goal, options.cap)
    run.start()
    while not run.over:
        for batch in source:
            learner.step(batch)
            if run.step(len(batch), lists):
                break
        source.set_epoch(source.epoch + 1)
    print(json.dumps(run.row(peer="penchant", loss="sampled softmax")))


if __name__ == "__main__":
    main()
