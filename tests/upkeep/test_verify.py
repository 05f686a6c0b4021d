"""Verification: every kind of damage is named, and set aside only when asked."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from langmerge.canonical import digest_of
from langmerge.engine.holding import held
from langmerge.errors import StorageError
from langmerge.plan.lock import Lock
from langmerge.store import Action, Store
from langmerge.upkeep.verify import verify

DOCUMENT = {"kind": "train", "data": {"de": "0" * 64}}
KEY = digest_of(DOCUMENT)


def build(folder: Path) -> None:
    (folder / "weights").write_text("content")
    (folder / "inner").mkdir()
    (folder / "inner" / "notes").write_text("more")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / ".langmerge")
    store.record(Action(KEY, DOCUMENT, store.put(build)))
    return store


def lock_of(store: Store, **changes: str) -> Lock:
    entry = {"key": KEY, "output": store.objects()[0].name, **changes}
    return Lock(store.root.parent / "langmerge.lock", {"train/x/de/seed0": entry})


def action_file(store: Store) -> Path:
    return store.root / "actions" / f"{KEY}.json"


def test_a_whole_store_has_no_problems(store: Store) -> None:
    assert verify(store, lock_of(store)) == []
    assert verify(Store(store.root / "nowhere"), Lock(Path("langmerge.lock"))) == []
    assert not (store.root / "nowhere").exists()


def flip(folder: Path) -> None:
    (folder / "weights").write_text("cOntent")


def truncate(folder: Path) -> None:
    (folder / "inner" / "notes").write_text("mor")


def lose(folder: Path) -> None:
    (folder / "weights").unlink()


def add(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")


def swap_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["weights"]
    path.write_text(json.dumps(manifest))


def break_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b'{"weights": \xff')


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (flip, "weights has 7 bytes with the digest"),
        (truncate, "inner/notes has 3 bytes"),
        (lose, "weights is missing"),
        (add, "adapter_config.json is not in manifest.json"),
        (swap_manifest, "manifest.json has the digest"),
        (break_manifest, "manifest.json is missing or not readable"),
    ],
)
def test_damaged_objects(store: Store, damage: Callable[[Path], None], words: str) -> None:
    lock = lock_of(store)
    folder = store.objects()[0]
    damage(folder)

    (problem,) = verify(store, lock)

    assert problem.message.startswith(f"{folder}: {words}")
    assert "verify --repair" in problem.message
    assert "\n" not in problem.message
    assert folder.exists()

    (repaired,) = verify(store, lock, repair=True)

    assert repaired.set_aside == store.root / "damaged" / folder.name
    assert repaired.set_aside.is_dir()
    assert store.action(KEY) is None  # so the next run makes it again
    assert store.put(build) == folder.name
    assert verify(store, lock) == []


def test_damaged_twice_is_kept_twice(store: Store) -> None:
    lock = lock_of(store)
    for _ in range(2):
        flip(store.objects()[0])
        verify(store, lock, repair=True)
        store.put(build)

    assert len(list((store.root / "damaged").iterdir())) == 2


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"train"', '"merge"', "changed"),
        (f'"key": "{KEY}"', f'"key": "{"0" * 64}"', "of another key"),
        ("{", "", "not readable"),
    ],
)
def test_damaged_actions(store: Store, old: str, new: str, words: str) -> None:
    path = action_file(store)
    path.write_text(path.read_text().replace(old, new, 1))

    problem = verify(store, Lock(Path("langmerge.lock")))[0]

    assert problem.message.startswith(f"{path}: ")
    assert words in problem.message

    verify(store, Lock(Path("langmerge.lock")), repair=True)

    assert not path.exists()
    assert (store.root / "damaged" / path.name).exists()


def test_an_action_of_an_older_version_has_no_seal(store: Store) -> None:
    content = json.loads(action_file(store).read_text())
    del content["seal"]
    action_file(store).write_text(json.dumps(content))
    assert verify(store, lock_of(store)) == []

    action_file(store).write_text(json.dumps(content).replace('"train"', '"merge"'))

    (problem,) = verify(store, lock_of(store))
    assert "its document has the key" in problem.message


def test_a_missing_output(store: Store) -> None:
    lock = lock_of(store)
    store.remove_object(store.objects()[0].name)

    (problem,) = verify(store, lock, repair=True)

    assert "is not in the store; `langmerge run` makes it again" in problem.message
    assert problem.damaged is None


def test_what_the_lock_says(store: Store) -> None:
    (other,) = verify(store, lock_of(store, output="0" * 64))
    assert "langmerge.lock: train/x/de/seed0: the output is 000" in other.message
    (missing,) = verify(store, lock_of(store, key="0" * 64))
    assert "has no action in the store; `langmerge run` makes it" in missing.message


def test_what_releases_say(store: Store) -> None:
    folder = store.root / "releases"
    folder.mkdir()
    (folder / "1.json").write_text(json.dumps({"objects": [store.objects()[0].name]}))
    assert verify(store, lock_of(store)) == []

    (folder / "2.json").write_text(json.dumps({"objects": ["0" * 64]}))
    (folder / "3.json").write_text("{")

    missing, unreadable = verify(store, lock_of(store))
    assert missing.message.startswith(f"{folder / '2.json'}: its object 000")
    assert unreadable.message.startswith(f"{folder / '3.json'}: not readable")


def test_only_repairing_is_refused_while_a_run_holds_the_project(store: Store) -> None:
    lock = lock_of(store)
    with held(store.root):
        assert verify(store, lock) == []
        with pytest.raises(StorageError, match="is at work on"):
            verify(store, lock, repair=True)
