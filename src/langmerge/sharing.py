"""Which projects share a store's folder: a note in it, for whoever removes something there."""

from __future__ import annotations

import json
import os
from pathlib import Path

from langmerge.errors import StorageError
from langmerge.files import write_atomically
from langmerge.project import STORE_FOLDER

NOTE = "projects.json"


def share(store: Path, project_file: Path) -> None:
    """Note in a store that a project uses it too.

    Args:
        store: the store's folder, which is there.
        project_file: the project's; kept as seen from the store, so that both can be moved.
    """
    known = _noted(store)
    name = Path(os.path.relpath(project_file.resolve(), store.resolve())).as_posix()
    if name not in known:
        write_atomically(store / NOTE, json.dumps([*known, name], indent=1) + "\n")


def link_store(store: Path, project_file: Path) -> None:
    """Make a store a project's too: `.langmerge` beside its file is a link to it, and it is noted.

    Args:
        store: the store's folder; made if it is not there.
        project_file: the project's, in a folder without a store of its own.
    """
    store.mkdir(exist_ok=True)
    link = project_file.parent / STORE_FOLDER
    if not link.is_symlink():
        target = os.path.relpath(store.resolve(), link.parent.resolve())
        link.symlink_to(target, target_is_directory=True)
    share(store, project_file)


def sharing(store: Path) -> tuple[Path, ...]:
    """Return the project files that are noted in a store; none for a store of one project.

    Raises:
        StorageError: if the note is damaged, or a project that it names is not there.
    """
    found = tuple((store.resolve() / name).resolve() for name in _noted(store))
    for path in found:
        if not path.is_file():
            raise StorageError(
                f"{store / NOTE}: {path}, which shares this store, is not there, so what it needs "
                "is not known; write it again (`langmerge study`), or delete the store once no "
                "project needs it"
            )
    return found


def _noted(store: Path) -> list[str]:
    path = store / NOTE
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise StorageError(
            f"{path}: not a list of project files, so who shares this store is not known; delete "
            "the file, and run what wrote it again (`langmerge study`)"
        )
    return names
