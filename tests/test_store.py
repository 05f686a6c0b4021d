"""The store: whole objects or none, the first result of a key stays, full disks are named."""

import errno
import json
from pathlib import Path

import pytest

from langmerge.errors import StorageError
from langmerge.files import create_atomically, write_atomically
from langmerge.store import Action, Store


def put(store: Store, **files: str) -> str:
    def build(folder: Path) -> None:
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")

    return store.put(build)


def test_objects_are_named_by_content(tmp_path: Path) -> None:
    store = Store(tmp_path)

    first, again, other = put(store, a="x"), put(store, a="x"), put(store, a="y")

    assert first == again != other
    assert (store.object(first) / "a").read_text() == "x"
    assert sorted(path.name for path in (tmp_path / "objects").iterdir()) == sorted([first, other])


def test_a_failing_build_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def build(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.put(build)
    assert list((tmp_path / "objects").iterdir()) == []


def test_first_result_of_a_key_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = Action("k", {"kind": "train"}, put(store, a="1"), {"rows": 1}, {"seconds": 2.0})
    second = Action("k", {"kind": "train"}, put(store, a="2"))

    store.record(first)

    assert store.record(second) == first
    assert store.action("k") == first
    assert store.action("other") is None


def test_of_two_writers_at_once_the_first_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = Store(tmp_path), Store(tmp_path)
    first, second = (Action("k", {}, put(store, a=name)) for name in "12")
    # Both have looked, and found nothing.
    looks = iter([None])
    look = other.action
    monkeypatch.setattr(other, "action", lambda key: next(looks, "again") and look(key))
    store.record(first)

    assert other.record(second) == first
    assert store.action("k") == first


def test_a_disk_without_hard_links_records_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refused)
    store = Store(tmp_path)
    action = store.record(Action("k", {}, put(store, a="1")))

    assert store.action("k") == action
    assert [path.name for path in (tmp_path / "actions").iterdir()] == ["k.json"]
    assert not create_atomically(tmp_path / "actions" / "k.json", "another")
    assert store.action("k") == action


@pytest.mark.parametrize("damage", ["truncate", "remove", "manifest"])
def test_a_damaged_object_is_not_used_and_can_be_rebuilt(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    digest = put(store, a="content")
    store.record(Action("k", {}, digest))
    folder = store.object(digest)
    if damage == "truncate":
        (folder / "a").write_text("cont")
    elif damage == "remove":
        (folder / "a").unlink()
    else:
        (folder / "manifest.json").write_text("{")

    assert store.action("k") is None
    with pytest.raises(StorageError, match="run again"):
        store.object(digest)

    assert put(store, a="content") == digest
    assert store.action("k") is not None


def test_a_damaged_action_counts_as_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.record(Action("k", {}, put(store, a="x")))
    (tmp_path / "actions" / "k.json").write_text(json.dumps({"key": "k"}))

    assert store.action("k") is None


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only")]
)
def test_unwritable_places_are_named(tmp_path: Path, code: int, words: str) -> None:
    def build(folder: Path) -> None:
        raise OSError(code, "cannot")

    with pytest.raises(StorageError, match=words):
        Store(tmp_path).put(build)
    assert list((tmp_path / "objects").iterdir()) == []


def test_atomic_write_keeps_the_old_file_on_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="disk is full"):
        write_atomically(path, "new")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_work_folders_come_and_go(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = store.work("k")
    (folder / "checkpoint").write_text("x")

    store.clear_work("k")

    assert not folder.exists()
    store.clear_work("k")
