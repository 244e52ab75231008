"""Arguments that several rankers share, checked."""

from collections.abc import Sequence
from typing import get_args

from penchant.errors import ArgumentError, nearest


def check_sizes(**sizes: int | Sequence[int]) -> None:
    """ArgumentError unless every size, or every size of a list, is at least 1."""
    for name, value in sizes.items():
        if any(size < 1 for size in ([value] if isinstance(value, int) else value)):
            expected = "an integer of at least 1" if isinstance(value, int) else "layers of at least 1 unit"
            raise ArgumentError(name, value, expected=expected)


def check_choice(name: str, value: str, choices: object) -> None:
    """ArgumentError unless `value` is one of a Literal's."""
    if value not in (known := get_args(choices)):
        raise ArgumentError(name, value, expected=f"one of {', '.join(known)}", fix=nearest(value, known))


def check_share(name: str, value: float) -> None:
    """ArgumentError unless 0 <= value < 1."""
    if not 0 <= value < 1:
        raise ArgumentError(name, value, expected="a share in [0, 1)")
