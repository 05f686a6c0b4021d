"""The released model's stable path: `released/TASK` in the project leads to its adapter and card.

A release's folder holds a folder of links for every task, so that a model card can lie beside the
adapter's files, whose object must stay as it is.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from langmerge.errors import StorageError
from langmerge.files import new_folder, writing
from langmerge.project import Project
from langmerge.store import Store
from langmerge.upkeep.card import CARD_FILE, model_card
from langmerge.upkeep.releases import Release, Releases

RELEASED_FOLDER = "released"
_OWN_FILE = ".release.json"
"""The manifest once more, beside the adapters. No task's name begins with a dot."""


def refuse_foreign(project: Project) -> None:
    """Make sure that nothing of the user's stands in the released folder's place.

    Raises:
        StorageError: if something is there that langmerge did not make.
    """
    target = project.folder / RELEASED_FOLDER
    if target.exists() and not (target / _OWN_FILE).is_file():
        raise StorageError(
            f"{target}: not made by langmerge, which would replace it by the released model; "
            "move it away"
        )


def serve(project: Project, store: Store, release: Release) -> None:
    """Let `released` lead to a release, in one step; a copy is swapped in where no link can be."""
    target = project.folder / RELEASED_FOLDER
    with writing(target):
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            new = temporary / "new"
            try:
                folder = _linked(project, store, release)
                new.symlink_to(os.path.relpath(folder, target.parent), target_is_directory=True)
            except (OSError, StorageError, NotImplementedError):
                _copy(project, store, release, new)
            if os.path.lexists(target) and not (target.is_symlink() and new.is_symlink()):
                target.rename(temporary / "old")
            new.replace(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _linked(project: Project, store: Store, release: Release) -> Path:
    """Return the release's folder of links, made if need be."""
    folder = Releases(store).folder / release.name
    if not folder.is_dir():
        with new_folder(folder) as unfinished:
            for task, digest in release.models.items():
                (unfinished / task).mkdir()
                for file in _files(store, digest):
                    place = os.path.relpath(file, folder / task)
                    (unfinished / task / file.name).symlink_to(place, file.is_dir())
            _describe(project, release, unfinished)
    return folder


def _copy(project: Project, store: Store, release: Release, folder: Path) -> None:
    for task, digest in release.models.items():
        (folder / task).mkdir(parents=True)
        for file in _files(store, digest):
            copy = shutil.copytree if file.is_dir() else shutil.copyfile
            copy(file, folder / task / file.name)
    _describe(project, release, folder)


def _files(store: Store, digest: str) -> list[Path]:
    """Return what an adapter's object holds; its manifest is the store's own."""
    own = ("manifest.json", CARD_FILE)
    return [path for path in sorted(store.object(digest).iterdir()) if path.name not in own]


def _describe(project: Project, release: Release, folder: Path) -> None:
    text = json.dumps(release.to_json(), indent=1, ensure_ascii=False)
    (folder / _OWN_FILE).write_text(text + "\n", encoding="utf-8")
    for task in release.models:
        card = model_card(release, task, project)
        (folder / task / CARD_FILE).write_text(card, encoding="utf-8")
