"""On which rows of a log something was counted: noted as it is counted, saved with it, read by audits."""

import hashlib
import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from penchant.data.interactions import Interactions
from penchant.data.split import TEST, TRAIN, UNUSED, VALID, Split
from penchant.errors import StoreError

WEIGHTS = "weights"  # what is learned step by step, as `fit` notes it
_LONGEST = 1 << 20  # characters that the rows themselves may take: some tens of millions of events


@dataclass(frozen=True)
class Provenance:
    """What was counted, and on which rows.

    Attributes:
        what: the statistic, in words.
        split: the name of the split whose parts are told below.
        rows: how many rows were counted.
        train, valid, test, unused: how many of them stand in which part of that split.
        first, last: the lowest and the highest row counted; -1 where there was none.
        latest: the latest time counted, in seconds; None where the log has no times, or nothing was counted.
        stray: the first row counted that is no training row; None where all of them are.
        digest: of the rows counted.
        log, within: of the log, and of the log with the parts of its rows (`Split.digest`); "" where nobody
            knows.
        events: digest of who did what when in the log: the same for a log of other labels.
        exact: the rows themselves as a bitmap, compressed, in base64; None where that is too long.
    """

    what: str
    split: str
    rows: int
    train: int
    valid: int
    test: int
    unused: int
    first: int
    last: int
    latest: int | None
    stray: int | None
    digest: str
    log: str
    within: str
    events: str = ""
    exact: str | None = None

    @classmethod
    def unknown(cls, what: str, source: str) -> "Provenance":
        """That of what was learned from rows that nobody can name.

        Args:
            what: the statistic, in words.
            source: where the rows came from, in words.
        """
        return cls(what, source, 0, 0, 0, 0, 0, -1, -1, None, None, "", "", "")

    @classmethod
    def of(cls, what: str, split: Split, rows: Tensor) -> "Provenance":
        """The provenance of a statistic that is being counted.

        Args:
            what: the statistic, in words.
            split: whose rows they are.
            rows: the rows that are counted, [n] int64: the very tensor that the counting reads.
        """
        digest = digest_of(rows)
        known = _known.setdefault(split, {})
        if digest not in known:  # the same rows are counted again and again: once they are told
            known[digest] = cls._of(what, split, rows, digest)
        return replace(known[digest], what=what)

    @classmethod
    def _of(cls, what: str, split: Split, rows: Tensor, digest: str) -> "Provenance":
        part = split.part.index_select(0, rows)
        count = torch.bincount(part, minlength=TEST + 1).tolist()
        stray = rows[part != TRAIN]
        latest = split.log.time.index_select(0, rows).max() if len(rows) and split.log.has_time else None
        return cls(
            what, split.name, len(rows), count[TRAIN], count[VALID], count[TEST], count[UNUSED],
            first=int(rows.min()) if len(rows) else -1, last=int(rows.max()) if len(rows) else -1,
            latest=None if latest is None else int(latest), stray=int(stray.min()) if len(stray) else None,
            digest=digest, log=split.log_digest, within=split.digest,
            events=events_digest(split.log), exact=_packed(rows, len(split.log)),
        )  # fmt: skip

    def rows_in(self, split: Split) -> Tensor | None:
        """The rows counted, ascending, each once, [n] int64; None where they are not told, or not whole.

        Args:
            split: of the log that they were counted on, or of one of other labels or types of events.
        """
        size = len(split.log)
        if self.exact is None or self.events != events_digest(split.log):
            return None
        try:
            reader = zlib.decompressobj()  # as much as is expected, whatever the text would grow to
            inflated = reader.decompress(b64decode(self.exact, validate=True), size // 8 + 2)
        except (ValueError, zlib.error):
            return None
        if len(inflated) != -(-size // 8) or not reader.eof:
            return None
        bits = np.unpackbits(np.frombuffer(inflated, dtype=np.uint8), count=size)
        found = torch.from_numpy(bits).nonzero().squeeze(1)  # pyright: ignore[reportUnknownMemberType]
        ends = (int(found[0]), int(found[-1])) if len(found) else (-1, -1)
        # rows may be counted twice, and in any order
        return found if len(found) <= self.rows and ends == (self.first, self.last) else None

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Provenance":
        """What `as_dict` gave; ValueError where it is something else."""
        names = {f.name for f in fields(cls)}
        if not isinstance(values, Mapping) or set(values) | {"events", "exact"} != names:
            raise ValueError(f"expected {', '.join(sorted(f.name for f in fields(cls)))}")
        for name in values:
            kinds: tuple[type, ...] = (str,) if name in _WORDS else (int,)
            value = values[name]
            if not (isinstance(value, kinds) and not isinstance(value, bool)) and not (
                value is None and name in _MAY_LACK
            ):
                raise ValueError(f"{name}={value!r}")
        return cls(**values)


_WORDS = frozenset({"what", "split", "digest", "log", "within", "events", "exact"})
_MAY_LACK = frozenset({"latest", "stray", "exact"})


def digest_of(rows: Tensor) -> str:
    """Tells one set of rows [n] int64 from another; the order that they stand in counts."""
    array: Any = rows.contiguous().cpu().numpy()  # arrays are buffers; their stubs do not say so before 3.12
    return hashlib.blake2b(array, digest_size=16).hexdigest()


_known: WeakKeyDictionary[Split, dict[str, Provenance]] = WeakKeyDictionary()  # by digest of the rows
_events: WeakKeyDictionary[Interactions, str] = WeakKeyDictionary()


def events_digest(log: Interactions) -> str:
    """Tells who did what when in one log from another."""
    if log not in _events:
        found = hashlib.blake2b(digest_size=16)
        for tensor in (log.offsets, log.item, log.time):
            array: Any = tensor.cpu().contiguous().numpy()
            found.update(array)
        _events[log] = found.hexdigest()
    return _events[log]


def _packed(rows: Tensor, size: int) -> str | None:
    """Rows [n] of `size` as text; None where it would be too long."""
    bits = np.zeros(size, dtype=np.bool_)
    bits[rows.cpu().numpy()] = True
    text = b64encode(zlib.compress(np.packbits(bits).tobytes(), 1)).decode()
    return text if len(text) <= _LONGEST else None


def note(thing: Any, *said: Provenance) -> None:
    """Adds to what a model says of its counts; what it said stays, and nothing is said twice."""
    thing.provenance = tuple(dict.fromkeys((*getattr(thing, "provenance", ()), *said)))


def provenance_of(thing: object) -> dict[str, tuple[Provenance, ...]]:
    """What a thing and, in a module, its parts say of their counts, by the part's name ("" for itself).

    Args:
        thing: a model, or anything with an attribute `provenance`.
    """
    parts = dict(thing.named_modules()) if isinstance(thing, nn.Module) else {"": thing}
    found = {name: getattr(part, "provenance", ()) for name, part in parts.items()}
    return {name: tuple(said) for name, said in found.items() if said}


def to_json(thing: object) -> str | None:
    """What `provenance_of` gives, as JSON text; None where it is nothing."""
    found = provenance_of(thing)
    return json.dumps({n: [p.as_dict() for p in said] for n, said in found.items()}) if found else None


def put_json(model: nn.Module, text: str | None, origin: str) -> None:
    """Gives a model and its parts back what `to_json` took down; nothing, where there is no `text`.

    Args:
        model: a module of the same parts.
        text: what was taken down; None for a model that was saved before provenance was.
        origin: where the text comes from, for errors.

    Raises: StoreError if the text is something else; the model is as it was then.
    """
    parts, found = _read(model, text, origin)
    for name, part in parts.items():
        if name in found or hasattr(part, "provenance"):
            part.provenance = found.get(name, ())


def add_json(model: nn.Module, text: str | None, origin: str) -> None:
    """As `put_json`, in addition to what the model and its parts say by now."""
    parts, found = _read(model, text, origin)
    for name, said in found.items():
        note(parts[name], *said)


def _read(
    model: nn.Module, text: str | None, origin: str
) -> tuple[dict[str, Any], dict[str, tuple[Provenance, ...]]]:
    """The parts of a model, and what a text says of some of them."""
    parts: dict[str, Any] = dict(model.named_modules())
    try:
        given = json.loads(text) if text is not None else {}
        found = {name: tuple(map(Provenance.from_dict, said)) for name, said in given.items()}
        parts |= {name: parts[name] for name in found}  # KeyError where the model has no such part
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise StoreError(
            f"{origin}: what it says of the rows counted cannot be read ({error}).\n"
            "  Fix: save the model again."
        ) from None
    return parts, found
