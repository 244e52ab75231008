"""What every experiment needs: runs that are kept, one row each, and tables written from them.

A cell says a run whole (model, settings, seed, part). Its row is one line of `docs/results/NAME.jsonl`,
written when the run is done; a cell that has a row is never run again, so an experiment goes on where it was
killed, and a grid that grows runs what is new. Delete a line to have it run again.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from scipy.stats import t

from penchant.data.atomic import atomic_file

RESULTS = Path(__file__).parents[1] / "docs" / "results"
CHECKPOINTS = Path(__file__).parents[1] / "runs"

Cell = dict[str, Any]
Row = dict[str, Any]


def options(description: str) -> argparse.Namespace:
    """`--grid small|full`, `--workers` and `--only`, of every experiment."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--grid", choices=["small", "full"], default="small", help="default: small")
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each; default: 2")
    parser.add_argument("--only", metavar="WORD", help="run the cells that hold this word, and write no page")
    return parser.parse_args()


def data_folder(name: str) -> Path:
    """A public data set's folder below PENCHANT_DATA."""
    if not (root := os.environ.get("PENCHANT_DATA")):
        raise SystemExit(f"set PENCHANT_DATA to the folder that holds {name}")
    return Path(root) / name


def run_cells(
    name: str, cells: Iterable[Cell], work: Callable[[Cell], Row], *, workers: int, only: str | None = None
) -> list[Row]:
    """The rows of some cells, in their order; cells without a row are run.

    Args:
        name: of the experiment: rows are in `docs/results/NAME.jsonl`.
        cells: what to run.
        work: from a cell to what was found; a function of a module, as it runs in processes of their own.
        workers: processes.
        only: a word that cells must hold to be run; the program ends when they are, as others may lack rows.
    """
    path = RESULTS / f"{name}.jsonl"
    cells, have = list(cells), _read(path)
    missing = [cell for cell in cells if _key(cell) not in have and (not only or only in _key(cell))]
    if missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
        with pool, Progress(*columns) as progress, path.open("a", encoding="utf-8") as file:
            bar = progress.add_task(f"{name}: {len(have)} rows kept", total=len(missing))
            for done in as_completed([pool.submit(_timed, work, cell) for cell in missing]):
                row = done.result()
                file.write(json.dumps(row) + "\n")
                file.flush()
                have[_key(row["cell"])] = row
                progress.advance(bar)
    if only:
        raise SystemExit(f"{name}: {len(missing)} rows more, of cells that hold {only!r}")
    return [have[_key(cell)] for cell in cells]


def rows_of(name: str, cells: Iterable[Cell]) -> list[Row]:
    """The rows that there are of some cells, in their order."""
    have = _read(RESULTS / f"{name}.jsonl")
    return [have[key] for key in map(_key, cells) if key in have]


def write_page(name: str, text: str) -> Path:
    """Writes `docs/results/NAME.md`."""
    path = RESULTS / f"{name}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as made:
        made.write_text(text, encoding="utf-8")
    return path


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; columns of figures stand to the right."""
    rows = list(rows)
    figures = [all(not row[i] or row[i][0] in "0123456789.+-" for row in rows) for i in range(len(head))]
    lines = [head, ["---:" if right else "---" for right in figures], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Mean over seeds, and half the width of its Student interval (nan for one value)."""
    found = np.asarray(values, float)
    if len(found) < 2:
        return float(found.mean()), float("nan")
    half = t.ppf((1 + level) / 2, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found))
    return float(found.mean()), float(half)


def _read(path: Path) -> dict[str, Row]:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    if lines and not lines[-1].endswith("\n"):  # cut off by a kill: that run is done again
        path.write_text("".join(lines[:-1]), encoding="utf-8")
        lines = lines[:-1]
    return {_key(row["cell"]): row for row in map(json.loads, lines)}


def _key(cell: Cell) -> str:
    return json.dumps(cell, sort_keys=True)


def _timed(work: Callable[[Cell], Row], cell: Cell) -> Row:
    torch.set_num_threads(1)
    wall, cpu = time.perf_counter(), time.process_time()
    found = work(cell)
    seconds = {"wall": round(time.perf_counter() - wall, 1), "cpu": round(time.process_time() - cpu, 1)}
    return {
        "cell": cell,
        "found": found,
        "seconds": seconds,
        "penchant": _commit(),
        "torch": torch.__version__,
    }


def _commit() -> str:
    """The commit of the code, with a plus where files differ from it."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=RESULTS, capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or "unknown"
