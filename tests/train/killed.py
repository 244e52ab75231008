"""Trains unbroken, then again with a process that is killed and started anew until it comes to its end.

`killed.py FOLDER SEED` prints how often it was killed in mid-run, and leaves unbroken.safetensors and
resumed.safetensors in the folder. All processes are forks of one, which imports torch once.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import lightning_fabric  # noqa: F401  (before the forks)
import torch

from penchant.train import Checkpoint, fit, save_weights
from train.tiny import Tiny, hits, planted


class Counting:
    """Weighs examples by what the model knows: asked in mid-epoch it would answer something else."""

    def weights(self, model, source, epoch):
        size = float(model.after.weight.detach().square().mean())
        return 1 + torch.rand(len(source.examples)) * (1 + size)


def train(out, checkpoint=None):
    torch.set_num_threads(2)
    split = planted(40)
    model = Tiny(split.log.features, dropout=0.3)
    fit(
        model, split, valid=hits, epochs=4, patience=4, batch_size=6, seed=5, weigher=Counting(),
        checkpoint=checkpoint, progress=False,
    )  # fmt: skip
    save_weights(model, out)


def attempt(work, until=lambda: False):
    """Runs `work` in a process of its own, killed as soon as `until`; how that process ended."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if until():
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1]
        time.sleep(0.001)


def steps(folder):
    """Steps done in the state that is kept; -1: none yet."""
    manifest = folder / "state" / "manifest.json"
    return json.loads(manifest.read_text())["state"]["step"] if manifest.exists() else -1


def main(folder, seed):
    assert attempt(lambda: train(folder / "unbroken.safetensors")) == 0
    out, checkpoint, draw = folder / "resumed.safetensors", folder / "run", random.Random(seed)
    kills = 0
    while not out.exists():
        target = steps(checkpoint) + draw.randint(1, 9)

        def reached(target=target):
            if steps(checkpoint) < target:
                return False
            time.sleep(draw.uniform(0, 0.03))  # somewhere in the next step, or in writing what it led to
            return True

        status = attempt(lambda: train(out, Checkpoint(checkpoint, every=0)), reached)
        assert status == 0 or os.WIFSIGNALED(status), "it failed by itself"
        kills += status != 0
    print(kills)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
