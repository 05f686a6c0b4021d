"""The content-addressed store: what jobs made, under the digest of what it is.

```
STORE/actions/KEY.json             which object a job's key produced, with facts and cost
STORE/objects/DIGEST/manifest.json files of the object with sizes and digests; written last
STORE/objects/DIGEST/...           the files
STORE/work/KEY/                    checkpoints of a job that has not finished
STORE/releases/*.json              what was released, with the objects it needs
STORE/ledger.jsonl                 every attempt at a job, one line each
STORE/damaged/                     what `langmerge verify --repair` set aside
```

An object is written to a temporary folder, synced and renamed, so a reader sees all of it or
nothing. The first result recorded for a key stays.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langmerge.canonical import digest_of, digest_of_file
from langmerge.errors import StorageError

_MANIFEST = "manifest.json"
_UNWRITABLE = {
    errno.ENOSPC: "the disk is full; free space and run again",
    errno.EDQUOT: "the disk quota is used up; free space and run again",
    errno.EROFS: "the file system is read-only; choose a writable project folder",
    errno.ENOTDIR: "a file stands where a folder is needed; choose another folder",
    errno.EEXIST: "a file stands where a folder is needed; choose another folder",
    errno.EACCES: "permission denied; choose a writable project folder",
}


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

    def __init__(self, root: Path) -> None:
        self.root = root

    def action(self, key: str) -> Action | None:
        """Return the action recorded for a key, or None if there is none or its object is gone."""
        action = self.recorded(key)
        return action if action is not None and self._is_whole(action.output) else None

    def recorded(self, key: str) -> Action | None:
        """Return the action recorded for a key, whatever became of its object."""
        try:
            return Action(**json.loads(self._action_path(key).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def record(self, action: Action) -> Action:
        """Record a finished action, and return the one that counts: the first for its key."""
        if (earlier := self.action(action.key)) is not None:
            return earlier
        write_atomically(self._action_path(action.key), _pretty_json(vars(action)))
        return action

    def put(self, build: Callable[[Path], None]) -> str:
        """Store the files that `build` writes into the folder it is given; return their digest."""
        with writing(self.root):
            objects = self.root / "objects"
            objects.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=".incoming-", dir=objects))
            try:
                build(folder)
                manifest = _manifest_of(folder)
                (folder / _MANIFEST).write_text(_pretty_json(manifest), encoding="utf-8")
                _sync_tree(folder)
                digest = digest_of(manifest)
                folder.chmod(0o755)  # mkdtemp's is for its owner alone; a server may be another
                self._publish(folder, digest)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        return digest

    def object(self, digest: str) -> Path:
        """Return the folder of an object.

        Raises:
            StorageError: if the object is missing or incomplete.
        """
        if not self._is_whole(digest):
            raise StorageError(
                f"{self._object_path(digest)}: the object is missing or incomplete; "
                "run again to rebuild it"
            )
        return self._object_path(digest)

    def work(self, key: str) -> Path:
        """Return the folder for an unfinished job's checkpoints, created if need be."""
        folder = self.root / "work" / key
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def clear_work(self, key: str) -> None:
        """Remove a finished job's checkpoints."""
        shutil.rmtree(self.root / "work" / key, ignore_errors=True)

    def actions(self) -> list[Path]:
        """Return the files of all actions, `KEY.json`, in the order of their keys."""
        return sorted(self.root.glob("actions/[!.]*.json"))

    def objects(self) -> list[Path]:
        """Return the folders of all objects, named by digest, in the order of their digests."""
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
        folder = self._object_path(digest)
        try:
            manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
            if (found := digest_of(manifest)) != digest:
                return f"{_MANIFEST} has the digest {found}, expected the folder's name"
            actual = _manifest_of(folder)
        except (OSError, ValueError):
            return f"{_MANIFEST} is missing or not readable"
        actual.pop(_MANIFEST)
        for name in sorted(manifest.keys() | actual.keys()):
            if name not in actual:
                return f"{name} is missing"
            if name not in manifest:
                return f"{name} is not in {_MANIFEST}"
            if actual[name] != manifest[name]:
                return (
                    f"{name} has {actual[name]['size']} bytes with the digest "
                    f"{actual[name]['sha256']}, expected {manifest[name]['size']} with "
                    f"{manifest[name]['sha256']}"
                )
        return None

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
            _sync(folder.parent)
            shutil.rmtree(aside)

    def set_aside(self, path: Path) -> Path:
        """Move a damaged object or action to `damaged/`, where nothing uses it; return its place.

        Raises:
            StorageError: if the store cannot be written.
        """
        folder = self.root / "damaged"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            names = itertools.chain([path.name], (f"{path.name}.{n}" for n in itertools.count(2)))
            place = next(folder / name for name in names if not (folder / name).exists())
            return path.rename(place)

    def _publish(self, folder: Path, digest: str) -> None:
        target = self._object_path(digest)
        if target.exists() and not self._is_whole(digest):
            shutil.rmtree(target)
        with contextlib.suppress(FileExistsError):
            try:
                folder.rename(target)
            except OSError as error:  # another run published the same bytes first
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
        _sync(target.parent)

    def _is_whole(self, digest: str) -> bool:
        folder = self._object_path(digest)
        try:
            manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
            return all(
                (folder / name).stat().st_size == entry["size"] for name, entry in manifest.items()
            )
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return False

    def _action_path(self, key: str) -> Path:
        return self.root / "actions" / f"{key}.json"

    def _object_path(self, digest: str) -> Path:
        return self.root / "objects" / digest


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn a full disk or a read-only folder into a `StorageError` that says so."""
    try:
        yield
    except OSError as error:
        if error.errno in _UNWRITABLE:
            raise StorageError(f"{place}: {_UNWRITABLE[error.errno]}") from error
        raise


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a folder to fill, which takes `target`'s name only if the block succeeds.

    Raises:
        StorageError: if it cannot be written.
    """
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            yield folder
            folder.chmod(0o755)  # mkdtemp's is for its owner alone
            folder.rename(target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def write_atomically(path: Path, text: str) -> None:
    """Write a UTF-8 text file so that a reader, or a crash, sees the old or the new whole file."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        _sync(path.parent)


def _manifest_of(folder: Path) -> dict[str, dict[str, Any]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {
            "sha256": digest_of_file(path),
            "size": path.stat().st_size,
        }
        for path in files
    }


def _pretty_json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
