"""Trains `Line` in as many processes as `torchrun` started: `ranks.py FOLDER`."""

import json
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


def main(folder):
    torch.set_num_threads(1)
    rank, asked = os.environ["RANK"], []

    def valid(model):
        asked.append(rank)
        return {"loss": float(model.head.weight.detach().square().sum())}

    checkpoint = Checkpoint(folder / "run", every=0)
    model = fit(Line(), rows(), valid=valid, epochs=3, device="cpu", checkpoint=checkpoint, progress=False)
    save_weights(model, folder / f"rank-{rank}.safetensors")
    told = {"asked": len(asked), "log": [[row["loss"], row["examples"]] for row in model.training_log]}
    try:
        fit(Line(sparse=True), rows(), device="cpu", progress=False)
    except TrainingError as error:
        told["refused"] = str(error)
    (folder / f"rank-{rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
