"""Runs of other tools: lists that stand in a table, asked as any retriever is."""

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl
import torch
from torch import Tensor

from penchant.data.batch import Ragged, Requests, offsets_of
from penchant.data.interactions import Features, Interactions
from penchant.data.split import Queries
from penchant.data.vocabulary import FIRST, UNKNOWN
from penchant.errors import ArgumentError, nearest
from penchant.evaluation.published import eligible_items
from penchant.evaluation.result import Result, Setting
from penchant.protocols import Candidates

_CHUNK = 4096  # queries looked at in one go


@dataclass(frozen=True)
class Places:
    """What became of the places of a run's lists under a setting.

    A place that cannot hold a hit is not filled by the next item: who was shown it saw nothing of use there.

    Attributes:
        depth: the list length looked at.
        queries: asked.
        missing: of these, queries of users without a list; each is a miss.
        short: queries with a list of fewer than `depth` items; what is not there is not found.
        longest: items of the longest list among those asked for, at most `depth`.
        filled: places that hold something.
        unknown: places with an item that the log does not know.
        seen: places with an item of the user's history, where the setting masks these.
        ineligible: places with an item outside the candidates of the setting (without a training event).
    """

    depth: int
    queries: int
    missing: int = 0
    short: int = 0
    longest: int = 0
    filled: int = 0
    unknown: int = 0
    seen: int = 0
    ineligible: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """All that costs the run hits, in words."""
        found: list[str] = []
        if self.missing:
            found.append(f"{self.missing:,} of {self.queries:,} queries have no list: each is a miss")
        if self.short:
            found.append(
                f"{self.short:,} lists hold fewer than {self.depth:,} items (the longest has "
                f"{self.longest:,}): what is not there is not found"
            )
        for count, what in (
            (self.unknown, "an item that the log does not know"),
            (self.ineligible, "an item without a training event, which these candidates leave out"),
            (self.seen, "an item of the user's own history (at the test with validation), masked here"),
        ):
            if count:
                share = count / self.filled
                found.append(f"{count:,} places ({share:.1%}) hold {what}: no hit is possible there")
        return tuple(found)

    def as_dict(self) -> dict[str, int]:
        """JSON values."""
        return asdict(self)


class Run:
    """One list a user, made elsewhere: a retriever that answers from a table.

    `evaluate(run, split.test(at="cut"), against=[model])` measures it under the same setting as a model. A
    list stays as it is: an item that the setting does not allow (seen, never trained on, unknown to the log)
    keeps its place, and the place is lost, as it was for the people who were shown it. `places` counts these.
    Who has no list is answered nothing.

    Args:
        features: those of the log that numbers users and items.
        lists: items by user index, best first; 1 for one that the log does not know.
        scores: of these items; None: none are known.
        name: what to call the run.
        notes: what a reader should know of it.

    Shapes: lists.offsets [U+1] for U = `features.users`, lists.values [T] int64; scores [T].
    Raises: ArgumentError where shapes do not fit, or indices are out of range.
    """

    history = 0  # events read
    user_id = True  # lists are looked up by number: `check_numbering` compares those of users, too

    def __init__(
        self,
        features: Features,
        lists: Ragged,
        scores: Tensor | None = None,
        *,
        name: str = "run",
        notes: tuple[str, ...] = (),
    ) -> None:
        values, offsets = lists
        if offsets.shape != (features.users + 1,) or int(offsets[-1]) != len(values):
            raise ArgumentError(
                "lists", lists, expected=f"one list for each of {features.users:,} user indices"
            )
        if len(values) and not (int(values.min()) >= UNKNOWN and int(values.max()) < features.items):
            raise ArgumentError("lists", lists, expected=f"item indices of 1 to {features.items - 1:,}")
        if scores is not None and scores.shape != values.shape:
            raise ArgumentError("scores", list(scores.shape), expected=f"one an item, [{len(values)}]")
        self.features, self.lists, self.scores = features, lists, scores
        self.name, self.notes = name, notes

    @classmethod
    def of(cls, result: Result, log: Interactions, system: str | None = None) -> "Run":
        """The lists that a system gave in an evaluation, for other tools to score (see `write_run`).

        Args:
            result: of `evaluate`, with one query a user.
            log: the log that was asked about.
            system: its name in `result`; the first one by default.

        Raises: ArgumentError if there is no such system, it answered no lists, or a user was asked twice.
        """
        names = [row.name for row in result.systems]
        name = names[0] if system is None else system
        if name not in names:
            raise ArgumentError("system", name, expected=f"one of the result ({nearest(name, names)})")
        lists = result.systems[names.index(name)].lists
        if lists is None:
            raise ArgumentError("system", name, expected="one that answers lists")
        users = torch.from_numpy(result.users)
        _refuse_several(users)
        order = users.argsort()
        lists = lists[order].long()
        last = (torch.arange(1, lists.shape[1] + 1) * (lists != 0)).amax(1)  # [Q]; 0 behind it is no item
        there = torch.arange(lists.shape[1]) < last.unsqueeze(1)
        lengths = torch.zeros(log.features.users, dtype=torch.int64)
        lengths[users[order]] = last
        values = lists[there].clamp(min=UNKNOWN)  # a place lost between others stays lost
        return cls(log.features, Ragged(values, offsets_of(lengths)), name=name)

    def __repr__(self) -> str:
        lists = int((self.lists.lengths > 0).sum())
        return f"Run({self.name!r}, {lists:,} lists, {len(self.lists.values):,} items)"

    # -- answering -------------------------------------------------------------------------------------------

    def retrieve(self, requests: Requests, k: int, dials: None = None) -> Candidates:
        """The first k places of each user's list; item 0 where a place is lost or not filled.

        Args:
            requests: whose `eligible` and `exclude` say which places are lost.
            k: places wanted.
            dials: a run has none.

        Raises: ArgumentError if one user is asked about twice: a run has one list each.
        """
        if dials is not None:
            raise ArgumentError("dials", dials, expected="None: a run has no dials")
        if k < 1:
            raise ArgumentError("k", k, expected="an integer of at least 1")
        _refuse_several(requests.users[requests.users >= FIRST])
        item, score = self._top(requests.users, k)
        lost = (item < FIRST) | _seen(item, requests.exclude, self.features.items)
        if requests.eligible is not None:
            lost |= ~_allowed(item, requests.eligible)
        return Candidates(item.masked_fill(lost, 0), score.masked_fill(lost, -torch.inf))

    def _top(self, users: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Items [B, k] as listed, 0 behind the end, and scores [B, k] (the place, negative, without any)."""
        offsets = self.lists.offsets.to(users.device)
        starts, ends = offsets.index_select(0, users), offsets.index_select(0, users + 1)
        place = torch.arange(k, device=users.device)
        index = starts.unsqueeze(1) + place  # [B, k]
        empty = index >= ends.unsqueeze(1)
        if not len(self.lists.values):
            return torch.zeros_like(index), index.new_zeros(index.shape, dtype=torch.float32)
        index = index.clamp(max=len(self.lists.values) - 1)
        item = self.lists.values.to(users.device)[index].masked_fill(empty, 0)
        if self.scores is None:
            return item, (-1.0 - place).expand(item.shape)
        return item, self.scores.to(users.device, torch.float32)[index]

    # -- what a reader should know ---------------------------------------------------------------------------

    def places(self, queries: Queries, setting: Setting) -> Places:
        """What becomes of the run's places under the setting of a result, over all of its queries.

        Args:
            queries: what was asked.
            setting: `result.setting`: how deep, whether seen items are masked, and which candidates count.
        """
        depth = max(setting.cutoffs)
        lengths = self.lists.lengths.index_select(0, queries.user)
        there = lengths[lengths > 0]
        counts = dict.fromkeys(("filled", "unknown", "ineligible", "seen"), 0)
        eligible = eligible_items(queries.split, setting)
        for begin, stop in queries.chunks(_CHUNK):
            requests = queries.requests(begin, stop, exclude_seen=setting.exclude_seen, history=0)
            item, _ = self._top(requests.users, depth)
            known = item >= FIRST
            allowed = known if eligible is None else known & _allowed(item, eligible)
            seen = _seen(item, requests.exclude, self.features.items)
            counts["filled"] += int((item != 0).sum())
            counts["unknown"] += int((item == UNKNOWN).sum())
            counts["ineligible"] += int((known & ~allowed).sum())
            counts["seen"] += int((allowed & seen).sum())
        return Places(
            depth, len(queries), missing=len(lengths) - len(there), short=int((there < depth).sum()),
            longest=min(int(there.max()), depth) if len(there) else 0, **counts,
        )  # fmt: skip

    def frame(self, log: Interactions) -> pl.DataFrame:
        """The lists in the ids of `log`: user, item, rank (from 1) and, where it is known, score.

        Items that the log does not know are left out: their ranks are, too.
        """
        owner = self.lists.owner
        rank = torch.arange(len(owner)) - self.lists.offsets.index_select(0, owner) + 1
        known = self.lists.values >= FIRST
        columns: dict[str, Any] = {
            "user": log.users.vocabulary.ids(owner[known].numpy()),
            "item": log.catalogue.vocabulary.ids(self.lists.values[known].numpy()),
            "rank": rank[known].numpy(),
        }
        if self.scores is not None:
            columns["score"] = self.scores[known].numpy()
        return pl.DataFrame(columns)


def require_one_query_each(queries: Queries) -> None:
    """ArgumentError where queries ask about a user more than once: a run has one list a user."""
    _refuse_several(queries.user)


def _allowed(item: Tensor, eligible: Tensor) -> Tensor:
    """Whether each item of [B, k] is eligible, by [V] or [B, V]."""
    return eligible[item] if eligible.dim() == 1 else eligible.gather(1, item)


def _seen(item: Tensor, exclude: Ragged | None, items: int) -> Tensor:
    """Whether each item of [B, k] is excluded from its own request."""
    if exclude is None:
        return torch.zeros_like(item, dtype=torch.bool)
    rows = torch.arange(len(item), device=item.device).unsqueeze(1)
    return torch.isin(rows * items + item, exclude.owner * items + exclude.values.long())


def _refuse_several(users: Tensor) -> None:
    _, counts = users.unique(return_counts=True)
    if several := int((counts > 1).sum()):
        raise _several(several)


def _several(users: int) -> ArgumentError:
    who = "1 user is" if users == 1 else f"{users:,} users are"
    return ArgumentError(
        "queries", f"{who} asked several times", expected="one query a user, as a run has one list each",
        fix='ask at="cut" (--at cut), or leave the last event out: split_leave_last(log, k=1)',
    )  # fmt: skip
