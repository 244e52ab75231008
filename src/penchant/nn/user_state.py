"""What a causal sequence model keeps of a user, and what new events do to it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn

from penchant.data.batch import Histories, offsets_of, ranges
from penchant.errors import ArgumentError, StoreError

_SAMPLE = 4096  # weights read of each parameter for a fingerprint
_NEVER = torch.iinfo(torch.int64).min


@dataclass(frozen=True, eq=False)
class UserState:
    """What a model remembers of B users, so that new events need not be read together with the old ones.

    Attributes:
        cache: [B, depth, L, 2D] keys and values of the kept events.
        item, event: [B, L] the kept events themselves, 0 where there is none.
        length: [B] how many are kept.
        time: [B] time of the newest one.
        vector: [B, D] the user vector.
        reread: [B] whether the last extension went past the window, so that all kept events were read anew.
        version: fingerprint of the weights that made it, a scalar.
    """

    cache: Tensor
    item: Tensor
    event: Tensor
    length: Tensor
    time: Tensor
    vector: Tensor
    reread: Tensor
    version: Tensor

    @classmethod
    def empty(cls, users: int, history: int, depth: int, cold: Tensor, version: Tensor) -> "UserState":
        """The state of users without events, whose vector is `cold` [D]."""
        whole = cold.new_zeros(users, dtype=torch.int64)
        none = whole.new_zeros(users, history)
        return cls(
            cold.new_zeros(users, depth, history, 2 * len(cold)), none, none, whole,
            whole.new_full((users,), _NEVER), cold.expand(users, -1), whole.bool(), version,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.length)

    def rows(self, index: Tensor) -> "UserState":
        """The states of the users at `index` [B']."""
        picked = {
            name: tensor.index_select(0, index)
            for name, tensor in self.tensors().items()
            if name != "version"
        }
        return replace(self, **picked)

    def tensors(self) -> dict[str, Tensor]:
        """The state as named tensors, to be saved."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "UserState":
        """The state that `tensors()` gave."""
        if missing := {f.name for f in fields(cls)} ^ set(tensors):
            raise StoreError(f"not a user state: {', '.join(sorted(missing))} missing or unexpected")
        return cls(**tensors)


@dataclass(frozen=True, eq=False)
class Extension:
    """The events to read now, each with its place.

    Attributes:
        events: those events: the new ones, or all that are kept where the window overflows.
        begin: [B] how many earlier events stay as they are.
        owner: [T'] the user of each event.
        offset: [T'] its number among the events of its user that are read now.
        place: [T'] its position in the window.
        cell: [T'] where it stands in a flattened [B * L] cache.
        reread: [B] whether the window overflows.
    """

    events: Histories
    begin: Tensor
    owner: Tensor
    offset: Tensor
    place: Tensor
    cell: Tensor
    reread: Tensor


def extension(state: UserState, events: Histories) -> Extension:
    """What must be read to extend a state by new events.

    Raises: ArgumentError if there is not one history a user, or if an event is older than the one before it.
    """
    users, window = state.item.shape
    if len(events) != users:
        raise ArgumentError(
            "events", f"{len(events)} users", expected=f"new events for each of the state's {users} users"
        )
    _check_order(state, events)
    new = events.lengths
    over = state.length + new > window
    events = _with_kept(state, events, over) if bool(over.any()) else events
    begin = state.length.masked_fill(over, 0)
    owner = events.items.owner
    offset = ranges(torch.zeros_like(new), events.lengths)
    place = begin.index_select(0, owner) + offset
    return Extension(events, begin, owner, offset, place, owner * window + place, over)


def extended(
    state: UserState, step: Extension, cache: Tensor, vectors: Tensor, events: Histories
) -> UserState:
    """The state after a step.

    Args:
        state: the state before.
        step: what was read.
        cache: [B, depth, L, 2D].
        vectors: [T', D] the user vector after each event read.
        events: the new events.
    """
    fresh = (events.lengths > 0).nonzero().squeeze(1)
    newest = step.events.offsets[1:].index_select(0, fresh) - 1
    item = state.item.flatten().index_copy(0, step.cell, step.events.item.long()).view(state.item.shape)
    event, time = state.event, state.time
    if step.events.event is not None:
        event = event.flatten().index_copy(0, step.cell, step.events.event.long()).view(event.shape)
    if events.time is not None:
        time = time.index_copy(
            0, fresh, events.time.index_select(0, events.offsets[1:].index_select(0, fresh) - 1)
        )
    return UserState(
        cache, item, event, step.begin + step.events.lengths, time,
        state.vector.index_copy(0, fresh, vectors.index_select(0, newest)), step.reread, state.version,
    )  # fmt: skip


def fingerprint(model: nn.Module) -> Tensor:
    """A number that other weights do not have: of all small parameters, and a sample of the large ones."""
    sampled = [p.detach().reshape(-1)[:: max(1, p.numel() // _SAMPLE)].float() for p in model.parameters()]
    bits = torch.cat(sampled).view(torch.int32).long()
    factor = (
        torch.arange(1, 2 * len(bits), 2, device=bits.device) * 0x9E3779B1
    )  # odd: no bit of a weight is lost
    return (bits * factor).sum()


def check_version(state: UserState, version: Tensor) -> None:
    """Refuse a state that other weights made."""
    if not torch.equal(state.version, version):
        raise ArgumentError(
            "state", f"version {int(state.version)}",
            expected=f"a state that these weights made (version {int(version)})",
            fix="make it anew with init_state and the user's history",
        )  # fmt: skip


def _check_order(state: UserState, events: Histories) -> None:
    if events.time is None or not len(events.time):
        return
    time, fresh = events.time, events.lengths > 0
    before = torch.cat([time[:1], time[:-1]]).index_copy(0, events.offsets[:-1][fresh], state.time[fresh])
    if bool((time < before).any()):
        where = int((time < before).nonzero()[0])
        raise ArgumentError(
            "events.time", int(time[where]),
            expected=f"none before that of the user's previous event, {int(before[where])}",
            fix="call init_state with the whole history in order",
        )  # fmt: skip


def _with_kept(state: UserState, events: Histories, over: Tensor) -> Histories:
    """New events, after the kept ones where `over`; the newest L of them."""
    users, window = state.item.shape
    kept = state.length.masked_fill(~over, 0)
    starts = torch.stack(
        [torch.arange(users, device=kept.device) * window, users * window + events.offsets[:-1]], 1
    )
    index = ranges(starts.flatten(), torch.stack([kept, events.lengths], 1).flatten())
    pool = Histories(
        events.offsets,  # replaced below
        torch.cat([state.item.flatten(), events.item.long()]),
        event=None if events.event is None else torch.cat([state.event.flatten(), events.event.long()]),
    )
    return pool.take(index, offsets_of(kept + events.lengths)).tail(window)
