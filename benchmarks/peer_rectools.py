"""RecTools' other ways to train SASRec: sampled losses, and the flat network of its `fast_transformers`.

    PYTHONPATH=PEERBENCH PEERS/peers/bin/python benchmarks/peer_rectools.py --data FOLDER
        [--only flat sampled bce] [--seconds 6] [--negatives 128]

Run by the peer's own Python with peerbench's harness on its path; `run.py` does so. What is timed, and how
targets are counted, is as in peerbench's race 2: from the first step of a fresh process, in the loop that
the library has for it. `FlatSASRecNet` comes without a loop of its own: its data set (`build_sequences`,
`SequenceBatchDataset`) goes through a DataLoader into a bare PyTorch loop, which costs less than Lightning.
Its width, depth and heads are ours; its feed-forward layers are four times as wide, as it fixes that.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from bench import race, row, stopwatch
from race_sasrec import Budget

from logs import SASREC_RECTOOLS, last_of_each_user, load_log, rectools_frame

Rows = Iterator[dict[str, Any]]


def trained(loss: str, args: argparse.Namespace, negatives: int) -> Rows:
    """`SASRecModel` with this loss."""
    import pytorch_lightning as pl
    from rectools.dataset import Dataset
    from rectools.models import SASRecModel

    pl.seed_everything(0)
    log = load_log(args.data)
    train = Dataset.construct(rectools_frame(log, np.setdiff1d(log.time, last_of_each_user(log))))
    sequences = int((np.bincount(log.user)[1:] > 2).sum())
    held: dict[str, Any] = {}  # RecTools trains with a copy of the trainer: state kept on the object is lost

    class Watch(pl.Callback):
        def on_train_start(self, *_: Any) -> None:
            held.update(budget=Budget(args, sequences), context=stopwatch())
            held["clock"] = held["context"].__enter__()

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
            held["budget"].sequences += len(batch["x"])
            held["budget"].targets += int((batch["y"] != 0).sum())
            trainer.should_stop = held["budget"].spent()

        def on_train_end(self, *_: Any) -> None:
            held["context"].__exit__(None, None, None)

    def trainer() -> Any:
        return pl.Trainer(
            max_epochs=-1, logger=False, enable_progress_bar=False, enable_model_summary=False,
            enable_checkpointing=False, accelerator="cpu", callbacks=[Watch()],
        )  # fmt: skip

    SASRecModel(**SASREC_RECTOOLS, loss=loss, n_negatives=negatives, get_trainer_func=trainer).fit(train)
    clock = held["clock"]
    yield row(f"SASRec train, {loss}", clock, held["budget"].targets, "targets", log.sizes)


def sampled(args: argparse.Namespace) -> Rows:
    """Softmax over the target and `--negatives` items drawn for each position."""
    yield from trained("sampled_softmax", args, args.negatives)


def bce(args: argparse.Namespace) -> Rows:
    """Binary cross-entropy with `--negatives` items drawn for each position."""
    yield from trained("BCE", args, args.negatives)


def flat(args: argparse.Namespace) -> Rows:
    """`FlatSASRecNet`, softmax over all items."""
    import torch
    from rectools.fast_transformers import FlatSASRecNet, SequenceBatchDataset, build_sequences

    log = load_log(args.data)
    kept = np.setdiff1d(log.time, last_of_each_user(log))
    columns = (torch.from_numpy(column[kept]) for column in (log.user, log.item, log.time))
    size = SASREC_RECTOOLS
    x, y, items, _ = build_sequences(*columns, max_len=size["session_max_len"])
    net = FlatSASRecNet(
        n_items=len(items), n_factors=size["n_factors"], n_blocks=size["n_blocks"], n_heads=size["n_heads"],
        session_max_len=size["session_max_len"], dropout=0.2,
    ).train()  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    loader = torch.utils.data.DataLoader(
        SequenceBatchDataset(x, y), batch_size=size["batch_size"], shuffle=True
    )
    budget = Budget(args, len(x))
    with stopwatch() as clock:
        while not budget.spent():
            for batch in loader:
                optimizer.zero_grad()
                logits = net(batch)  # of item 1 and later ones, so 0 is no target once 1 is taken away
                loss = torch.nn.functional.cross_entropy(
                    logits.flatten(0, 1), batch["y"].flatten() - 1, ignore_index=-1
                )
                loss.backward()
                optimizer.step()
                budget.sequences += len(batch["x"])
                budget.targets += int((batch["y"] != 0).sum())
                if budget.spent():
                    break
    if not loss.isfinite():
        raise ArithmeticError(f"the loss became {loss.item()}")
    yield row("SASRec train, flat", clock, budget.targets, "targets", log.sizes, loss=round(loss.item(), 3))


def options(parser: argparse.ArgumentParser) -> None:
    """What this race has beside the harness's arguments."""
    parser.add_argument("--seconds", type=float, default=6, help="of training, a way")
    parser.add_argument("--epochs", type=float, default=float("inf"))
    parser.add_argument("--negatives", type=int, default=128, help="drawn for each position")


if __name__ == "__main__":
    ways: dict[str, Callable[[argparse.Namespace], Rows]] = {"flat": flat, "sampled": sampled, "bce": bce}
    race({name: ("rectools", way) for name, way in ways.items()}, options)
