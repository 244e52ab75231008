"""How often a 95 % interval holds the true mean, by number of users: why few users are told nothing.

    python experiments/intervals.py [--grid small|full] [--workers 2]

Samples of users are drawn from laws whose mean is known, `bootstrap` makes its interval of each as `evaluate`
does, and the share of intervals that hold the true mean is counted. `evaluation/compare.py` takes the number
of users below which no verdict is given (`MIN_USERS`) from here.
"""

from collections.abc import Callable

import numpy as np
from _runs import Cell, Row, options, run_cells, table, write_page
from numpy.typing import NDArray

from penchant.evaluation.compare import MIN_USERS, bootstrap

NAME = "intervals"
USERS = (5, 10, 20, 50, 200)
SAMPLES = {"small": 2_000, "full": 10_000}
TOGETHER = 100  # samples that share their bootstrap draws (and, where a user has several queries, how many)
LEVEL = 0.95
EQUAL = "paired difference of hits, equal systems"
DISCOUNT = 1 / np.log2(np.arange(2, 12))

Values = NDArray[np.float64]
Law = Callable[[np.random.Generator, NDArray[np.int64]], Values]


def hits(rate: float) -> Law:
    """1 with this probability, else 0: recall@k with one target."""
    return lambda rng, owner: (rng.random((TOGETHER, len(owner))) < rate).astype(float)


def discounted(rng: np.random.Generator, owner: NDArray[np.int64]) -> Values:
    """A target found in one of five lists, at any of ten places: nDCG@10."""
    place = rng.integers(10, size=(TOGETHER, len(owner)))
    return np.where(rng.random(place.shape) < 0.2, DISCOUNT[place], 0.0)


def paired(rate: float) -> Law:
    """Hits of one system (1 in 4) less those of another: the same 4 times in 5, else at this rate."""

    def draw(rng: np.random.Generator, owner: NDArray[np.int64]) -> Values:
        one = rng.random((TOGETHER, len(owner))) < 0.25
        other = np.where(rng.random(one.shape) < 0.8, one, rng.random(one.shape) < rate)
        return one.astype(float) - other

    return draw


def alike(rng: np.random.Generator, owner: NDArray[np.int64]) -> Values:
    """Hits at a rate of the user's own, between 0 and a half."""
    rate = rng.random((TOGETHER, int(owner[-1]) + 1)) / 2
    return (rng.random((TOGETHER, len(owner))) < rate[:, owner]).astype(float)


LAWS: dict[str, tuple[Law, float, bool]] = {  # the law, its mean, whether users have several queries
    "hits, 1 in 10": (hits(0.1), 0.1, False),
    "hits, 1 in 4": (hits(0.25), 0.25, False),
    "nDCG@10, found 1 in 5": (discounted, 0.2 * float(DISCOUNT.mean()), False),
    "paired difference of hits": (paired(0.15), 0.2 * (0.25 - 0.15), False),
    EQUAL: (paired(0.25), 0.0, False),
    "hits, 1 to 9 queries a user": (alike, 0.25, True),
}


def main() -> None:
    """Runs what is missing of a grid and writes the page."""
    asked = options(__doc__ or "")
    cells = [
        {"law": law, "users": users, "samples": SAMPLES[asked.grid], "seed": 0}
        for law in LAWS
        for users in USERS
    ]
    rows = run_cells(NAME, cells, run, workers=asked.workers, only=asked.only)
    print(write_page(NAME, page(rows)).read_text("utf-8"))


def run(cell: Cell) -> Row:
    """Counts how many intervals of one law and one number of users hold the mean."""
    law, mean, several = LAWS[cell["law"]]
    held = 0
    for number in range(cell["samples"] // TOGETHER):
        rng = np.random.default_rng([cell["seed"], number])
        each = rng.integers(1, 10, cell["users"]) if several else np.ones(cell["users"], np.int64)
        owner = np.repeat(np.arange(cell["users"]), each)
        values = {str(i): row for i, row in enumerate(law(rng, owner))}
        found = bootstrap({"ours": values}, owner, level=LEVEL, seed=number)
        intervals = [found.interval("ours", name) for name in values]
        held += sum(i.low <= mean <= i.high for i in intervals)
    return {"held": held, "share": held / cell["samples"]}


def page(rows: list[Row]) -> str:
    """The results page, from rows alone."""
    share = {(row["cell"]["law"], row["cell"]["users"]): row["found"]["share"] for row in rows}
    ranges = [[share[law, users] for law in LAWS] for users in USERS]
    samples = rows[0]["cell"]["samples"]
    error = 100 * (LEVEL * (1 - LEVEL) / samples) ** 0.5
    return f"""# Intervals over few users

Written by `experiments/intervals.py` from `intervals.jsonl`; nothing here is typed.
Share of {LEVEL:.0%} percentile intervals that hold the true mean, {samples:,} samples a cell, 2,000 resamples
of users each (standard error of a share near {LEVEL:.0%}: {error:.1f} points). Below {MIN_USERS} users
penchant gives no verdict.

{table(["values", *(f"{users} users" for users in USERS)], [_line(law, share) for law in LAWS])}

From the worst law to the best: {"; ".join(_range(u, r) for u, r in zip(USERS, ranges, strict=True))}.

Differences of systems that mostly agree rest on the few users where they do not. A sample without such a user
gives the interval [0, 0], which misses a small true difference but is never called one. How often two equal
systems are called different: {"; ".join(f"{1 - share[EQUAL, u]:.1%} at {u} users" for u in USERS)}.
"""


def _line(law: str, share: dict[tuple[str, int], float]) -> list[str]:
    return [law, *(f"{share[law, users]:.1%}" for users in USERS)]


def _range(users: int, shares: list[float]) -> str:
    return f"{min(shares):.0%} to {max(shares):.0%} at {users}"


if __name__ == "__main__":
    main()
