"""The part of an audit that looks at statistics and weights: on which rows they were counted or learned."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from penchant.data.findings import Finding, Kind, Words
from penchant.data.provenance import WEIGHTS, Provenance, digest_of, provenance_of
from penchant.data.split import TEST, TRAIN, UNUSED, VALID, Split

_PARTS = {UNUSED: "unused", VALID: "validation", TEST: "test"}


def statistic_findings(
    split: Split, name: str, thing: object, *, kind: Kind = Kind.STATISTIC
) -> list[Finding]:
    """What was counted on other rows than those of training, and whether anybody says.

    Args:
        split: whose rows may be counted.
        name: of the thing, for people.
        thing: a model, or something with a `provenance`.
        kind: what a count of other rows is called.
    """
    counted = provenance_of(thing)
    found: list[Finding] = []
    trained = hasattr(thing, "source") and hasattr(thing, "loss") and not hasattr(thing, "solve")
    counts = hasattr(thing, "solve") or hasattr(thing, "prepare") or not isinstance(thing, nn.Module)
    silent = not any(one.what == WEIGHTS for said in counted.values() for one in said)
    if trained and silent and getattr(thing, "fitted", True) is not False:
        found.append(unsaid(name, "from which rows its weights were learned"))
    elif counts and not counted:
        found.append(unsaid(name, "on which rows it was counted"))
    for part, said in counted.items():
        where = f"{name}.{part}" if part else name
        found += [finding for one in said if (finding := _counted(split, where, one, kind)) is not None]
    return found


def _counted(split: Split, where: str, said: Provenance, kind: Kind) -> Finding | None:
    """What is wrong with one count; None for nothing."""
    if not said.log:
        return unsaid(where, f"from which rows of {said.split} its {said.what} were learned")
    another = said.log != split.log_digest
    rows = said.rows_in(split)
    if split.part.device.type != "cpu":
        split = replace(split, part=split.part.cpu()) if rows is not None else split.to("cpu")
    if rows is None:
        if another:
            return _elsewhere(split, where, said)
        rows = _recognised(split, said)
    if rows is None:
        return _untold(split, where, said, kind)
    part = split.part.index_select(0, rows)  # known exactly, whatever the split it was counted on
    counts = torch.bincount(part, minlength=TEST + 1)
    if int(counts[TRAIN]) < len(rows):
        return _held_out(split, where, said, counts, int(rows[part != TRAIN][0]), kind)
    if not another:
        return None
    told = f"{_made(said)} {said.rows:,} rows of another log ({said.split}), with other labels "
    told += "or types of the same events; they are training rows here too"
    return Finding(Kind.OTHER_SPLIT, "note", where, told, "", said.rows)


def _elsewhere(split: Split, where: str, said: Provenance) -> Finding:
    """Of a count on a log of other events: whether it was over before anything is asked here."""
    told = f"{_made(said)} {said.rows:,} rows of another log ({said.split})"
    fix = "audit it against the split that it was counted on, or fit it on this one"
    if _before(split, said):
        told += ", all of them before the first row held out here"
        return Finding(Kind.OTHER_SPLIT, "note", where, told, fix, said.rows)
    told += ", which may be held out here"
    return Finding(Kind.OTHER_SPLIT, "violation", where, told, fix, said.rows)


def _untold(split: Split, where: str, said: Provenance, kind: Kind) -> Finding | None:
    """Of a count on this log that does not tell its rows: what can be known of it."""
    if said.within == split.digest:
        if said.train == said.rows:
            return None
        counts = torch.tensor([said.unused, said.train, said.valid, said.test])
        return _held_out(split, where, said, counts, said.stray, kind)
    ends = [row for row in (said.first, said.last) if row >= 0]
    stray = next((row for row in ends if int(split.part[row]) != TRAIN), None)
    more = said.rows - int((split.part == TRAIN).sum())
    if stray is None and more <= 0:
        told = f"{_made(said)} {said.rows:,} rows of another split of this log ({said.split})"
        told += ", and does not say which: some may be held out here"
        fix = "audit it against that split, or fit it on this one"
        return Finding(Kind.OTHER_SPLIT, "violation", where, told, fix, said.rows)
    told = f"{_made(said)} {said.rows:,} rows of {said.split!r}"
    told += f", {more:,} more than this split trains on" if more > 0 else ""
    told += f", {Words(split.log).owned(stray)} among them" if stray is not None else ""
    return Finding(kind, "violation", where, told, _FIX, max(more, 1), stray)


def unsaid(name: str, what: str) -> Finding:
    """The note that nobody can know what was counted: `what` is not said."""
    told = f"it does not say {what}, so that is unknown"
    fix = "fit and save it anew; a class of your own keeps `Provenance.of(...)` in `self.provenance`"
    return Finding(Kind.NO_PROVENANCE, "note", name, told, fix)


def _made(said: Provenance) -> str:
    """What was counted or learned, up to its rows."""
    return f"its {said.what} were learned from" if said.what == WEIGHTS else f"{said.what!r} was counted on"


def _before(split: Split, said: Provenance) -> bool:
    """Whether all rows counted are earlier than the first one that is held out."""
    held = (split.part == VALID) | (split.part == TEST)
    if said.latest is None or not split.log.has_time or not bool(held.any()):
        return False
    return said.latest < int(split.log.time[held].min())


_FIX = (
    "count on `split.train.rows` (or `.targets`) alone; for a last fit on validation rows too, audit "
    "`split.joined()`"
)


def _held_out(
    split: Split, where: str, said: Provenance, counts: Tensor, stray: int | None, kind: Kind
) -> Finding:
    strays = {name: int(counts[part]) for part, name in _PARTS.items() if int(counts[part])}
    listed = " and ".join(f"{count:,} {name}" for name, count in strays.items())
    told = f"{_made(said)} {said.rows:,} rows, {listed} rows among them"
    if stray is not None:
        told += f"; the first is {Words(split.log).owned(stray)}"
    return Finding(kind, "violation", where, told, _FIX, sum(strays.values()), stray)


def _recognised(split: Split, said: Provenance) -> Tensor | None:
    """The rows counted, where they are a set that has a name: whole parts, or all of the log."""
    positive = split.log.positive(torch.arange(len(split.log)))
    for parts in ((TRAIN,), (TRAIN, VALID), (TRAIN, VALID, TEST), (UNUSED, TRAIN, VALID, TEST)):
        chosen = torch.isin(split.part, torch.tensor(parts, dtype=split.part.dtype))
        for rows in (chosen, chosen & positive):
            if int(rows.sum()) == said.rows:
                found = rows.nonzero().squeeze(1)
                if digest_of(found) == said.digest:
                    return found
    return None
