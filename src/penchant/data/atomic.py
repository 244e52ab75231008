"""Files and folders that are there as a whole, or not at all.

Everything is written under a temporary name beside its target, made durable, and renamed. A process killed
on the way, or a full disk, leaves what stood there before; the next writer of the same target sweeps up.
"""

import ctypes
import errno
import os
import secrets
import shutil
import sys
import time
from collections.abc import Collection, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from penchant.errors import StoreError

if sys.platform != "win32":
    import fcntl

MARKERS = ("manifest.json", "bundle.json")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
_GRACE = 60.0  # seconds between making a temporary folder and holding its lock, with much to spare


@contextmanager
def atomic_folder(path: str | Path, *, markers: Collection[str] = MARKERS) -> Generator[Path]:
    """Gives an empty temporary folder to fill; it takes the name `path` when the block ends without an error.

    An older folder of that name is replaced in one step (on Linux and macOS there is no moment without one).

    Args:
        path: the folder to make. Its parents are made too.
        markers: a folder that already stands there is replaced only if it is empty or holds one of these
            files, so that `save(".")` cannot take anybody's files away.

    Raises: StoreError if the target must not be replaced, or if the disk is full; it is as it was before.

    >>> import tempfile
    >>> home = tempfile.TemporaryDirectory()
    >>> target = Path(home.name) / "store"
    >>> with atomic_folder(target) as folder:
    ...     _ = (folder / "manifest.json").write_text("{}")
    ...     target.exists()
    False
    >>> target.exists()
    True
    >>> home.cleanup()
    """
    target = Path(path).resolve()  # a link's target is replaced, not the link
    _refuse_strangers(target, markers)
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    made = _temporary(target)
    made.mkdir()
    lock = _lock(made)
    try:
        with _told(target):
            yield made
            for folder, _, files in os.walk(made):
                for name in files:
                    _sync(Path(folder, name))
                _sync(Path(folder))
            _refuse_strangers(target, markers)  # it may have come meanwhile
            _swap(made, target)
            _sync(target.parent)
    finally:
        shutil.rmtree(made, ignore_errors=True)  # the unfinished one, or the one that was replaced
        if lock is not None:
            os.close(lock)


@contextmanager
def atomic_file(path: str | Path) -> Generator[Path]:
    """Gives a temporary path to write; it takes the name `path` when the block ends without an error.

    Raises: StoreError if the disk is full; what stood there before is untouched then.
    """
    target = Path(path).resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    made = _temporary(target)
    made.touch()
    lock = _lock(made)
    try:
        with _told(target):
            yield made
            _sync(made)
            made.replace(target)
            _sync(target.parent)
    finally:
        made.unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)


def _refuse_strangers(target: Path, markers: Collection[str]) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise StoreError(f"{target}: a file stands here.\n  Fix: choose another name, or remove it.")
    names = {entry.name for entry in target.iterdir()}
    if names and not names.intersection(markers):
        raise StoreError(
            f"{target}: it holds other files ({', '.join(sorted(names)[:3])}); nothing was written.\n"
            "  Fix: choose a folder of its own."
        )


@contextmanager
def _told(target: Path) -> Generator[None]:
    """A disk that takes no more, said as one of our errors."""
    try:
        yield
    except OSError as error:
        if isinstance(error, StoreError) or error.errno not in _FULL:
            raise
        raise StoreError(
            f"{target}: could not be written ({error.strerror}); what stood there before is untouched.\n"
            "  Fix: make room, or choose another disk."
        ) from error


def _temporary(target: Path) -> Path:
    return target.with_name(f"{_prefix(target)}{secrets.token_hex(4)}")


def _prefix(target: Path) -> str:
    return f".{target.name}.tmp-"


def _sweep(target: Path) -> None:
    """Removes what killed writers of this target left behind: nobody holds the lock of those."""
    for left in target.parent.glob(f"{_escaped(_prefix(target))}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime < _GRACE:
                continue
            lock = _lock(left)
            if lock is None:  # somebody writes, or nobody can tell here
                continue
            shutil.rmtree(left) if left.is_dir() else left.unlink()
            os.close(lock)


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _lock(path: Path) -> int | None:
    """Holds an exclusive lock on `path` until the returned descriptor is closed; None if it cannot be had."""
    if sys.platform == "win32":
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _sync(path: Path) -> None:
    """Makes a file, or the entries of a folder, survive a power cut."""
    if sys.platform == "win32" and path.is_dir():
        return  # a folder cannot be opened there
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _swap(made: Path, target: Path) -> None:
    """Gives `made` the name of `target`; an older folder of that name is found under `made` afterwards."""
    if not target.exists():
        made.rename(target)
    elif not _exchange(made, target):
        aside = _temporary(target)
        target.rename(aside)
        try:
            made.rename(target)
        except OSError:
            aside.rename(target)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(a: Path, b: Path) -> bool:
    """Exchanges two names in one step where the system can (Linux, macOS); False where it cannot."""
    calls = {"linux": ("renameat2", -100, 2), "darwin": ("renameatx_np", -2, 2)}  # AT_FDCWD; exchange, swap
    if sys.platform not in calls:
        return False
    name, here, flag = calls[sys.platform]
    call = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if call is None:
        return False
    return call(here, os.fsencode(a), here, os.fsencode(b), ctypes.c_uint(flag)) == 0
