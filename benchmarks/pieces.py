"""Three small pieces of our own against what the libraries below offer for the same.

    python benchmarks/pieces.py [--rows 10000000] [--rounds 3]

- order: rows by user and time, file order among ties: one packed 64-bit key, `numpy.lexsort`, a stable Polars
  sort of two columns;
- number: a column of integer ids to indices by first appearance: a table over their range, Arrow's hashing;
- coalesce: the gradient of 51,200 rows of width 64: `coalesced`, `Tensor.coalesce`.

All versions of a piece give the same answer (asserted) and take turns. Best of the rounds, in CPU seconds of
the whole process.
"""

import argparse
import time
from collections.abc import Callable, Mapping

import numpy as np
import polars as pl
import torch

from penchant.data.ordering import sorted_rows
from penchant.data.vocabulary import FIRST, number
from penchant.train.optim import coalesced


def race(name: str, versions: Mapping[str, Callable[[], np.ndarray]], rounds: int) -> None:
    """Times the versions in turns and prints a line."""
    seconds: dict[str, list[float]] = {version: [] for version in versions}
    for _ in range(rounds):
        answers: list[np.ndarray] = []
        for version, work in versions.items():
            begin = time.process_time()
            answers.append(work())
            seconds[version].append(time.process_time() - begin)
        assert all(np.allclose(answers[0], other, atol=1e-4) for other in answers[1:]), name
    best = {version: min(found) for version, found in seconds.items()}
    ours = next(iter(best.values()))
    print(f"{name}: " + ", ".join(f"{v} {s:.3g} s ({s / ours:.1f}x)" for v, s in best.items()), flush=True)


def main() -> None:
    """Runs the three races."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    user = rng.integers(2, asked.rows // 100 + 3, asked.rows, dtype=np.int32)
    ticks = rng.integers(0, 10**8, asked.rows) + 1_600_000_000
    frame = pl.DataFrame({"user": user, "ticks": ticks}).with_row_index("row")
    race(
        "order",
        {
            "packed": lambda: sorted_rows(user, ticks),  # type: ignore[dict-item]
            "lexsort": lambda: np.lexsort([ticks, user]),
            "polars": lambda: frame.sort("user", "ticks", maintain_order=True)["row"].to_numpy(),
        },
        asked.rounds,
    )

    ids = pl.Series(user.astype(np.int64) * 3)
    encoded: Callable[[], np.ndarray] = lambda: (  # noqa: E731
        ids.to_arrow().dictionary_encode().indices.to_numpy(zero_copy_only=False) + FIRST
    )
    race("number", {"table": lambda: number(ids)[0], "hashing": encoded}, asked.rounds)

    rows, values = torch.from_numpy(rng.integers(0, 50_000, 51_200)), torch.randn(51_200, 64)
    grad = torch.sparse_coo_tensor(rows.unsqueeze(0), values, (50_000, 64), check_invariants=False)
    race(
        "coalesce",
        {
            "ours": lambda: coalesced(grad).values().numpy(),
            "torch": lambda: grad.coalesce().values().numpy(),
        },
        10 * asked.rounds,
    )


if __name__ == "__main__":
    main()
