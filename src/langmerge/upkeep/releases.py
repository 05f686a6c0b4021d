"""Releases as values and files: manifests named by their content, and the pointer to one.

```
STORE/releases/NUMBER-DIGEST8.json  a release: an immutable manifest, named by its content
STORE/releases/NUMBER-DIGEST8/TASK  links to the released adapter's files, and its model card
STORE/releases/current              the name of the current release
PROJECT/released                    a link to the current release's folder: released/TASK is stable
```

The manifest is written first, then the pointer moves, then the link: each in one step, and each
can be done again. Killed in between, the project has its old release, or its new one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from langmerge import __version__
from langmerge.canonical import digest_of, parse_json
from langmerge.errors import ProjectError, StorageError
from langmerge.files import write_atomically
from langmerge.project import Name
from langmerge.store import Store, is_release_name
from langmerge.upkeep.gate import GateResult

ByLanguage = dict[str, dict[str, str]]
"""Task -> language -> digest."""


class Candidate(BaseModel):
    """A merged model of all tasks, as the last run made it, with everything it is made of.

    Attributes:
        langmerge: version of the program.
        recipe: its name and parameters.
        seed: the training seed.
        base: the base model's name and digests.
        models: the merged adapter's digest, by task.
        adapters: the digests of the adapters merged, by task and language.
        ancestors: the digest of what these were trained on from and differences were merged to, by
            task; empty without.
        predictions: the digests of the answers on the gate's split, by task and language.
        scores: the primary metric, by task, language and split.
        objects: every digest a release needs; they are kept as long as it is.
    """

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = 1
    langmerge: str = __version__
    recipe: dict[str, Any]
    seed: int
    base: dict[str, Any]
    models: dict[Name, str]
    adapters: ByLanguage
    ancestors: dict[str, str] = {}
    predictions: ByLanguage
    scores: dict[str, dict[str, dict[str, float]]]
    objects: list[str]

    def is_same_model(self, other: Candidate) -> bool:
        """Whether both answer alike: the same adapters on the same base."""
        ours, theirs = ({**c.base, "name": None} for c in (self, other))
        return ours == theirs and self.models == other.models


class Release(Candidate):
    """A released candidate; `name` is NUMBER-DIGEST8 and no part of the manifest."""

    name: str = Field(exclude=True)
    number: int
    created: str
    message: str
    gate: GateResult
    forced: bool
    """The gate refused, and was overruled."""
    previous: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the manifest with the release's name."""
        return {"name": self.name, **self.model_dump(mode="json")}


class Releases:
    """The releases in a project's store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.folder = store.root / "releases"
        self._pointer = self.folder / "current"

    def all(self) -> list[Release]:
        """Return all releases, the newest last.

        Raises:
            StorageError: if a manifest is not what was written.
        """
        self._store.sync_releases()
        found = [_read(path) for path in self.folder.glob("[!.]*.json")]
        return sorted(found, key=lambda release: (release.number, release.name))

    def current(self) -> Release | None:
        """Return the release that is served; None before the first.

        Raises:
            StorageError: if the pointer or its release is damaged.
        """
        self._store.sync_releases()
        try:
            name = self._pointer.read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            return None
        path = self.folder / f"{name}.json"
        if not is_release_name(name) or not path.is_file():
            raise StorageError(
                f"{self._pointer}: names release {name!r:.60}, which is not there; "
                "`langmerge rollback RELEASE` chooses another"
            )
        return _read(path)

    def find(self, name: str) -> Release:
        """Return a release by its name or number.

        Raises:
            ProjectError: if there is no such release.
        """
        releases = self.all()
        for release in releases:
            if name in (release.name, str(release.number)):
                return release
        known = ", ".join(release.name for release in releases) or "none yet"
        raise ProjectError(f"release '{name}': not found; the releases are: {known}")

    def add(self, manifest: Mapping[str, Any]) -> Release:
        """Write a new release's manifest; it is not served yet."""
        manifest = {**manifest, "number": max((r.number for r in self.all()), default=0) + 1}
        release = Release(**manifest, name="")
        content = release.model_dump(mode="json")
        name = f"{release.number}-{digest_of(content)[:8]}"
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
        write_atomically(self.folder / f"{name}.json", text + "\n")
        self._store.sync_releases()
        return release.model_copy(update={"name": name})

    def make_current(self, release: Release) -> None:
        """Move the pointer to a release."""
        write_atomically(self._pointer, f"{release.name}\n")
        self._store.share_pointer()


def _read(path: Path) -> Release:
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        if path.stem.partition("-")[2] == digest_of(content)[:8]:
            return Release(**content, name=path.stem)
    except (ValueError, TypeError, ValidationError):
        pass
    raise StorageError(
        f"{path}: not the release its name says (edited or damaged?); restore it from a backup, "
        "or delete it to give the release up"
    )
