import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from penchant.train import fit
from train.ranks import rows
from train.tiny import Line, weights

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What two processes that `torchrun` started say, and their weights."""
    folder = tmp_path_factory.mktemp("ranks")
    path = os.pathsep.join([str(HERE.parent), *sys.path])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, HERE / "ranks.py", folder],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [
        (json.loads((folder / f"rank-{r}.json").read_text()), load_file(folder / f"rank-{r}.safetensors"))
        for r in range(2)
    ]


def test_two_processes_learn_what_one_does(ranks):
    one = fit(
        Line(),
        rows(),
        epochs=3,
        valid=lambda model: {"loss": float(model.head.weight.detach().square().sum())},
    )
    (told, first), (told_too, second) = ranks
    for name, expected in weights(one).items():
        torch.testing.assert_close(first[name], expected, atol=1e-6, rtol=0)
        assert torch.equal(first[name], second[name])
    assert told["log"] == told_too["log"]
    assert [loss for loss, _ in told["log"]] == pytest.approx(
        [row["loss"] for row in one.training_log], abs=1e-6
    )
    assert (told["asked"], told_too["asked"]) == (3, 0), "one process validates"


def test_sparse_gradients_are_refused_by_several_processes(ranks):
    for told, _ in ranks:
        assert "'table'" in told["refused"]
