"""A store that several machines share: at a URL, with a local folder for copies.

```
URL/actions/KEY.json              as in a local store; the first writer's stays
URL/objects/DIGEST/...            an object's files
URL/objects/DIGEST/manifest.json  written last: without it there is no object
URL/releases/                     the releases and the pointer to the current one
URL/run.lease, release.lease      who is at work
```

The local folder is a whole store of its own, and what it holds is what this machine has made or
read. Objects are fetched when they are opened and checked against their digests. Checkpoints, the
ledger, caches and links stay local: they are one machine's.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from langmerge.canonical import is_digest, parse_json
from langmerge.errors import StorageError
from langmerge.files import sync_tree, write_atomically, writing
from langmerge.lease import leased
from langmerge.remote import Remote, open_remote
from langmerge.store import (
    MANIFEST_FILE,
    Action,
    Store,
    action_of,
    damage_of,
    is_release_name,
    manifest_from,
    text_of,
)


class SharedStore(Store):
    """A store at a URL, seen from one machine.

    Args:
        root: the local folder.
        url: where the store is; `remote.check_url` accepted it.
    """

    def __init__(self, root: Path, url: str) -> None:
        super().__init__(root)
        self.url = url
        self._remote: Remote = open_remote(url)

    def place(self, name: str) -> str:
        """Return where a file or folder of the store is, for people."""
        return f"{self.url}/{name}"

    def keys(self) -> set[str]:
        """Return the keys of all actions, here or shared."""
        return super().keys() | self._shared_keys

    def digests(self) -> set[str]:
        """Return the digests of all objects, here or shared."""
        return super().digests() | self._shared_digests

    def recorded(self, key: str) -> Action | None:
        """Return the action recorded for a key: the shared one, if there is one."""
        here = super().recorded(key)
        if here is not None and key in self._shared_keys and here.output in self._shared_digests:
            return here  # a copy: what is recorded stays
        return self._shared_action(key) or here

    def record(self, action: Action) -> Action:
        """Record a finished action, and return the one that counts: the first for its key."""
        self._upload(action.output)
        name, text = _action(action.key), text_of(action)
        if not self._remote.create(name, text.encode()):
            first = self._shared_action(action.key)
            if first is not None and self._is_shared(first.output):
                return first
            self._remote.write(name, text.encode())
        return self._noted(action.key, text) or action

    def share(self, action: Action) -> None:
        """Upload a result that only this machine has."""
        if action.key not in self._shared_keys or action.output not in self._shared_digests:
            self.record(action)

    def put(self, build: Callable[[Path], None]) -> str:
        """Store the files that `build` writes, here and shared; return their digest."""
        digest = super().put(build)
        self._upload(digest)
        return digest

    def is_whole(self, digest: str) -> bool:
        """Return whether an object can be had: its bytes are checked when they are fetched."""
        return self._is_whole_here(digest) or self._is_shared(digest)

    def object(self, digest: str) -> Path:
        """Return the folder of an object's copy, fetched if need be.

        Raises:
            StorageError: if the object is missing or damaged; a damaged one is not shared any more.
        """
        if not self._is_whole_here(digest) and (manifest := self._manifest(digest)) is not None:
            with self._fetched(digest, manifest) as (folder, damage):
                if damage is not None:
                    place = self.set_aside(self._object_path(digest))
                    raise StorageError(
                        f"{self.place(f'objects/{digest}')}: {damage}; no longer used (its "
                        f"manifest is at {place}); run again to rebuild it"
                    )
                sync_tree(folder)
                folder.chmod(0o755)
                self._publish(folder, digest)
        return super().object(digest)

    def damage(self, digest: str) -> str | None:
        """Return what is wrong with an object's bytes, or None; reads the copy and what is shared.

        What was never shared is judged by its copy.
        """
        if (manifest := self._manifest(digest)) is None:
            return self._damage_here(digest)
        if self._object_path(digest).exists() and (damage := self._damage_here(digest)) is not None:
            return f"the copy at {self._object_path(digest)}: {damage}"
        with self._fetched(digest, manifest) as (_, damage):
            return damage

    def set_damage_aside(self, key: str) -> str | None:
        """Take a key's action out of use if it is not readable; return what was wrong, if any.

        A damaged object is found, and taken out of use, when it is fetched.
        """
        content = self._remote.read(_action(key))
        if content is None or action_of(key, content.decode(errors="replace")) is not None:
            return None
        place = self.set_aside(self._action_path(key))
        return f"{self.place(_action(key))}: not the action that was written; now at {place}"

    def set_aside(self, path: Path) -> Path:
        """Take an object or action out of use, here and shared; return what is left of it here."""
        kind, name = path.parent.name, path.name
        shared = f"objects/{name}/{MANIFEST_FILE}" if kind == "objects" else f"{kind}/{name}"
        content = self._remote.read(shared)
        if path.exists():
            place = self._set_aside_here(path)
        else:
            place = self.root / "damaged" / f"{name.removesuffix('.json')}.json"
            write_atomically(place, (content or b"").decode(errors="replace"))
        self._remote.remove(shared)
        self._shared_keys.discard(name.removesuffix(".json"))
        self._shared_digests.discard(name)
        return place

    @contextlib.contextmanager
    def lease(self, name: str, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
        """Hold the store against other machines: `run` or `release`."""
        with leased(self._remote, f"{name}.lease", on_wait):
            yield

    def sync_releases(self) -> None:
        """Take over releases that other machines made, and share those that only this one has."""
        folder = self.root / "releases"
        shared = set(self._remote.names("releases"))
        for name in sorted(shared):
            # Names are those that others chose: only a release's is taken.
            if not name.endswith(".json") or not is_release_name(name.removesuffix(".json")):
                continue
            if (folder / name).exists():
                continue
            if (content := self._remote.read(f"releases/{name}")) is not None:  # not gone since
                write_atomically(folder / name, content.decode(errors="replace"))
        for path in self.releases():
            if path.name not in shared:
                self._remote.create(f"releases/{path.name}", path.read_bytes())
        if (pointer := self._remote.read("releases/current")) is not None:
            write_atomically(folder / "current", pointer.decode(errors="replace"))
        elif (folder / "current").exists():
            self._remote.write("releases/current", (folder / "current").read_bytes())

    def share_pointer(self) -> None:
        """Let all machines see which release is the current one now."""
        self._remote.write("releases/current", (self.root / "releases/current").read_bytes())

    @cached_property
    def _shared_keys(self) -> set[str]:
        names = self._remote.names("actions")
        keys = (name.removesuffix(".json") for name in names if name.endswith(".json"))
        return {key for key in keys if is_digest(key)}

    @cached_property
    def _shared_digests(self) -> set[str]:
        end = f"/{MANIFEST_FILE}"
        names = self._remote.names("objects")
        digests = (name.removesuffix(end) for name in names if name.endswith(end))
        return {digest for digest in digests if is_digest(digest)}

    def _is_shared(self, digest: str) -> bool:
        """Return whether an object's manifest is there; others may have written it meanwhile."""
        if "_shared_digests" in vars(self) and digest in self._shared_digests:
            return True
        return self._manifest(digest) is not None

    def _manifest(self, digest: str) -> bytes | None:
        if not is_digest(digest):  # a release of others may name anything
            return None
        return self._remote.read(f"objects/{digest}/{MANIFEST_FILE}")

    def _shared_action(self, key: str) -> Action | None:
        content = self._remote.read(_action(key))
        return None if content is None else self._noted(key, content.decode(errors="replace"))

    def _noted(self, key: str, text: str) -> Action | None:
        """Keep a copy of an action that is shared, and return it; None if it is damaged."""
        action = action_of(key, text)
        if action is not None:
            write_atomically(self._action_path(key), text)
            if "_shared_keys" in vars(self):
                self._shared_keys.add(key)
        return action

    def _upload(self, digest: str) -> None:
        """Share an object of this machine: its files, and when all are there, its manifest."""
        if self._is_shared(digest):
            return
        folder = super().object(digest)
        manifest = (folder / MANIFEST_FILE).read_bytes()
        for name in parse_json(manifest):
            self._remote.upload(folder / name, f"objects/{digest}/{name}")
        self._remote.create(f"objects/{digest}/{MANIFEST_FILE}", manifest)
        if "_shared_digests" in vars(self):
            self._shared_digests.add(digest)

    @contextlib.contextmanager
    def _fetched(self, digest: str, manifest: bytes) -> Iterator[tuple[Path, str | None]]:
        """Yield a temporary folder with an object's files, and what is wrong with them, if any.

        Only files that a manifest with the right digest names are fetched.
        """
        objects = self.root / "objects"
        with writing(self.root):
            objects.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=".incoming-", dir=objects))
            try:
                yield folder, self._fetch(digest, manifest, folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def _fetch(self, digest: str, manifest: bytes, folder: Path) -> str | None:
        """Fetch an object's files; return what is wrong with it, if anything."""
        try:
            names = sorted(manifest_from(manifest, digest))
        except ValueError as error:
            return str(error)
        (folder / MANIFEST_FILE).write_bytes(manifest)
        for name in names:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self._remote.download(f"objects/{digest}/{name}", target)
        return damage_of(folder, digest)


def _action(key: str) -> str:
    return f"actions/{key}.json"
