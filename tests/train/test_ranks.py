import ast
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


def start(folder, kind):
    path = os.pathsep.join([str(HERE.parent), *sys.path])
    env = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    ranks = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*ranks, HERE / "ranks.py", folder, kind], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_two_processes_learn_what_one_does(tmp_path):
    start(tmp_path, "dense")
    one = fit(
        Line(),
        rows(),
        epochs=3,
        valid=lambda model: {"loss": float(model.head.weight.detach().square().sum())},
    )
    first, second = (load_file(tmp_path / f"rank-{rank}.safetensors") for rank in "01")
    for name, expected in weights(one).items():
        torch.testing.assert_close(first[name], expected, atol=1e-6, rtol=0)
        assert torch.equal(first[name], second[name])
    logs = [ast.literal_eval((tmp_path / f"log-{rank}").read_text()) for rank in "01"]
    assert logs[0] == logs[1]
    assert [loss for loss, _ in logs[0]] == pytest.approx([row["loss"] for row in one.training_log], abs=1e-6)
    assert [(tmp_path / f"asked-{rank}").read_text() for rank in "01"] == ["3", "0"], "one process validates"


def test_sparse_gradients_are_refused_by_several_processes(tmp_path):
    start(tmp_path, "sparse")
    for rank in "01":
        assert "'table'" in (tmp_path / f"refused-{rank}").read_text()
