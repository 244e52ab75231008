"""Trains `Line` in as many processes as `torchrun` started: `ranks.py FOLDER {dense,sparse}`."""

import os
import sys
from pathlib import Path

import torch

from penchant.data import Source
from penchant.errors import TrainingError
from penchant.train import Checkpoint, fit, save_weights
from train.tiny import Line, Rows


def rows():
    """Ten examples of unequal weight, so that processes have unequal shares of every batch."""
    return Source(
        Rows(
            [1, 2, 3, 4, 1, 2, 3, 4, 1, 2],
            [float(i % 4) for i in range(10)],
            [1.0, 5, 0, 2, 1, 1, 3, 0.5, 2, 1],
        ),
        batch_size=4,
    )


def main(folder, kind):
    torch.set_num_threads(1)
    asked = []

    def valid(model):
        asked.append(os.environ["RANK"])
        return {"loss": float(model.head.weight.detach().square().sum())}

    model = Line(sparse=kind == "sparse")
    try:
        checkpoint = Checkpoint(folder / "run", every=0)
        fit(model, rows(), valid=valid, epochs=3, device="cpu", checkpoint=checkpoint, progress=False)
    except TrainingError as error:
        (folder / f"refused-{os.environ['RANK']}").write_text(str(error))
        return
    save_weights(model, folder / f"rank-{os.environ['RANK']}.safetensors")
    (folder / f"asked-{os.environ['RANK']}").write_text(str(len(asked)))
    (folder / f"log-{os.environ['RANK']}").write_text(
        repr([(r["loss"], r["examples"]) for r in model.training_log])
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
