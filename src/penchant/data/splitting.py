"""The ways to split a log: by time, each user's last events, whole users, whole items."""

from datetime import UTC, date, datetime

import torch
from torch import Tensor

from penchant.data.interactions import Interactions, require_log
from penchant.data.split import PARTS, TEST, TRAIN, VALID, Split, Ties
from penchant.errors import ArgumentError, SplitError


def split_by_time(
    log: Interactions,
    *,
    valid: float | str | date = 0.1,
    test: float | str | date = 0.1,
    ties: Ties = "order",
) -> Split:
    """Cuts the whole log at two times: nothing later than a cut is ever learned from. The honest default.

    Args:
        log: a log with times.
        valid: its share of all events in (0, 1), or when it begins (ISO text, date or datetime, UTC).
        test: likewise. Events of the second at which a share would fall all go to the later part.
        ties: see `Split`.

    Raises: SplitError if the log has no times, or if a part would be empty.
    """
    require_log(log, "log")
    if not log.has_time:
        raise SplitError(
            "split_by_time needs times and this log has none.\n  Fix: use split_leave_last or split_by_user."
        )
    if not len(log):
        raise SplitError("split_by_time needs events and this log has none.")
    order = log.time.sort().values
    test_cut = _cut(order, test, 0.0, "test")
    valid_cut = _cut(
        order, valid, test if isinstance(test, float) else float((order >= test_cut).double().mean()), "valid"
    )
    if valid_cut >= test_cut:
        raise SplitError(
            f"the validation part would begin at {_day(valid_cut)}, the test part at {_day(test_cut)}: "
            "not after it.\n  Fix: give the validation part an earlier date or a larger share."
        )
    part = torch.full((len(log),), TRAIN, dtype=torch.uint8)
    part[log.time >= valid_cut] = VALID
    part[log.time >= test_cut] = TEST
    name = f"global time, validation from {_day(valid_cut)}, test from {_day(test_cut)}"
    return _checked(Split(log, part, "global", name, (valid_cut, test_cut), ties))


def split_leave_last(log: Interactions, *, k: int = 1, ties: Ties = "order") -> Split:
    """Leaves each user's last `k` positives for testing and the `k` before those for validation.

    A user with at most k positives is all training; one with at most 2k gives no validation. Events between
    and after the held-out positives (label 0) belong to the part that they stand in, so nothing that follows
    a held-out event is learned from its user. Other users' later events are (`pt.audit` says how
    many): use `split_by_time` where that matters.
    """
    require_log(log, "log")
    if k < 1:
        raise ArgumentError("k", k, expected="an integer of at least 1")
    positive = log.positive(torch.arange(len(log)))
    rank = positive.long().flip(0).cumsum(0).flip(0)  # positives from this row on, over all users
    rank_or_end = torch.cat([rank, rank.new_zeros(1)])
    after = rank_or_end.index_select(0, log.offsets[1:])  # ... that belong to later users
    total = rank_or_end.index_select(0, log.offsets[:-1]) - after
    left = rank - after.index_select(0, log.user)  # positives of the same user from this row on
    total = total.index_select(0, log.user)
    # a row belongs to the held-out part from that part's first positive on
    behind = left - positive.long()  # positives of the user strictly after this row
    part = torch.full((len(log),), TRAIN, dtype=torch.uint8)
    reached = torch.where(positive, left, behind + 1)  # at the latest positive up to the row
    has_earlier = reached <= total
    part[(reached <= 2 * k) & has_earlier & (total > 2 * k)] = VALID
    part[(reached <= k) & has_earlier & (total > k)] = TEST
    name = f"leave last {k} out, per user"
    return _checked(Split(log, part, "user", name, ties=ties))


def split_by_user(
    log: Interactions, *, valid: float = 0.1, test: float = 0.1, seed: int = 0, ties: Ties = "order"
) -> Split:
    """Keeps whole users out: their every event is asked about, with what they did before as history.

    Args:
        log: the log.
        valid: its share of users.
        test: likewise.
        seed: which users.
        ties: see `Split`.
    """
    require_log(log, "log")
    users = _draw(log.offsets.diff() > 0, valid, test, seed)
    part = users.index_select(0, log.user)
    return _checked(
        Split(log, part, "user", f"unseen users ({valid:.0%} / {test:.0%}, seed {seed})", ties=ties)
    )


def split_by_item(
    log: Interactions, *, valid: float = 0.1, test: float = 0.1, seed: int = 0, ties: Ties = "order"
) -> Split:
    """Keeps whole items out: no history holds them, and each of their positives is asked about.

    Args:
        log: the log.
        valid: its share of the items that have an event.
        test: likewise.
        seed: which items.
        ties: see `Split`.
    """
    require_log(log, "log")
    counts = torch.bincount(log.item, minlength=len(log.catalogue))
    part = _draw(counts > 0, valid, test, seed).index_select(0, log.item)
    usable = (part == TRAIN).nonzero().squeeze(1)
    name = f"unseen items ({valid:.0%} / {test:.0%}, seed {seed})"
    return _checked(Split(log, part, "user", name, ties=ties, usable=usable))


def _draw(present: Tensor, valid: float, test: float, seed: int) -> Tensor:
    for name, share in {"valid": valid, "test": test}.items():
        if not 0 < share < 1:
            raise ArgumentError(name, share, expected="a share in (0, 1)")
    if valid + test >= 1:
        raise ArgumentError("valid", valid, expected=f"valid + test below 1 (test={test})")
    there = present.nonzero().squeeze(1)
    there = there[torch.randperm(len(there), generator=torch.Generator().manual_seed(seed))]
    tested, validated = max(1, round(test * len(there))), max(1, round(valid * len(there)))
    part = torch.full((len(present),), TRAIN, dtype=torch.uint8)
    part[there[:tested]] = TEST
    part[there[tested : tested + validated]] = VALID
    return part


def _cut(ordered: Tensor, at: float | str | date, later: float, name: str) -> int:
    """The time at which a part begins."""
    if isinstance(at, str):
        try:
            at = datetime.fromisoformat(at)
        except ValueError:
            raise ArgumentError(
                name, at, expected="a share in (0, 1), or a date such as '2024-05-31'"
            ) from None
    if isinstance(at, date):
        moment = at if isinstance(at, datetime) else datetime(at.year, at.month, at.day)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    if not 0 < at < 1 or at + later >= 1:
        raise ArgumentError(name, at, expected="a share in (0, 1), less than 1 in sum with the other part")
    return int(ordered[min(len(ordered) - 1, int(len(ordered) * (1 - at - later)))])


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _checked(split: Split) -> Split:
    for name, number in PARTS.items():
        if not bool((split.part == number).any()):
            raise SplitError(
                f"{split.name}: the {name} part is empty ({len(split.log):,} events, "
                f"{len(split.log.users) - 2:,} users).\n"
                "  Fix: give it a larger share, or use another kind of split."
            )
    return split
