"""The content-addressed store: what jobs made, under the digest of what it is.

```
STORE/actions/KEY.json             which object a job's key produced, with facts and cost
STORE/objects/DIGEST/manifest.json files of the object with sizes and digests; written last
STORE/objects/DIGEST/...           the files
STORE/work/KEY/                    checkpoints of a job that has not finished
STORE/sweeps/                  answers of candidate recipes, and the evidence for chosen ones
STORE/releases/*.json              what was released, with the objects it needs
STORE/ledger.jsonl                 every attempt at a job, one line each
STORE/plan-cache.json              what planning read of results and data files
STORE/verified.jsonl               which objects were read whole, and what they looked like then
STORE/damaged/                     what a run or `langmerge verify --repair` set aside
STORE/cluster.mark                 by which a cluster's workers know the folder
STORE/run.lock, release.lock       who is at work, for others to wait or stop
```

An object is written to a temporary folder, synced and renamed, so a reader sees all of it or
nothing. The first result recorded for a key stays. Nothing is used whose bytes changed: an object
is checked against its digests before use (`seals.py` says how often), an action against the seal
that is its last line.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from langmerge.canonical import digest_of, digest_of_file, is_digest, parse_json
from langmerge.errors import StorageError
from langmerge.files import (
    create_atomically,
    is_inside,
    sync,
    sync_tree,
    write_atomically,
    writing,
)
from langmerge.seals import Seals, look_of

Manifest = dict[str, dict[str, Any]]
"""File name in an object -> its `size` in bytes and `sha256`."""

MANIFEST_FILE = "manifest.json"
"""An object's list of its files, written last."""
_RELEASE_NAME = re.compile(r"[0-9]+-[0-9a-f]{8}")
_SEAL = ',\n "seal": "'


@dataclass(frozen=True)
class Action:
    """What a finished job left behind.

    Attributes:
        key: digest of `document`.
        document: everything the job's result depends on.
        output: digest of the object it produced.
        facts: what later jobs and the results need without opening the object.
        ledger: what it cost and on what it ran; never part of a key.
    """

    key: str
    document: Mapping[str, Any]
    output: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    ledger: Mapping[str, Any] = field(default_factory=dict)


class Store:
    """A store in a local folder; created on first write."""

    url: str | None = None
    """Where a shared store is."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seals = Seals(root / "verified.jsonl")

    def action(self, key: str) -> Action | None:
        """Return the action recorded for a key, or None if it or its object cannot be used."""
        action = self.recorded(key)
        return action if action is not None and self.is_whole(action.output) else None

    def recorded(self, key: str) -> Action | None:
        """Return the action recorded for a key, whatever became of its object; None if damaged."""
        try:
            return action_of(key, self._action_path(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def record(self, action: Action) -> Action:
        """Record a finished action, and return the one that counts: the first for its key."""
        if (earlier := self.action(action.key)) is not None:
            return earlier
        path, text = self._action_path(action.key), text_of(action)
        if not create_atomically(path, text):
            if (first := self.action(action.key)) is not None:
                return first
            write_atomically(path, text)  # over one that cannot be used
        return action

    def share(self, action: Action) -> None:
        """Make a result known to other machines, where the store is shared."""

    def sync_releases(self) -> None:
        """Bring the releases here and those of a shared store together."""

    def share_pointer(self) -> None:
        """Make known which release is the current one, where the store is shared."""

    @contextlib.contextmanager
    def lease(self, name: str, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
        """Hold the store against other machines, where it is shared."""
        yield

    def put(self, build: Callable[[Path], None]) -> str:
        """Store the files that `build` writes into the folder it is given; return their digest."""
        with writing(self.root):
            objects = self.root / "objects"
            objects.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=".incoming-", dir=objects))
            try:
                build(folder)
                manifest = _manifest_of(folder)
                (folder / MANIFEST_FILE).write_text(_pretty_json(manifest), encoding="utf-8")
                sync_tree(folder)
                digest = digest_of(manifest)
                folder.chmod(0o755)  # mkdtemp's is for its owner alone; a server may be another
                self._publish(folder, digest)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        return digest

    def object(self, digest: str) -> Path:
        """Return the folder of an object.

        Raises:
            StorageError: if the object is missing or damaged.
        """
        if not self._is_whole_here(digest):
            raise StorageError(
                f"{self._object_path(digest)}: {self._damage_here(digest)}; run again to rebuild it"
            )
        return self._object_path(digest)

    def is_whole(self, digest: str) -> bool:
        """Return whether an object's bytes are what they were; reads them if they look changed."""
        return self._is_whole_here(digest)

    def work(self, key: str) -> Path:
        """Return the folder for an unfinished job's checkpoints, created if need be."""
        folder = self.root / "work" / key
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def clear_work(self, key: str) -> None:
        """Remove a finished job's checkpoints."""
        shutil.rmtree(self.root / "work" / key, ignore_errors=True)

    def place(self, name: str) -> str:
        """Return where a file or folder of the store is, for people."""
        return str(self.root / name)

    def keys(self) -> set[str]:
        """Return the keys of all actions, readable or not."""
        names = _names(self.root / "actions")
        return {name.removesuffix(".json") for name in names if name.endswith(".json")}

    def digests(self) -> set[str]:
        """Return the digests of all objects, whole or not."""
        return _names(self.root / "objects")

    def actions(self) -> list[Path]:
        """Return the files of all actions here, `KEY.json`, in the order of their keys."""
        return sorted(self.root.glob("actions/[!.]*.json"))

    def objects(self) -> list[Path]:
        """Return the folders of all objects here, `DIGEST`, in the order of their digests."""
        return sorted(self.root.glob("objects/[!.]*"))

    def releases(self) -> list[Path]:
        """Return the files of all releases, in the order of their names."""
        return sorted(self.root.glob("releases/[!.]*.json"))

    def work_folders(self) -> list[Path]:
        """Return the folders of unfinished jobs, named by key, in the order of their keys."""
        return sorted(self.root.glob("work/[!.]*"))

    def leftovers(self) -> list[Path]:
        """Return what killed writes and removals left behind; live ones too, if one goes on."""
        return sorted(
            path
            for pattern in ("actions/.*", "objects/.*", "releases/.*", "work/*/.*")
            for path in self.root.glob(pattern)
        )

    def damage(self, digest: str) -> str | None:
        """Return what is wrong with an object's bytes, or None; reads every file of it."""
        return self._damage_here(digest)

    def set_damage_aside(self, key: str) -> str | None:
        """Move what cannot be used of a key's result to `damaged/`; return what was wrong, if any.

        Raises:
            StorageError: if the store cannot be written.
        """
        path = self._action_path(key)
        if not path.exists():
            return None
        action = self.recorded(key)
        if action is None:
            damage = "not the action that was written"
        else:
            path = self._object_path(action.output)
            found = self.damage(action.output)
            if found is None or not path.exists():
                return found and f"{path}: {found}"
            damage = found
        place = self.set_aside(path)
        return f"{path}: {damage}; set aside as {place.relative_to(self.root)}"

    def forget_removed(self) -> None:
        """Drop what is noted of objects that are no longer there.

        Raises:
            StorageError: if the store cannot be written.
        """
        self._seals.keep_only({path.name for path in self.objects()})

    def remove_object(self, digest: str) -> None:
        """Remove an object; killed in the middle, it leaves a leftover, never half an object.

        Raises:
            StorageError: if the store cannot be written.
        """
        folder = self._object_path(digest)
        aside = folder.with_name(f".removing-{digest}")
        with writing(folder):
            if aside.exists():
                shutil.rmtree(aside)
            folder.rename(aside)
            sync(folder.parent)
            shutil.rmtree(aside)

    def set_aside(self, path: Path) -> Path:
        """Move a damaged object or action to `damaged/`, where nothing uses it; return its place.

        Raises:
            StorageError: if the store cannot be written.
        """
        return self._set_aside_here(path)

    def _publish(self, folder: Path, digest: str) -> None:
        target = self._object_path(digest)
        if target.exists() and not self._is_whole_here(digest):
            self._set_aside_here(target)
        try:
            folder.rename(target)
        except OSError as error:  # another run published the same bytes first
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            if (look := look_of(target, _files_of(target))) is not None:
                self._seals.add(digest, look)
        sync(target.parent)

    def _is_whole_here(self, digest: str) -> bool:
        known = self._seals.holds(digest, self._object_path(digest))
        return known or self._damage_here(digest) is None

    def _damage_here(self, digest: str) -> str | None:
        folder = self._object_path(digest)
        look = look_of(folder, _files_of(folder))  # before reading: a later change is then seen
        damage = damage_of(folder, digest)
        if damage is not None:
            self._seals.drop(digest)
        elif look is not None:
            self._seals.add(digest, look)
        return damage

    def _set_aside_here(self, path: Path) -> Path:
        folder = self.root / "damaged"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            names = itertools.chain([path.name], (f"{path.name}.{n}" for n in itertools.count(2)))
            place = next(folder / name for name in names if not (folder / name).exists())
            return path.rename(place)

    def _action_path(self, key: str) -> Path:
        return self.root / "actions" / f"{key}.json"

    def _object_path(self, digest: str) -> Path:
        return self.root / "objects" / digest


def is_release_name(name: str) -> bool:
    """Return whether a name is a release's, NUMBER-DIGEST8, and so can be the name of a file."""
    return _RELEASE_NAME.fullmatch(name) is not None


def action_of(key: str, text: str) -> Action | None:
    """Return the action that a file's text holds; None if it is damaged, or another key's.

    Its output is a digest: what others wrote may lead nowhere else.
    """
    try:
        content = parse_json(text)
        # Stores of older versions have actions without a seal.
        is_sealed = content.pop("seal", None) in (None, _seal_of(text))
        if is_sealed and content["key"] == key and is_digest(content["output"]):
            return Action(**content)
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    return None


def text_of(action: Action) -> str:
    """Return an action as the text of its file, sealed."""
    text = _pretty_json(vars(action)).removesuffix("\n}\n") + _SEAL
    return f'{text}{_seal_of(text)}"\n}}\n'


def damage_of(folder: Path, digest: str) -> str | None:
    """Return what is wrong with the bytes in an object's folder, or None."""
    if not folder.exists():
        return "the object is missing"
    try:
        content = (folder / MANIFEST_FILE).read_bytes()
        actual = _manifest_of(folder)
    except OSError:
        return f"{MANIFEST_FILE} is missing or not readable"
    try:
        expected = manifest_from(content, digest)
    except ValueError as error:
        return str(error)
    actual.pop(MANIFEST_FILE)
    return next(_differences(expected, actual), None)


def manifest_from(content: bytes, digest: str) -> Manifest:
    """Return an object's manifest, checked before any file that it names is touched.

    Raises:
        ValueError: saying what is wrong with it.
    """
    try:
        manifest: Manifest = parse_json(content)
        found = digest_of(manifest)
    except (ValueError, RecursionError):
        raise ValueError(f"{MANIFEST_FILE} is missing or not readable") from None
    if found != digest:
        raise ValueError(f"{MANIFEST_FILE} has the digest {found}, expected the folder's name")
    if not _is_manifest(manifest):
        raise ValueError(f"{MANIFEST_FILE} names what cannot be files of an object")
    return manifest


def _is_manifest(value: Any) -> bool:
    """Return whether this names files inside the object, none in another's place."""
    if not isinstance(value, dict) or not all(map(is_inside, value)) or MANIFEST_FILE in value:
        return False
    folders = {str(folder) for name in value for folder in PurePosixPath(name).parents}
    are_entries = all(
        isinstance(entry, dict)
        and is_digest(entry.get("sha256"))
        and type(entry.get("size")) is int
        for entry in value.values()
    )
    return are_entries and folders.isdisjoint({*value, MANIFEST_FILE})


def _differences(expected: Manifest, actual: Manifest) -> Iterator[str]:
    for name in sorted(expected.keys() | actual.keys()):
        if name not in actual:
            yield f"{name} is missing"
        elif name not in expected:
            yield f"{name} is not in {MANIFEST_FILE}"
        elif actual[name] != expected[name]:
            now, then = (
                f"{entry['size']} bytes with the digest {entry['sha256']}"
                for entry in (actual[name], expected[name])
            )
            yield f"{name} has {now}, expected {then}"


def _manifest_of(folder: Path) -> Manifest:
    return {
        name: {
            "sha256": digest_of_file(folder / name),
            "size": (folder / name).stat().st_size,
        }
        for name in _files_of(folder)
    }


def _files_of(folder: Path) -> list[str]:
    """Return the names of all files in a folder and below, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path.relative_to(folder).as_posix() for path in files]


def _names(folder: Path) -> set[str]:
    """Return the names in a folder, apart from those of unfinished writes and removals."""
    try:
        return {entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")}
    except OSError:
        return set()


def _seal_of(text: str) -> str:
    """Return the digest of an action's text before its seal."""
    return hashlib.sha256(text.rpartition(_SEAL)[0].encode()).hexdigest()


def _pretty_json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
