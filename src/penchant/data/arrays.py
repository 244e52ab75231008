"""A folder of flat arrays with a manifest: what every store is made of.

FOLDER/
├── manifest.json   format, kind, what the arrays mean, size and SHA-256 of every file
├── *.npy           arrays of numbers, memory-mapped when opened
├── *.arrow         columns of ids and text (Arrow IPC), memory-mapped when they are asked for
└── NAME/           a store inside the store, with a manifest of its own
"""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import torch
from torch import Tensor

from penchant.errors import StoreError, VersionError

FORMAT = 1
MANIFEST = "manifest.json"
_BROKEN = "it is not whole, or somebody changed it.\n  Fix: write it again."


class ArrayWriter:
    """Writes a folder of arrays; it is a store once `finish` was called.

    Args:
        folder: where; it is made if it is not there.
        kind: what it will be a store of.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.kind = folder, kind
        self.files: list[str] = []
        self.children: list[str] = []
        folder.mkdir(parents=True, exist_ok=True)

    def array(self, name: str, values: Tensor | np.ndarray) -> None:
        """Writes NAME.npy."""
        plain = np.ascontiguousarray(values.detach().cpu().numpy() if isinstance(values, Tensor) else values)
        with (self.folder / f"{name}.npy").open("wb") as file:  # np.save hides why a write failed
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(plain))
            file.write(plain.data if plain.size else b"")
        self.files.append(f"{name}.npy")

    def column(self, name: str, values: pl.Series) -> None:
        """Writes NAME.arrow, in one batch and without compression, so that it can be mapped as it is."""
        arrow = values.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
        table = pa.table({"values": arrow})
        with (
            (self.folder / f"{name}.arrow").open("wb") as file,
            pa.ipc.new_file(file, table.schema) as sink,
        ):
            sink.write_table(table)
        self.files.append(f"{name}.arrow")

    def child(self, name: str) -> Path:
        """The folder of a store inside this one; to be written before `finish`."""
        self.children.append(name)
        return self.folder / name

    def finish(self, meaning: Mapping[str, Any]) -> None:
        """Writes the manifest.

        Args:
            meaning: JSON values that say what the arrays mean.
        """
        files = [*self.files, *(f"{child}/{MANIFEST}" for child in self.children)]
        manifest = {
            "format": FORMAT,
            "kind": self.kind,
            "penchant": version("penchant"),
            "meaning": meaning,
            "children": self.children,
            "files": {
                name: {"bytes": (self.folder / name).stat().st_size, "sha256": _digest(self.folder / name)}
                for name in files
            },
        }
        text = json.dumps(manifest, indent=1, allow_nan=False)
        (self.folder / MANIFEST).write_text(text, encoding="utf-8")


class ArrayReader:
    """Opens a folder that `ArrayWriter` wrote: reads the manifest, compares sizes, touches no array.

    Args:
        folder: where.
        kind: what it must be a store of; None: anything.

    Raises:
        StoreError: it is not a whole store of that kind.
        VersionError: another version wrote it.
    """

    def __init__(self, folder: Path, kind: str | None) -> None:
        self.folder = folder
        manifest = _manifest(folder)
        self.kind, self.meaning = str(manifest["kind"]), dict(manifest["meaning"])
        self.files: dict[str, dict[str, Any]] = dict(manifest["files"])
        self.children = [str(name) for name in manifest["children"]]
        if kind is not None and self.kind != kind:
            raise StoreError(f"{folder}: a store of kind {self.kind!r}; expected one of kind {kind!r}.")
        for name, facts in self.files.items():
            path = self._inside(name)
            if not path.is_file():
                raise StoreError(f"{folder}: {name} is missing; {_BROKEN}")
            if path.stat().st_size != facts["bytes"]:
                found = path.stat().st_size
                raise StoreError(f"{folder}: {name} has {found:,} bytes, not {facts['bytes']:,}; {_BROKEN}")

    def _inside(self, name: str) -> Path:
        """A file of the store; a name that leads out of it is refused."""
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise StoreError(f"{self.folder}: the file name {name!r} leads out of the store.")
        return path

    def child(self, name: str) -> Path:
        """The folder of a store inside this one."""
        if name not in self.children:
            raise StoreError(f"{self.folder}: {name}/ is missing; {_BROKEN}")
        return self._inside(name)

    def numpy(self, name: str, dtype: type[np.generic], *shape: int | None) -> np.ndarray:
        """NAME.npy, memory-mapped: writing to it changes the memory of this process only.

        Args:
            name: which.
            dtype: what it must hold.
            shape: its length in every dimension; None for any.
        """
        file = f"{name}.npy"
        if file not in self.files:
            raise StoreError(f"{self.folder}: {file} is missing; {_BROKEN}")
        try:
            values = np.load(self._inside(file), mmap_mode="c", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise StoreError(f"{self.folder}: {file} cannot be read ({error}); {_BROKEN}") from None
        fits = len(values.shape) == len(shape) and all(
            wanted in (None, there) for wanted, there in zip(shape, values.shape, strict=True)
        )
        if values.dtype != dtype or not fits:
            found = f"{values.dtype}{list(values.shape)}"
            raise StoreError(
                f"{self.folder}: {file} holds {found}, not {dtype.__name__}{list(shape)}; {_BROKEN}"
            )
        return values

    def array(self, name: str, dtype: type[np.generic], *shape: int | None) -> Tensor:
        """The same as a tensor."""
        return torch.from_numpy(self.numpy(name, dtype, *shape))

    def column(self, name: str, dtype: pl.DataType, length: int) -> pl.Series:
        """NAME.arrow, memory-mapped; its text is checked to be UTF-8, since Polars takes that for granted."""
        file = f"{name}.arrow"
        if file not in self.files:
            raise StoreError(f"{self.folder}: {file} is missing; {_BROKEN}")
        try:
            table = pa.ipc.open_file(pa.memory_map(str(self._inside(file)))).read_all()
            table.validate(full=True)
            values = pl.Series("values", table.column("values"))
        except (pa.ArrowException, OSError, KeyError) as error:
            raise StoreError(f"{self.folder}: {file} cannot be read ({error}); {_BROKEN}") from None
        if values.dtype != dtype or len(values) != length:
            found = f"{len(values):,} values of {values.dtype}"
            raise StoreError(f"{self.folder}: {file} holds {found}, not {length:,} of {dtype}; {_BROKEN}")
        return values

    def verify(self) -> None:
        """Reads everything; StoreError names the first file whose content is not what was written."""
        for name, facts in self.files.items():
            if _digest(self._inside(name)) != facts["sha256"]:
                raise StoreError(f"{self.folder}: {name} is not what was written; {_BROKEN}")
        for name in self.children:
            ArrayReader(self._inside(name), None).verify()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise StoreError(
            f"{folder}: no store here ({MANIFEST} is missing).\n  Fix: give the folder of a store; a table "
            "is read by read_events, in a recipe by data: {source: FILE, user: COLUMN, item: COLUMN}."
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        found = manifest["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: no manifest of a store ({error!r}); {_BROKEN}") from None
    if found != FORMAT:
        raise VersionError(folder, found, supported=f"format {FORMAT}")
    wanted = {"kind": str, "meaning": dict, "children": list, "files": dict}
    for key, kind in wanted.items():
        if not isinstance(manifest.get(key), kind):
            raise StoreError(f"{path}: {key!r} is not what it should be; {_BROKEN}")
    files = manifest["files"].values()
    if not all(
        isinstance(f, dict) and isinstance(f.get("bytes"), int) and isinstance(f.get("sha256"), str)
        for f in files
    ):
        raise StoreError(f"{path}: 'files' is not what it should be; {_BROKEN}")
    return manifest
