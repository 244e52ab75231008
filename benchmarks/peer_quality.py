"""Time to quality: RecTools and RePlay, each in its own environment.

    PYTHONPATH=PEERBENCH PEERS/peers/bin/python benchmarks/peer_quality.py --data DIR --only rectools-sampled
    PYTHONPATH=PEERBENCH PEERS/replay/bin/python benchmarks/peer_quality.py --data DIR --only replay-sampled

DIR holds Beauty.txt. What is run, and how it is timed, is said in `course.py`. Each learns as its
documentation shows it, in Lightning: by the softmax over all items, or over 256 sampled ones (RecTools draws
them for each position, RePlay for a batch).
"""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import course
import numpy as np
from bench import race

Rows = Iterator[dict[str, Any]]
Lists = Callable[[], np.ndarray]  # the best items of those asked
SHAPE = {"n_blocks": 1, "n_heads": 1, "n_factors": course.WIDTH, "session_max_len": course.HISTORY}
QUIET: dict[str, Any] = {
    "max_epochs": -1, "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
    "enable_checkpointing": False, "accelerator": "cpu",
}  # fmt: skip


def watch(lightning: Any, run: course.Course, lists: Lists) -> Any:
    """A callback that tells the course of every step, and stops the trainer when it is over."""

    class Watch(lightning.Callback):
        def on_train_start(self, *_: Any) -> None:
            run.start()

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
            def asked() -> np.ndarray:
                module.eval()
                found = lists()
                module.train()
                return found

            trainer.should_stop = run.step(len(next(iter(batch.values()))), asked)

        def __deepcopy__(self, memo: dict[int, Any]) -> "Watch":
            return self  # RecTools trains with a copy of the trainer

    return Watch()


def rectools(args: argparse.Namespace, loss: str) -> Rows:
    """`SASRecModel`."""
    import pandas as pd
    import pytorch_lightning as pl
    from rectools.dataset import Dataset
    from rectools.models import SASRecModel

    pl.seed_everything(0)
    log = course.beauty(args.data, args.asked)
    rows = log.learned
    frame = {"user_id": log.user[rows], "item_id": log.item[rows], "weight": 1.0}
    train = Dataset.construct(pd.DataFrame(frame | {"datetime": pd.to_datetime(rows, unit="s")}))
    run = course.Course(log, args.goal, args.cap)

    def lists() -> np.ndarray:
        model.is_fitted = True  # it is asked before its training is over
        found = model.recommend(users=log.asked, dataset=train, k=course.CUTOFF, filter_viewed=True)
        best = np.zeros((len(log.asked), course.CUTOFF), np.int64)
        best[np.searchsorted(log.asked, found["user_id"]), found["rank"] - 1] = found["item_id"]
        return best

    model = SASRecModel(
        **SHAPE, dropout_rate=course.DROPOUT, batch_size=course.BATCH, lr=course.LEARNING_RATE, loss=loss,
        n_negatives=course.NEGATIVES,
        get_trainer_func=lambda: pl.Trainer(**QUIET, callbacks=[watch(pl, run, lists)]),
    )  # fmt: skip
    model.fit(train)
    yield run.row(loss=loss)


def replay(args: argparse.Namespace, *, sampled: bool) -> Rows:
    """`SasRec` on a `ParquetModule`."""
    import lightning
    import polars as pl
    import torch
    from replay.data import FeatureHint, FeatureType
    from replay.data.nn import ParquetModule, TensorFeatureInfo, TensorSchema
    from replay.nn.lightning import LightningModule
    from replay.nn.loss import CESampled
    from replay.nn.sequential import SasRec
    from replay.nn.transform import UniformNegativeSamplingTransform
    from replay.nn.transform.template import make_default_sasrec_transforms

    lightning.seed_everything(0)
    log = course.beauty(args.data, args.asked)
    pad = log.items  # items count from 0 there, and the number of items is the padding
    rows = log.learned
    histories = pl.DataFrame({"user_id": log.user[rows], "item_id": log.item[rows] - 1})
    histories = histories.group_by("user_id", maintain_order=True).agg("item_id")
    histories.filter(pl.col("item_id").list.len() > 1).write_parquet("train.parquet")
    schema = TensorSchema([TensorFeatureInfo(
        "item_id", FeatureType.CATEGORICAL, is_seq=True, feature_hint=FeatureHint.ITEM_ID, cardinality=pad,
        padding_value=pad, embedding_dim=course.WIDTH,
    )])  # fmt: skip
    model = SasRec.from_params(
        schema=schema, embedding_dim=course.WIDTH, num_heads=1, num_blocks=1, dropout=course.DROPOUT,
        max_sequence_length=course.HISTORY,
    )  # fmt: skip
    transforms = make_default_sasrec_transforms(schema)
    if sampled:
        transforms["train"].append(UniformNegativeSamplingTransform(pad, course.NEGATIVES))
        model.loss = CESampled()
        model.loss.logits_callback = model.get_logits
    data = ParquetModule(
        {"train": course.BATCH}, {"train": {"item_id": {"shape": course.HISTORY + 1, "padding": pad}}},
        {"train": transforms["train"]}, train_path="train.parquet",
    )  # fmt: skip

    newest = np.full((len(log.asked), course.HISTORY), pad)
    had = [histories["item_id"][int(user) - 1].to_numpy() for user in log.asked]
    for row, items in zip(newest, had, strict=True):
        row[-len(items) :] = items[-course.HISTORY :]
    newest = torch.from_numpy(newest)

    def lists() -> np.ndarray:
        found = []
        with torch.no_grad():
            for begin in range(0, len(newest), 256):
                part = newest[begin : begin + 256]
                logits = model({"item_id": part}, part != pad)["logits"]
                for row, items in zip(logits, had[begin : begin + 256], strict=True):
                    row[items] = -torch.inf
                found.append(logits.topk(course.CUTOFF).indices + 1)
        return torch.cat(found).numpy()

    run = course.Course(log, args.goal, args.cap)
    trainer = lightning.Trainer(**QUIET, limit_val_batches=0, callbacks=[watch(lightning, run, lists)])
    trainer.fit(LightningModule(model), datamodule=data)
    yield run.row(loss="CESampled" if sampled else "CE")


if __name__ == "__main__":
    race(
        {
            "rectools-softmax": ("rectools", lambda args: rectools(args, "softmax")),
            "rectools-sampled": ("rectools", lambda args: rectools(args, "sampled_softmax")),
            "replay-softmax": ("replay-rec", lambda args: replay(args, sampled=False)),
            "replay-sampled": ("replay-rec", lambda args: replay(args, sampled=True)),
        },
        course.options,
    )
