"""Columns of batches that no row of the log vouches for: named, and held against the label and the target."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from penchant.data.findings import Finding, Kind
from penchant.data.telling import FEW, TELLING, area

_ROWS = 50_000  # values of a column that are kept
_WIDE = 64  # numbers an example, of those of a wide one, that are looked at


@dataclass
class _Column:
    what: str
    quiet: bool
    count: int = 0
    values: list[Tensor] = field(default_factory=list[Tensor])
    targets: list[Tensor] = field(default_factory=list[Tensor])
    labels: list[Tensor] = field(default_factory=list[Tensor])


class Untraced:
    """Gathers columns batch by batch; `findings` names them.

    Args:
        where: what to call their source.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self._columns: dict[str, _Column] = {}

    def look(
        self, what: str, name: str, values: Tensor, target: Tensor, label: Tensor | None, *,
        quiet: bool = False,
    ) -> None:  # fmt: skip
        """Takes in a column of a batch.

        Args:
            what: the kind of column, in words.
            name: its name.
            values: [n, ...]; with another n than the targets it is named alone.
            target: [n], 0 where there is nothing to learn.
            label: [n]; None where all are positives.
            quiet: whether it may stand there: it is named only where it tells something.
        """
        column = self._columns.setdefault(f"{what} {name!r}", _Column(what, quiet))
        if values.dim() == 0 or len(values) != len(target) or column.count >= _ROWS:
            return
        learned = (target > 0).nonzero().squeeze(1)
        if not len(learned):
            return
        column.count += len(learned)
        wide = values.index_select(0, learned).unsqueeze(-1).flatten(1)
        column.values.append(wide[:, :_WIDE].double())
        column.targets.append(target.index_select(0, learned))
        if label is not None:
            column.labels.append(label.index_select(0, learned) > 0.5)

    def findings(self) -> list[Finding]:
        """What was found in all batches: a violation where it is the label or the target, else a note."""
        return [
            one for name, column in self._columns.items() if (one := self._finding(name, column)) is not None
        ]

    def _finding(self, name: str, column: _Column) -> Finding | None:
        told = _told(column)
        key = name.removeprefix(f"{column.what} ").strip("'\"")
        if told:
            fix = f"leave {key!r} out, or make it a column of the log, so that it can be traced"
            weights = column.quiet and "label" in told  # such as a larger weight for the rarer label
            message = f"{name}, which no row of the log vouches for, {told}"
            if weights:
                message = f"{name} {told}: right in a loss, a leak in what a model reads"
            severity = "note" if weights else "violation"
            return Finding(Kind.UNTRACED, severity, self.where, message, fix, column.count, column=key)
        if column.quiet:
            return None
        message = f"{name} is none that the log has, so that it cannot be told what it knows"
        fix = f"make {key!r} a column of the log, if it is one of events"
        return Finding(Kind.UNTRACED, "note", self.where, message, fix, column.count, column=key)


def _told(column: _Column) -> str:
    """What a column tells; "" for nothing."""
    if len({values.shape[1] for values in column.values}) != 1:  # nothing was kept, or of several widths
        return ""
    values, target = torch.cat(column.values), torch.cat(column.targets)
    if len(target) >= FEW and bool((target != target[0]).any()):
        same = (values == target.double().unsqueeze(1)).double().mean(0)
        if len(same) and float(same.max()) >= TELLING:
            return "is the target"
    if len(column.labels) != len(column.targets):
        return ""
    label = torch.cat(column.labels)
    areas = [found for one in values.unbind(1) if (found := area(one, label)) is not None]
    if areas and max(areas) >= TELLING:
        return f"tells the label (area under the curve {max(areas):.4f})"
    return ""
