"""Files and folders that are there as a whole, or not at all."""

import errno
import os
import threading

import pytest

from penchant.data import atomic
from penchant.data.atomic import atomic_file, atomic_folder
from penchant.errors import StoreError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write(path, text):
    with atomic_folder(path) as folder:
        (folder / "manifest.json").write_text(text)
        (folder / "deep").mkdir()
        (folder / "deep" / "data").write_text(text)


def test_a_folder_appears_at_the_end(tmp_path):
    target = tmp_path / "new" / "store"
    with atomic_folder(target) as folder:
        (folder / "manifest.json").write_text("1")
        assert not target.exists()
        assert folder.parent == target.parent
    assert (target / "manifest.json").read_text() == "1"
    assert names(target.parent) == ["store"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    write(tmp_path / "store", "old")
    (tmp_path / "store" / "only in the old one").touch()
    write(tmp_path / "store", "new")
    assert {p.name for p in (tmp_path / "store").iterdir()} == {"manifest.json", "deep"}
    assert (tmp_path / "store" / "deep" / "data").read_text() == "new"
    assert names(tmp_path) == ["store"]


@pytest.mark.parametrize("exchange", [True, False])
def test_readers_see_the_old_folder_or_the_new_one(tmp_path, monkeypatch, exchange):
    if not exchange:  # as on systems that cannot swap two names: there is a moment without a folder
        monkeypatch.setattr(atomic, "_exchange", lambda _a, _b: False)
    target = tmp_path / "store"
    write(target, "0")
    done, missing, torn = threading.Event(), 0, 0

    def read():
        nonlocal missing, torn
        while not done.is_set():
            try:
                found = os.open(target, os.O_RDONLY)
            except FileNotFoundError:
                missing += 1
                continue
            try:
                seen = set(os.listdir(found))  # noqa: PTH208  (of this very folder, whatever its name is by now)
            finally:
                os.close(found)
            torn += seen not in ({"manifest.json", "deep"}, set())  # empty: removed since it was opened

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(40):
        write(target, str(n))
    done.set()
    reader.join()
    assert (target / "deep" / "data").read_text() == "39"
    if exchange:
        assert missing == 0
    assert names(tmp_path) == ["store"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_one(tmp_path, error):
    write(tmp_path / "store", "old")

    def fail(path):
        path.write_text("new")
        raise error

    with pytest.raises(type(error)), atomic_folder(tmp_path / "store") as folder:
        fail(folder / "manifest.json")
    with pytest.raises(type(error)), atomic_file(tmp_path / "file") as made:
        fail(made)
    assert (tmp_path / "store" / "manifest.json").read_text() == "old"
    assert names(tmp_path) == ["store"]


@pytest.mark.parametrize("moment", ["write", "sync", "rename"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_is_told_and_harms_nothing(tmp_path, monkeypatch, moment, code):
    write(tmp_path / "store", "old")

    def fail(*_):
        raise OSError(code, os.strerror(code))

    def body(folder):
        if moment == "write":
            fail()
        (folder / "manifest.json").write_text("new")

    if moment == "sync":
        monkeypatch.setattr(os, "fsync", fail)
    if moment == "rename":
        monkeypatch.setattr(atomic, "_exchange", fail)
    told = pytest.raises(StoreError, match="what stood there before is untouched")
    with told, atomic_folder(tmp_path / "store") as folder:
        body(folder)
    monkeypatch.undo()
    assert (tmp_path / "store" / "manifest.json").read_text() == "old"
    assert names(tmp_path) == ["store"]


def test_other_errors_of_the_block_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "store"):
        (tmp_path / "nowhere").read_text()


def test_folders_of_other_people_are_not_replaced(tmp_path):
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(StoreError, match=r"thesis\.doc"), atomic_folder(tmp_path):
        raise AssertionError("not reached")
    with pytest.raises(StoreError, match="a file stands here"), atomic_folder(tmp_path / "thesis.doc"):
        raise AssertionError("not reached")
    target = tmp_path / "meanwhile"

    def come():
        target.mkdir()
        (target / "precious").touch()

    with pytest.raises(StoreError, match="precious"), atomic_folder(target):
        come()
    assert names(target) == ["precious"]
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", "fine")
    assert (tmp_path / "thesis.doc").exists()


def test_a_link_keeps_pointing(tmp_path):
    write(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "manifest.json").read_text() == "new"


def test_files_are_replaced_as_a_whole(tmp_path):
    target = tmp_path / "a" / "file.json"
    for text in ("old", "new"):
        with atomic_file(target) as made:
            made.write_text(text)
            assert not target.exists() or target.read_text() == "old"
    assert target.read_text() == "new"
    assert names(tmp_path / "a") == ["file.json"]


def test_what_killed_writers_left_is_swept_up(tmp_path):
    left = tmp_path / ".store.tmp-0123abcd"
    left.mkdir()
    (left / "half").touch()
    young, other = tmp_path / ".store.tmp-4567", tmp_path / ".store2.tmp-89"
    young.mkdir()
    other.mkdir()
    os.utime(left, (0, 0))
    os.utime(other, (0, 0))
    write(tmp_path / "store", "new")
    assert names(tmp_path) == [".store.tmp-4567", ".store2.tmp-89", "store"]


def test_what_somebody_is_writing_is_not_swept_up(tmp_path):
    with atomic_folder(tmp_path / "store") as slow:
        os.utime(slow, (0, 0))
        write(tmp_path / "store", "quick")
        (slow / "manifest.json").write_text("slow")
    assert (tmp_path / "store" / "manifest.json").read_text() == "slow"
