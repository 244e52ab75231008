"""A process that saves again and again, and is killed in the middle of it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# `save(path, life, n)` comes from what stands before; a child is forked for each life, and killed at random
_LIVES = """
import itertools, os, random, signal, sys, time
dice = random.Random(0)
for _ in sys.stdin:  # a line asks for one more life and death
    hear, tell = os.pipe()
    child = os.fork()
    if not child:
        for n in itertools.count():
            save(sys.argv[1], f"life {os.getpid()}", n)
            os.write(tell, b".")
    os.read(hear, 1)  # it has saved once
    start = time.perf_counter()
    os.read(hear, 1)
    time.sleep(dice.random() * (time.perf_counter() - start))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print("killed", flush=True)
"""


def deaths(code: str, path: Path, count: int) -> Iterator[None]:
    """Yields after each of `count` kills while something is saved to `path`.

    Args:
        code: defines `save(path, life, n)`; a life is a text of its own, and saves for n = 0, 1, ...
        path: what is written.
        count: lives and deaths.
    """
    killer = subprocess.Popen(
        [sys.executable, "-c", code + _LIVES, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert killer.stdin is not None
    assert killer.stdout is not None
    with killer:
        for _ in range(count):
            killer.stdin.write("again\n")
            killer.stdin.flush()
            assert killer.stdout.readline() == "killed\n"
            yield
        killer.stdin.close()
