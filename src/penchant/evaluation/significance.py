"""Whether two systems differ by more than chance: paired permutation tests over users, and many at once."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.errors import ArgumentError, nearest
from penchant.evaluation.compare import Floats, Interval, Verdict, bootstrap, too_few

_EXACT = 12  # users that differ: up to so many, all 2^12 flips are looked at
_CELLS = 1 << 22  # flips held at once, as float64: 32 MB
_ROUNDED = 1e-6  # what 1 - level may be off by, in units of itself
_EQUAL = 1e-12  # of the sum of all differences: sums in another order are equal up to so much


@dataclass(frozen=True)
class Comparison:
    """One metric of two systems, held against each other over the same users.

    Attributes:
        metric: its name.
        a, b: the means of the two systems.
        difference: b minus a, with its paired bootstrap interval; what it rests on.
        p: of the two-sided permutation test.
        p_holm: the same after Holm's correction over all metrics compared with it.
        level: 1 - alpha.
    """

    metric: str
    a: float
    b: float
    difference: Interval
    p: float
    p_holm: float
    level: float

    @property
    def verdict(self) -> Verdict:
        """Whether b is higher or lower than a, by the corrected p; or that nobody can tell.

        This decides, and not the interval beside it (`Interval.verdict`), which is of one metric alone.
        """
        if too_few(self.difference.users):
            return "too few users to tell"
        if not self.p_holm <= 1 - self.level:
            return "no clear difference"
        return "higher" if self.difference.value > 0 else "lower"

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self) | {"verdict": self.verdict}


def compare_values(
    a: Mapping[str, Floats],
    b: Mapping[str, Floats],
    users: NDArray[Any],
    *,
    metrics: Sequence[str] | None = None,
    weights: Floats | None = None,
    resamples: int = 2000,
    permutations: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Comparison, ...]:
    """Holds two systems against each other, metric by metric, over users.

    The unit is the user: all queries of one are drawn together (interval) and exchanged together (test). A
    mean is a ratio of sums over queries, as in `bootstrap`, so users with more queries weigh more. Holm's
    correction bounds the chance of a single false verdict among all metrics compared, so name those that you
    decide by: each further one costs power.

    Args:
        a: values by query, by metric: `result.systems[1].per_query`.
        b: likewise, of the same queries: `result.systems[0].per_query`.
        users: whose query each is: `result.users`.
        metrics: which; None: all that both have.
        weights: of queries, at least 0; 1 by default.
        resamples: of users, for the interval; 0 for none.
        permutations: for the test; see `permutation_test`.
        level: of the intervals; a verdict needs a corrected p of at most 1 - level.
        seed: of all draws.

    Shapes: values, users and weights [Q].
    Returns: a comparison a metric, in the order asked for.
    Raises: ArgumentError where a metric is unknown or named twice, where so few permutations could never
        reach the level, or as `bootstrap` raises.

    >>> rng = np.random.default_rng(0)
    >>> ours, theirs = rng.normal(1.0, 1.0, 50), rng.normal(0.0, 1.0, 50)
    >>> (found,) = compare_values({"m": theirs}, {"m": ours}, np.arange(50))
    >>> found.verdict, found.p < 0.001
    ('higher', True)
    """
    names = list(metrics) if metrics is not None else [name for name in a if name in b]
    for name in names:
        if name not in a or name not in b:
            known = [other for other in a if other in b]
            raise ArgumentError("metrics", name, expected=f"one that was measured ({nearest(name, known)})")
        if names.count(name) > 1:
            raise ArgumentError("metrics", name, expected="every metric once")
    if not names:
        raise ArgumentError("metrics", names, expected="at least one metric")
    _whole("permutations", permutations, 1)
    # p is at least 1 / (permutations + 1)
    if 0 < level < 1 and (permutations + 1) * (1 - level) < 1 - _ROUNDED:
        least = math.ceil(1 / (1 - level) - _ROUNDED) - 1
        raise ArgumentError(
            "permutations", permutations, expected=f"at least {least:,}: fewer cannot tell at level {level:g}"
        )
    one, two = ({name: values[name] for name in names} for values in (a, b))
    found = permutation_test(one, two, users, weights=weights, permutations=permutations, seed=seed)
    drawn = bootstrap(
        {"a": one, "b": two}, users, weights=weights, resamples=resamples, level=level, seed=seed
    )
    corrected = holm(list(found.values()))
    return tuple(
        Comparison(
            name, drawn.interval("a", name).value, drawn.interval("b", name).value,
            drawn.difference("b", "a", name), found[name], float(p), level,
        )
        for name, p in zip(names, corrected, strict=True)
    )  # fmt: skip


def permutation_test(
    a: Mapping[str, Floats],
    b: Mapping[str, Floats],
    users: NDArray[Any],
    *,
    weights: Floats | None = None,
    permutations: int = 10_000,
    seed: int = 0,
) -> dict[str, float]:
    """How often chance alone would part two systems as far as they are: p by metric, two-sided and paired.

    If it made no difference which system served a user, the two could be exchanged for all queries of that
    user: the sign of the user's difference d_u = sum over queries of w (b - a) would turn. The statistic is
    that of the mean difference, |sum of d_u| over a denominator, sum of w, that no exchange changes. Where at
    most 12 users differ at all, every one of the exchanges is counted and p is exact; else
    p = (k + 1) / (permutations + 1) for the k of so many random exchanges that reach the observed sum
    (the one observed counts as one of them, so p is never 0, and never too small). All metrics are tested on
    the same exchanges.

    Args:
        a: values by query, by metric.
        b: likewise. A query where a metric is NaN for either is left out of it.
        users: whose query each is.
        weights: of queries, at least 0; 1 by default.
        permutations: random exchanges, where not all are counted; the smallest p is one over these plus 1.
        seed: of the exchanges.

    Shapes: values, users and weights [Q].
    Returns: p by metric: 1 where no user differs, NaN where none can be compared.
    Raises: ArgumentError where lengths or metrics differ, a value or weight is infinite, `permutations` is no
        integer of at least 1, or `seed` none of at least 0.
    Source: Fisher 1935; Phipson and Smyth 2010 for the + 1.

    >>> ones, zeros = {"m": np.ones(5)}, {"m": np.zeros(5)}
    >>> permutation_test(ones, zeros, np.arange(5))["m"] == 2 / 2**5
    True
    """
    _whole("permutations", permutations, 1)
    _whole("seed", seed, 0)
    if set(a) != set(b):
        raise ArgumentError("b", sorted(set(a) ^ set(b)), expected="the same metrics as in a")
    users = np.asarray(users)
    weight = np.ones(len(users)) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != users.shape or not (weight >= 0).all():
        raise ArgumentError("weights", list(weight.shape), expected="one of at least 0 a query")
    _finite("weights", weight)
    for side, values in (("a", a), ("b", b)):
        for name, column in values.items():
            if np.shape(column) != users.shape:
                shape = list(users.shape)
                raise ArgumentError(name, list(np.shape(column)), expected=f"one value a query, {shape}")
            _finite(f"{side}[{name!r}]", np.asarray(column, dtype=np.float64))
    owner = np.unique(users, return_inverse=True)[1]
    apart = np.zeros((int(owner.max(initial=-1)) + 1, len(a)))  # [U, M]
    known = np.zeros(len(a), dtype=bool)
    for m, name in enumerate(a):
        difference = np.asarray(b[name], dtype=np.float64) - np.asarray(a[name], dtype=np.float64)
        usable = ~np.isnan(difference) & (weight > 0)
        known[m] = usable.any()
        apart[:, m] = np.bincount(owner, np.where(usable, weight * difference, 0.0), len(apart))
    apart = apart[(apart != 0).any(1)]  # to exchange equals changes nothing
    whole = apart.sum(0)
    observed = np.abs(whole) - _EQUAL * np.abs(apart).sum(0)
    exact = len(apart) <= _EXACT
    reached = np.zeros(len(a), dtype=np.int64)
    total = 0
    for turned in _all(len(apart)) if exact else _random(len(apart), permutations, seed):
        # sum of s d for s = 1 - 2 t is sum of d - 2 sum of t d
        reached += (np.abs(whole - 2 * (turned @ apart)) >= observed).sum(0)
        total += len(turned)
    p = reached / total if exact else (reached + 1) / (total + 1)
    return {name: float(p[m]) if known[m] else float("nan") for m, name in enumerate(a)}


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ArgumentError(name, value, expected=f"an integer of at least {least}")


def _finite(name: str, values: Floats) -> None:
    """ArgumentError that names the first infinite one."""
    if len(found := np.isinf(values).nonzero()[0]):
        place = int(found[0])
        raise ArgumentError(
            f"{name}[{place}]", float(values[place]), expected="a finite number",
            fix="say NaN, which is left out, where nothing was measured",
        )  # fmt: skip


def _all(users: int) -> Iterator[Floats]:
    """Every way to exchange the systems for some users, [2^users, users] of 0 and 1."""
    yield (np.arange(2**users)[:, None] >> np.arange(users) & 1).astype(np.float64)


def _random(users: int, count: int, seed: int) -> Iterator[Floats]:
    """`count` random ways in blocks [n, users] of 0 and 1."""
    rng = np.random.default_rng(seed)
    rows = max(1, _CELLS // users)
    wide = -(-users // 8)
    for begin in range(0, count, rows):
        coins = rng.integers(0, 256, (min(rows, count - begin), wide), dtype=np.uint8)
        yield np.unpackbits(coins, axis=1, count=users).astype(np.float64)


def holm(p: Sequence[float] | Floats) -> Floats:
    """P-values corrected so that the chance of any false rejection among them stays below alpha.

    The i-th smallest of m (from 1) becomes the largest of (m - j + 1) p_j over all j up to i, at most 1. No
    assumption is made on how the tests depend on each other. NaN is no test: it stays, and is not counted.

    Args:
        p: p-values.

    Shapes: [M], returns [M].
    Raises: ArgumentError if one is outside [0, 1].
    Source: Holm 1979.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(p, dtype=np.float64)
    known = ~np.isnan(given)
    if ((given[known] < 0) | (given[known] > 1)).any():
        raise ArgumentError("p", given.tolist(), expected="numbers in [0, 1]")
    tests = given[known]
    order = np.argsort(tests, kind="stable")
    scaled = np.minimum(tests[order] * (len(tests) - np.arange(len(tests))), 1.0)
    adjusted = np.empty_like(tests)
    adjusted[order] = np.maximum.accumulate(scaled)
    found = given.copy()
    found[known] = adjusted
    return found
