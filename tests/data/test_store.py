"""Logs on disk: what is saved comes back, quickly; what is not whole is refused."""

import hashlib
import json
import resource
import shutil
import signal
import time
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given

from killed import deaths
from logs import event_frames, random_log
from penchant.data import Attributes, Interactions
from penchant.data.events import at_least, categorical, items, read_events, users
from penchant.data.store import open_attributes, open_log, save_attributes, save_log, verify
from penchant.errors import PenchantError, StoreError, VersionError

T = 1_600_000_000


@pytest.fixture
def log():
    """A log with everything that a log may have."""
    frame = pl.DataFrame(
        {
            "u": ["é", "b", "é", "c", "b", "é"],
            "i": [9, 7, 7, 8, 9, 6],
            "t": [T + n for n in (5, 1, 3, 2, 4, 6)],
            "y": [5, 1, 4, 2, 3, 4],
            "e": ["view", "buy", "view", "view", "buy", "view"],
            "hour": [1, 2, 1, 3, 2, 1],
            "price": [1.0, None, 2.0, 3.0, 4.0, 5.0],
        }
    )
    films = pl.DataFrame(
        {
            "i": [7, 8, 5],
            "title": ["Sieben", None, "Fünf"],
            "genres": ["a|b", "", "b"],
            "tags": [[1, 2], [3], None],
            "year": [1995, None, 2000],
            "vector": [[1.0, 2.0], None, [3.0, 4.0]],
        }
    )
    labels = {"genres": "|", "tags": None}
    return read_events(
        frame,
        user="u",
        item="i",
        time="t",
        label=at_least("y", 3),
        event="e",
        context=[categorical("hour"), "price"],
        items=items(films, title="title", categories=labels, numbers=["year"], vectors=["vector"]),
        users=users(pl.DataFrame({"u": ["b"], "age": [33]}), numbers=["age"]),
    )


def same_vocabulary(a, b):
    return len(a) == len(b) and a.dtype == b.dtype and a.all_ids.equals(b.all_ids)


def same_attributes(a: Attributes, b: Attributes) -> bool:
    assert same_vocabulary(a.vocabulary, b.vocabulary)
    assert a.title == b.title
    for kind in ("categories", "numbers", "text", "vectors"):
        assert list(getattr(a, kind)) == list(getattr(b, kind)), kind
    for name in a.categories:
        x, y = a.categories[name], b.categories[name]
        assert torch.equal(x.values, y.values)
        assert torch.equal(x.offsets, y.offsets)
        assert same_vocabulary(x.labels, y.labels)
    for name in a.numbers:
        torch.testing.assert_close(a.numbers[name], b.numbers[name], equal_nan=True)
    for name in a.text:
        assert a.text[name].equals(b.text[name])
    for name in a.vectors:
        assert torch.equal(a.vectors[name], b.vectors[name])
    return True


def same_log(a: Interactions, b: Interactions):
    assert same_attributes(a.users, b.users)
    assert same_attributes(a.catalogue, b.catalogue)
    for name in ("offsets", "item", "time", "label", "event"):
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None) == (y is None), name
        assert x is None or (x.dtype == y.dtype and torch.equal(x, y)), name
    assert list(a.columns) == list(b.columns)
    for name in a.columns:
        assert a.columns[name].dtype == b.columns[name].dtype
        torch.testing.assert_close(a.columns[name], b.columns[name], equal_nan=True)
    assert list(a.column_labels) == list(b.column_labels)
    for name in a.column_labels:
        assert same_vocabulary(a.column_labels[name], b.column_labels[name])
    assert (a.events is None) == (b.events is None)
    assert a.events is None or same_vocabulary(a.events, b.events)
    assert (a.profile, a.has_time) == (b.profile, b.has_time)
    return True


# -- there and back ------------------------------------------------------------------------------------------


def test_a_log_comes_back(log, tmp_path):
    log.save(tmp_path / "log")
    verify(tmp_path / "log")
    back = open_log(str(tmp_path / "log"))
    assert same_log(log, back)
    assert back.catalogue.titles([2, 3, 5, 6]) == ["9", "Sieben", "6", "Fünf"]
    assert back.users.vocabulary.index(["é", "b", "nobody"]).tolist() == [2, 3, 1]
    assert back.features.columns == log.features.columns


@given(event_frames())
def test_any_log_comes_back(tmp_path_factory, frame):
    path = tmp_path_factory.mktemp("any") / "log"
    log = read_events(frame, user="u", item="i", time="t")
    log.save(path)
    assert same_log(log, open_log(path))


def test_a_log_without_times_labels_or_attributes_comes_back(tmp_path):
    log = read_events(pl.DataFrame({"u": [1, 1], "i": ["a", "b"]}), user="u", item="i")
    log.save(tmp_path / "log")
    assert same_log(log, open_log(tmp_path / "log"))
    made = random_log(labels=True)
    made.save(tmp_path / "log")
    assert same_log(made, open_log(tmp_path / "log"))


def test_an_opened_log_can_replace_itself_and_lives_on(log, tmp_path):
    log.save(tmp_path / "log")
    opened = open_log(tmp_path / "log")
    replace(opened, profile=replace(opened.profile, source="again")).save(tmp_path / "log")
    assert same_log(log, opened)  # its files are gone, its memory is not
    assert open_log(tmp_path / "log").profile.source == "again"


def test_writing_to_an_opened_log_does_not_reach_the_disk(log, tmp_path):
    log.save(tmp_path / "log")
    open_log(tmp_path / "log").item.fill_(0)
    verify(tmp_path / "log")


def test_attributes_alone_come_back(log, tmp_path):
    save_attributes(log.catalogue, tmp_path / "catalogue")
    assert log.catalogue.categories
    assert same_attributes(log.catalogue, open_attributes(tmp_path / "catalogue"))


def test_a_log_inside_something_larger(log, tmp_path):
    save_log(log, tmp_path / "bundle" / "log")
    assert same_log(log, open_log(tmp_path / "bundle" / "log"))


def test_saving_does_not_replace_other_folders(log, tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(StoreError, match=r"notes\.txt"):
        log.save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


# -- in an instant -------------------------------------------------------------------------------------------


def test_opening_touches_neither_events_nor_ids(tmp_path):
    """Sparse files stand for 2e9 events, 1e8 users and 1e8 items: reading any of them would be noticed."""
    log = random_log(5)
    labels = len(log.catalogue.category("genres").values)
    titled = replace(log.catalogue, text={"t": pl.Series(["x"] * len(log.catalogue))}, title="t")
    replace(log, catalogue=titled).save(tmp_path / "log")
    events, ids = 2_000_000_000, 100_000_000
    stretch(tmp_path / "log", "item.npy", np.int32, events)
    stretch(tmp_path / "log", "time.npy", np.int64, events)
    stretch(tmp_path / "log", "offsets.npy", np.int64, ids + 3, last=events)
    for name in ("users", "catalogue"):
        stretch(tmp_path / "log" / name / "ids", "order.npy", np.int64, ids)
        edit(tmp_path / "log" / name / "ids", lambda m: m["meaning"].update(count=ids))
        edit(tmp_path / "log" / name, lambda m: None)
    stretch(tmp_path / "log" / "catalogue", "category-0-offsets.npy", np.int64, ids + 3, last=labels)
    edit(tmp_path / "log", lambda m: None)
    best = min(timed(lambda: open_log(tmp_path / "log")) for _ in range(5))
    opened = open_log(tmp_path / "log")
    assert len(opened) == events
    assert len(opened.catalogue) == ids + 2
    assert best < 0.05


def stretch(folder, file, dtype, count, last=None):
    """Makes an array `count` long without writing it: a sparse file."""
    values = np.lib.format.open_memmap(folder / file, mode="w+", dtype=dtype, shape=(count,))
    if last is not None:
        values[-1] = last
    del values
    edit(folder, lambda m: None)


def edit(folder, change):
    """Changes a manifest, and makes its sizes right again."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    for name, facts in manifest["files"].items():
        facts["bytes"] = (folder / name).stat().st_size
    path.write_text(json.dumps(manifest))


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


# -- what is not whole ---------------------------------------------------------------------------------------


def files(path):
    return sorted(p for p in path.rglob("*") if p.is_file())


def test_every_missing_and_every_shortened_file_is_noticed_at_once(log, tmp_path):
    log.save(tmp_path / "log")
    for file in files(tmp_path / "log"):
        name = file.relative_to(tmp_path / "log")
        top = name.name == str(name) == "manifest.json"  # whose size nobody else knows
        for harm in ("missing", "short") if top else ("missing", "short", "long"):
            shutil.copytree(tmp_path / "log", tmp_path / "copy")
            copy = tmp_path / "copy" / name
            if harm == "missing":
                copy.unlink()
            else:
                content = copy.read_bytes()
                copy.write_bytes(content[:-1] if harm == "short" else content + b" ")
            with pytest.raises(
                StoreError, match="manifest.json" if name.name == "manifest.json" else name.name
            ):
                open_log(tmp_path / "copy").catalogue.titles([2])
            shutil.rmtree(tmp_path / "copy")


def test_verify_names_the_first_file_that_differs(log, tmp_path):
    log.save(tmp_path / "log")
    for file in files(tmp_path / "log"):
        if file.name == "manifest.json":
            continue
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(StoreError, match=f"{file.name} is not what was written"):
            verify(tmp_path / "log")
        file.write_bytes(content)
    verify(tmp_path / "log")


def test_another_version_is_refused(log, tmp_path):
    log.save(tmp_path / "log")
    edit(tmp_path / "log", lambda m: m.update(format=2))
    with pytest.raises(VersionError, match="written in format 2, this version of penchant reads format 1"):
        open_log(tmp_path / "log")


def test_places_without_a_log(log, tmp_path):
    log.save(tmp_path / "log")
    for path, what in (
        (tmp_path / "nowhere", "no store here"),
        (tmp_path, "no store here"),
        (tmp_path / "log" / "users", "kind 'attributes'"),
    ):
        with pytest.raises(StoreError, match=what):
            open_log(path)


def outside(manifest):
    """A file that is there and is what the manifest says of it, but is none of the store's."""
    manifest["files"]["../secret"] = {"bytes": 6, "sha256": hashlib.sha256(b"secret").hexdigest()}


@pytest.mark.parametrize(
    "change",
    [
        outside,
        lambda m: m["children"].append("../other"),
        lambda m: m.pop("files"),
        lambda m: m.update(files={"item.npy": 3}),
        lambda m: m.update(meaning=[]),
        lambda m: m["meaning"].pop("columns"),
        lambda m: m["meaning"].update(columns=7),
        lambda m: m["meaning"].update(labelled=["nothing"]),
        lambda m: m["meaning"].update(event=False, label=True, columns=["hour", "price", "more"]),
        lambda m: m["meaning"]["profile"].update(unheard=1),
        lambda m: m["meaning"]["profile"].pop("notes"),
    ],
)
def test_manifests_that_lie_are_refused(log, tmp_path, change):
    (tmp_path / "secret").write_text("secret")
    save_log(log, tmp_path / "other")
    log.save(tmp_path / "log")
    path = tmp_path / "log" / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(StoreError):
        open_and_verify(tmp_path / "log")


def open_and_verify(path):
    open_log(path)
    verify(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "{}", "\xff"])
def test_manifests_that_are_none(log, tmp_path, text):
    log.save(tmp_path / "log")
    (tmp_path / "log" / "manifest.json").write_bytes(text.encode("latin1"))
    with pytest.raises(StoreError):
        open_log(tmp_path / "log")


def test_arrays_of_another_kind_are_refused(log, tmp_path):
    log.save(tmp_path / "log")
    wrong = [
        ("item.npy", np.zeros(6, np.int64)),
        ("item.npy", np.zeros(5, np.int32)),
        ("item.npy", np.zeros((6, 1), np.int32)),
        ("offsets.npy", np.zeros(3, np.int64)),
        ("item.npy", np.array([{}] * 6, dtype=object)),  # a pickle: never loaded
    ]
    for name, values in wrong:
        shutil.copytree(tmp_path / "log", tmp_path / "copy")
        np.save(tmp_path / "copy" / name, values, allow_pickle=True)
        edit(tmp_path / "copy", lambda m: None)
        with pytest.raises(StoreError, match=name):
            open_log(tmp_path / "copy")
        shutil.rmtree(tmp_path / "copy")


def test_text_that_is_no_text_is_refused(log, tmp_path):
    log.save(tmp_path / "log")
    file = tmp_path / "log" / "users" / "ids" / "ids.arrow"
    file.write_bytes(file.read_bytes().replace("é".encode(), b"\xff\xfe"))
    with pytest.raises(StoreError, match=r"ids\.arrow cannot be read"):
        open_log(tmp_path / "log").users.vocabulary.index(["b"])


# -- interrupted ---------------------------------------------------------------------------------------------

SAVE = """
from dataclasses import replace
from logs import random_log
log = random_log(2_000, 500, mean=40)
def save(path, life, n):
    replace(log, profile=replace(log.profile, source=f"{life}, save {n}")).save(path)
"""


def test_a_kill_at_any_moment_leaves_a_whole_log(tmp_path):
    path = tmp_path / "log"
    random_log(5).save(path)
    sources, left = set(), set()
    for _ in deaths(SAVE, path, 6):
        verify(path)
        sources.add(open_log(path).profile.source)
        left |= {p.name for p in tmp_path.iterdir() if p != path}
    assert len(sources) == 6
    assert left  # it was killed while saving
    assert all(name.startswith(".log.tmp-") for name in left)  # names that nobody opens


@pytest.mark.parametrize("limit", [0, 100, 500, 1_500, 5_000, 12_000, 25_000])
def test_a_disk_that_fills_up_leaves_the_old_log(tmp_path, limit):
    """A limit on file size stands for the disk: writing on is refused in the middle of a file."""
    path = tmp_path / "log"
    random_log(30).save(path)
    before = {p: p.read_bytes() for p in files(path)}
    big = random_log(200, 50)
    big = replace(
        big, catalogue=replace(big.catalogue, text={"t": pl.Series(["x" * 1_000] * len(big.catalogue))})
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(StoreError, match="untouched"):
            big.save(path)
        with pytest.raises(StoreError, match="could not be written"):
            big.save(tmp_path / "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert {p: p.read_bytes() for p in files(tmp_path)} == before


def test_half_a_log_is_never_opened(log, tmp_path):
    """What a killed writer may leave of a folder that nobody renames: some files, in their order."""
    save_log(log, tmp_path / "whole")
    order = sorted(files(tmp_path / "whole"), key=lambda p: p.stat().st_mtime_ns)
    assert order[-1] == tmp_path / "whole" / "manifest.json"
    for count in range(len(order)):
        half = tmp_path / "half"
        for file in order[:count]:
            copy = half / file.relative_to(tmp_path / "whole")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
        with pytest.raises(PenchantError):
            open_log(half)
        shutil.rmtree(half, ignore_errors=True)
