"""Trains unbroken, then again with a process that is killed and started anew until it comes to its end.

`killed.py FOLDER SEED` prints how often it was killed in mid-run, and leaves unbroken.safetensors and
resumed.safetensors in the folder. All processes are forks of one, which imports torch once.
"""

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


def attempt(work, wait=None):
    """Runs `work` in a process of its own, killed after `wait` seconds; how that process ended."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    if wait is not None:
        time.sleep(wait)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def written(state):
    """When the state was written; 0: not yet."""
    return state.stat().st_mtime_ns if state.exists() else 0


def main(folder, seed):
    begun = time.monotonic()
    assert attempt(lambda: train(folder / "unbroken.safetensors")) == 0
    whole = time.monotonic() - begun
    checkpoint, draw = Checkpoint(folder / "run", every=0), random.Random(seed)
    out = folder / "resumed.safetensors"
    state = folder / "run" / "state"
    kills = 0
    for _ in range(12):
        before = written(state)
        status = attempt(lambda: train(out, checkpoint), wait=draw.uniform(0.2, 0.9) * whole)
        if status == 0:
            break
        assert os.WIFSIGNALED(status), "it failed by itself"
        kills += written(state) != before and not out.exists()
    assert attempt(lambda: train(out, checkpoint)) == 0
    print(kills)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
