"""What an audit says: findings in plain words, violations first."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from penchant.data.interactions import Interactions
from penchant.errors import LeakError

Severity = Literal["violation", "note"]


class Kind(StrEnum):
    """What was found."""

    TARGET_IN_HISTORY = "target in history"
    LATER_ROW = "later row in history"
    TIES = "tie handling"
    FILE_ORDER = "order within ties follows an id"
    LOG_ORDER = "log out of time order"
    HISTORY_ORDER = "history out of order"
    STRANGE_EVENT = "not an event of the user"
    UNUSABLE_ROW = "row that no history may use"
    HELD_OUT_TARGET = "held-out row learned from"
    STRANGE_TARGET = "target not in the log"
    WRONG_TIME = "asked at another time"
    LABEL = "label of another row"
    LATER_LABEL = "later label"
    LATER_CONTEXT = "later context"
    LATER_TRAINING = "training row after a held-out one"
    NEGATIVES = "negatives from the future"
    NEGATIVE_SEEN = "negative that the user had"
    STATISTIC = "statistic over held-out rows"
    OTHER_SPLIT = "counted under another split"
    NO_PROVENANCE = "no provenance"
    UNTRACED = "column that cannot be traced"
    FEW_NEGATIVES = "too few negatives to tell"
    NOT_LOOKED_AT = "not looked at"
    QUERY = "query sees the future"
    CROSS_USER = "cross-user future"
    OWN_FUTURE = "own future"
    TELLING_COLUMN = "column that tells the label"


_ALWAYS = frozenset({Kind.CROSS_USER, Kind.NOT_LOOKED_AT})  # notes that say nothing of this one in particular


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        kind: what.
        severity: "violation": a leak, or what cannot be told from one. "note": allowed, and good to know.
        where: the model, source, split or query it was found in.
        message: in plain words, with user, item and times of the first case.
        fix: what to do about it; "" for nothing.
        count: how many cases; 0 where the finding is not one of cases.
        row: the log's row of the first case, where there is one.
        column: the column concerned, where it is one.
    """

    kind: Kind
    severity: Severity
    where: str
    message: str
    fix: str = ""
    count: int = 0
    row: int | None = None
    column: str | None = None

    def __str__(self) -> str:
        text = f"{self.severity}: {self.kind} ({self.where}): {self.message}"
        return f"{text}.\n  Fix: {self.fix}." if self.fix else f"{text}."


@dataclass(frozen=True)
class Audit:
    """What an audit found, and what it looked at.

    Attributes:
        findings: violations first, each kind in the order in which it was looked for.
        looked_at: every check that was made, in words, with how much it saw.
        cross_user_future: the share of other users' training events that are later than what is asked, on
            average over the test queries; None where the log has no times, or the split no test queries.
    """

    findings: tuple[Finding, ...]
    looked_at: tuple[str, ...]
    cross_user_future: float | None = None

    @property
    def violations(self) -> tuple[Finding, ...]:
        """The findings that must not be."""
        return tuple(finding for finding in self.findings if finding.severity == "violation")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """The findings that may be."""
        return tuple(finding for finding in self.findings if finding.severity == "note")

    @property
    def remarks(self) -> tuple[Finding, ...]:
        """The notes that say something of this log, split or model, and not of every one."""
        return tuple(note for note in self.notes if note.kind not in _ALWAYS)

    @property
    def ok(self) -> bool:
        """Whether there is no violation."""
        return not self.violations

    @property
    def first(self) -> Finding | None:
        """The first violation; None where there is none."""
        return next(iter(self.violations), None)

    @property
    def line(self) -> str:
        """The outcome in a line, such as "audit: 5 checks, clean; cross-user future 43.1 %, inherent"."""
        bad = len(self.violations)
        outcome = f"{bad} violation{'s' * (bad != 1)}" if bad else "clean"
        said = [f"{len(self.looked_at)} checks, {outcome}"]
        if self.cross_user_future:
            said.append(f"cross-user future {self.cross_user_future:.1%}, inherent".replace("%", " %"))
        if others := len(self.remarks):
            said.append(f"{others} note{'s' * (others != 1)}")
        return f"audit: {'; '.join(said)}"

    def __str__(self) -> str:
        return "\n".join([
            self.line,
            *(f"  looked at {what}" for what in self.looked_at),
            *(str(finding) for finding in self.findings),
        ])  # fmt: skip

    def __add__(self, other: "Audit") -> "Audit":
        """Both as one: of what was said twice, once."""
        return audit_of(
            (*self.findings, *other.findings),
            (*self.looked_at, *other.looked_at),
            other.cross_user_future if self.cross_user_future is None else self.cross_user_future,
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "ok": self.ok,
            "looked_at": list(self.looked_at),
            "cross_user_future": self.cross_user_future,
            "findings": [asdict(finding) | {"kind": str(finding.kind)} for finding in self.findings],
        }

    def check(self) -> "Audit":
        """Itself. LeakError with the first violation, where there is one."""
        if (first := self.first) is not None:
            more = len(self.violations) - 1
            rest = f"\n  And {more} more violation{'s' * (more != 1)}." if more else ""
            raise LeakError(f"{first.kind} ({first.where}): {first.message}.\n  Fix: {first.fix}.{rest}")
        return self


def audit_of(findings: Sequence[Finding], looked_at: Sequence[str], cross_user: float | None) -> Audit:
    """An audit with its findings in order, each once."""
    once = dict.fromkeys(findings)
    ordered = sorted(once, key=lambda finding: finding.severity != "violation")
    return Audit(tuple(ordered), tuple(dict.fromkeys(looked_at)), cross_user)


class Words:
    """Says users, items and rows of a log as its owner knows them.

    Args:
        log: the log.
    """

    def __init__(self, log: Interactions) -> None:
        self.log = log

    def user(self, index: int) -> str:
        """A user by its external id."""
        known = self.log.users.vocabulary.ids([index])[0] if 0 <= index < len(self.log.users) else None
        return f"user {known!r}" if known is not None else f"user number {index}"

    def item(self, index: int) -> str:
        """An item by its external id."""
        size = len(self.log.catalogue)
        known = self.log.catalogue.vocabulary.ids([index])[0] if 0 <= index < size else None
        return f"item {known!r}" if known is not None else f"item number {index}"

    def time(self, value: int) -> str:
        """A time of the log: seconds as UTC, or the place in a log without times."""
        if not self.log.has_time:
            return f"place {value}"
        try:
            return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S")
        except (OverflowError, ValueError, OSError):
            return f"second {value}"

    def event(self, row: int) -> str:
        """A row: its item, time and number."""
        what = self.item(int(self.log.item[row]))
        return f"{what} at {self.time(int(self.log.time[row]))} (row {row:,})"

    def owned(self, row: int) -> str:
        """A row with its user."""
        user = int(self.log.user_of(self.log.offsets.new_tensor([row]))[0])
        return f"{self.user(user)}, {self.event(row)}"
