"""Logs and attributes on disk: folders of flat arrays that open in an instant, whatever their size.

LOG/
├── offsets, item, time, label, event .npy
├── column-0.npy ...        context columns; the manifest says which
├── users/, catalogue/      attributes
└── event-types/, labels-0/ ...     vocabularies

ATTRIBUTES/
├── category-0-values.npy, category-0-offsets.npy, number-0.npy, vector-0.npy, text-0.arrow ...
└── ids/, category-0-labels/ ...    vocabularies

VOCABULARY/
├── ids.arrow               in index order
└── order.npy               positions of the ids in ascending order, so that a look-up is a binary search
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from penchant.data.arrays import ArrayReader, ArrayWriter
from penchant.data.attributes import Attributes, Categories
from penchant.data.interactions import Interactions
from penchant.data.profile import DataProfile
from penchant.data.vocabulary import FIRST, Vocabulary
from penchant.errors import StoreError

_TYPES: dict[str, pl.DataType] = {"int": pl.Int64(), "text": pl.String()}


def open_log(path: str | Path) -> Interactions:
    """Opens a log that `Interactions.save` wrote, in an instant: its arrays stay on disk, memory-mapped.

    Args:
        path: the folder.

    Raises:
        StoreError: the folder is no whole log. Sizes are compared, contents are not:
            `penchant.data.verify` does that.
        VersionError: another version of penchant wrote it.
    """
    reader = ArrayReader(Path(path), "log")
    with _understood(reader):
        meaning = reader.meaning
        users = open_attributes(reader.child("users"))
        catalogue = open_attributes(reader.child("catalogue"))
        offsets = reader.array("offsets", np.int64, len(users) + 1)
        count = int(offsets[-1])
        names = [str(name) for name in meaning["columns"]]
        labelled = {str(name): f"labels-{names.index(name)}" for name in meaning["labelled"]}
        has_label, has_event, has_time = (bool(meaning[key]) for key in ("label", "event", "has_time"))
        return Interactions(
            users=users,
            catalogue=catalogue,
            offsets=offsets,
            item=reader.array("item", np.int32, count),
            time=reader.array("time", np.int64, count),
            profile=DataProfile.from_dict(meaning["profile"]),
            has_time=has_time,
            label=reader.array("label", np.float32, count) if has_label else None,
            event=reader.array("event", np.int16, count) if has_event else None,
            events=open_vocabulary(reader.child("event-types")) if has_event else None,
            columns={
                name: reader.array(f"column-{n}", np.int32 if name in labelled else np.float32, count)
                for n, name in enumerate(names)
            },
            column_labels={name: open_vocabulary(reader.child(child)) for name, child in labelled.items()},
        )


def save_log(log: Interactions, folder: Path) -> None:
    """Writes a log into a folder, as a part of something larger; `Interactions.save` writes one of its own.

    Args:
        log: the log.
        folder: where. What kills this function leaves a folder that `open_log` refuses.
    """
    writer = ArrayWriter(folder, "log")
    writer.array("offsets", log.offsets)
    writer.array("item", log.item)
    writer.array("time", log.time)
    if log.label is not None:
        writer.array("label", log.label)
    if log.event is not None and log.events is not None:
        writer.array("event", log.event)
        save_vocabulary(log.events, writer.child("event-types"))
    for n, (name, column) in enumerate(log.columns.items()):
        writer.array(f"column-{n}", column)
        if name in log.column_labels:
            save_vocabulary(log.column_labels[name], writer.child(f"labels-{n}"))
    save_attributes(log.users, writer.child("users"))
    save_attributes(log.catalogue, writer.child("catalogue"))
    writer.finish(
        {
            "has_time": log.has_time,
            "label": log.label is not None,
            "event": log.event is not None,
            "columns": list(log.columns),
            "labelled": list(log.column_labels),
            "profile": log.profile.as_dict(),
        }
    )


def verify(path: str | Path) -> None:
    """Reads a whole store and compares it with what was written.

    Args:
        path: the folder of a log, of attributes or of a vocabulary.

    Raises: StoreError, which names the first file that differs.
    """
    ArrayReader(Path(path), None).verify()


# -- attributes ----------------------------------------------------------------------------------------------


def open_attributes(folder: Path) -> Attributes:
    """Opens what `save_attributes` wrote; text is read when it is asked for.

    Raises: StoreError, as `open_log`.
    """
    reader = ArrayReader(folder, "attributes")
    with _understood(reader):
        meaning = reader.meaning
        vocabulary = open_vocabulary(reader.child("ids"))
        count = len(vocabulary)
        title = meaning["title"]
        texts = [str(name) for name in meaning["text"]]
        if title is not None and title not in texts:
            raise ValueError(f"title {title!r}")
        categories, numbers, vectors = (
            {str(name): n for n, name in enumerate(meaning[kind])}
            for kind in ("categories", "numbers", "vectors")
        )
        return Attributes(
            vocabulary,
            {name: _open_categories(reader, n, count) for name, n in categories.items()},
            {name: reader.array(f"number-{n}", np.float32, count) for name, n in numbers.items()},
            Lazy({name: _text(reader, n, count) for n, name in enumerate(texts)}),
            {name: reader.array(f"vector-{n}", np.float32, count, None) for name, n in vectors.items()},
            title,
        )


def _open_categories(reader: ArrayReader, n: int, count: int) -> Categories:
    offsets = reader.array(f"category-{n}-offsets", np.int64, count + 1)
    values = reader.array(f"category-{n}-values", np.int32, int(offsets[-1]))
    return Categories(values, offsets, open_vocabulary(reader.child(f"category-{n}-labels")))


def _text(reader: ArrayReader, n: int, count: int) -> Callable[[], pl.Series]:
    return lambda: reader.column(f"text-{n}", pl.String(), count)


def save_attributes(attributes: Attributes, folder: Path) -> None:
    """Writes attributes into a folder.

    Args:
        attributes: of users or items.
        folder: where; a folder of their own.
    """
    writer = ArrayWriter(folder, "attributes")
    save_vocabulary(attributes.vocabulary, writer.child("ids"))
    for n, categories in enumerate(attributes.categories.values()):
        writer.array(f"category-{n}-values", categories.values)
        writer.array(f"category-{n}-offsets", categories.offsets)
        save_vocabulary(categories.labels, writer.child(f"category-{n}-labels"))
    for n, numbers in enumerate(attributes.numbers.values()):
        writer.array(f"number-{n}", numbers)
    for n, text in enumerate(attributes.text.values()):
        writer.column(f"text-{n}", text)
    for n, vectors in enumerate(attributes.vectors.values()):
        writer.array(f"vector-{n}", vectors)
    writer.finish(
        {
            "title": attributes.title,
            "categories": list(attributes.categories),
            "numbers": list(attributes.numbers),
            "text": list(attributes.text),
            "vectors": list(attributes.vectors),
        }
    )


# -- vocabularies --------------------------------------------------------------------------------------------


def open_vocabulary(folder: Path) -> Vocabulary:
    """Opens what `save_vocabulary` wrote; ids are read when they are asked for.

    Raises: StoreError, as `open_log`.
    """
    reader = ArrayReader(folder, "vocabulary")
    with _understood(reader):
        count, dtype = int(reader.meaning["count"]), _TYPES[reader.meaning["type"]]
        order = reader.numpy("order", np.int64, count)
        digest = reader.meaning.get("digest")  # not in every store
        return Vocabulary.stored(count, dtype, lambda: reader.column("ids", dtype, count), order, digest)


def save_vocabulary(vocabulary: Vocabulary, folder: Path) -> None:
    """Writes a vocabulary into a folder.

    Args:
        vocabulary: the vocabulary.
        folder: where; a folder of its own.
    """
    writer = ArrayWriter(folder, "vocabulary")
    writer.column("ids", vocabulary.all_ids)
    writer.array("order", vocabulary.order.astype(np.int64))
    kind = next(name for name, dtype in _TYPES.items() if dtype == vocabulary.dtype)
    writer.finish({"count": len(vocabulary) - FIRST, "type": kind, "digest": vocabulary.digest})


# -- both ----------------------------------------------------------------------------------------------------


class Lazy(Mapping[str, pl.Series]):
    """Columns that are read when they are first asked for.

    Args:
        load: how to read each.
    """

    def __init__(self, load: Mapping[str, Callable[[], pl.Series]]) -> None:
        self._load = {name: cache(read) for name, read in load.items()}

    def __getitem__(self, name: str) -> pl.Series:
        return self._load[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._load)

    def __len__(self) -> int:
        return len(self._load)


@contextmanager
def _understood(reader: ArrayReader) -> Generator[None]:
    """A manifest that says what no writer of ours says."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise StoreError(f"{reader.folder}: the manifest says what it should not ({error!r}).") from None
