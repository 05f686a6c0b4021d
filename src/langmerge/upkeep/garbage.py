"""What in a store nothing needs any more: neither lock, nor plan, nor release; and its removal."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from langmerge.canonical import canonical_json, digest_of, parse_json
from langmerge.engine.holding import held
from langmerge.errors import StorageError
from langmerge.files import writing
from langmerge.plan import plan
from langmerge.plan.lock import LOCK_FILE
from langmerge.results import RESULTS_FILE
from langmerge.sharing import sharing
from langmerge.store import Action, Store
from langmerge.upkeep.serving import RELEASED_FOLDER
from langmerge.workspace import Workspace, open_workspace

_DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


@dataclass(frozen=True)
class Garbage:
    """Something in a store that nothing needs.

    Attributes:
        kind: `action`, `object`, `work` of a job that is finished or no longer wanted, or
            `leftover` of a killed write.
        path: the file or folder.
        about: what it was, for people.
        size: bytes.
    """

    kind: Literal["action", "object", "work", "leftover"]
    path: Path
    about: str
    size: int


def collect_garbage(workspace: Workspace, *, dry_run: bool = False) -> list[Garbage]:
    """Remove what neither lock, nor plan, nor release reaches, and return it.

    Where several projects share the store's folder, what any of them reaches stays.

    Args:
        workspace: the project, opened.
        dry_run: return it only.

    Raises:
        StorageError: if a run or a release holds the project, a release is not readable, a project
            that shares the store is not there, or the store cannot be written.
        DataError: if the project's data is wrong, so that it has no plan.
    """
    if not workspace.store.root.exists():
        return []
    root = workspace.store.root
    with held(root), held(root, lock="release"):
        garbage = find_garbage(workspace)
        if not dry_run:
            for item in garbage:
                _remove(workspace.store, item)
            workspace.store.forget_removed()
    return garbage


def find_garbage(workspace: Workspace) -> list[Garbage]:
    """Return what nothing needs, in the order in which it is to be removed: actions first.

    Raises:
        StorageError: if a release is not readable, or a project that shares the store is not there.
        DataError: if the project's data is wrong, so that it has no plan.
    """
    store = workspace.store
    everyone = [workspace, *_others(workspace)]
    planned = [_planned(each) for each in everyone]
    wanted = set[str]().union(*(still for still, _ in planned))
    used = set[str]().union(*(used for _, used in planned))
    actions = [a for path in store.actions() if (a := store.recorded(path.stem)) is not None]
    locked = [entry for each in everyone for entry in each.lock.jobs.values()]
    roots = {*wanted, *used, *(entry["key"] for entry in locked), *released_digests(store)}
    kept = _reached(actions, roots) | {entry["output"] for entry in locked}
    made = {action.output: _describe(action) for action in actions}
    described = {action.key: _describe(action) for action in actions}

    def found() -> Iterator[Garbage]:
        for path in store.actions():
            if path.stem not in kept:
                yield Garbage("action", path, described.get(path.stem, "damaged"), size_of(path))
        for path in store.objects():
            if path.name not in kept:
                yield Garbage("object", path, made.get(path.name, "of no action"), size_of(path))
        for path in store.work_folders():
            if path.name not in wanted:
                yield Garbage("work", path, "checkpoints of no planned job", size_of(path))
        for path in _leftovers(workspace):
            yield Garbage("leftover", path, "of a killed write", size_of(path))

    return list(found())


def released_digests(store: Store) -> set[str]:
    """Return every digest that a release names.

    Raises:
        StorageError: if a release is not readable: what it names is not known.
    """
    digests: set[str] = set()
    store.sync_releases()
    for path in store.releases():
        try:
            digests |= _digests_in(parse_json(path.read_text(encoding="utf-8")))
        except ValueError:
            raise StorageError(
                f"{path}: not a release's JSON, so what it needs is not known; restore the file, "
                "or delete it to give the release up"
            ) from None
    return digests


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    if path.is_symlink() or path.is_file():
        return path.lstat().st_size
    return sum(inner.lstat().st_size for inner in path.rglob("*") if inner.is_file())


def _others(workspace: Workspace) -> list[Workspace]:
    """Open the other projects that share the store's folder."""
    own = workspace.project.path.resolve()
    return [open_workspace(path) for path in sharing(workspace.store.root) if path != own]


def _planned(workspace: Workspace) -> tuple[set[str], set[str]]:
    """Return the keys of jobs that are still to be done, and those of the results in use."""
    wanted, used = set(), set()
    for decision in plan(workspace.planner()):
        if decision.result is not None:
            used.add(decision.result.key)
        if decision.document is not None and decision.action != "reuse":
            wanted.add(digest_of(decision.document))
    return wanted, used


def _reached(actions: Iterable[Action], roots: set[str]) -> set[str]:
    """Return all that leads from the roots: actions, their outputs, and what those were made of.

    An object that is needed keeps the action that made it; one that is only an output does not
    keep other actions that happened to make the same.
    """
    named = [(action, _digests_in(action.document)) for action in actions]
    needed: set[str] = set()
    grown = set(roots)
    while grown != needed:
        needed = grown
        kept = [(a, digests) for a, digests in named if a.key in needed or a.output in needed]
        grown = needed.union(*(digests for _, digests in kept))
    return needed | {digest for action, _ in kept for digest in (action.key, action.output)}


def _digests_in(value: Any) -> set[str]:
    return set(_DIGEST.findall(canonical_json(value)))


def _describe(action: Action) -> str:
    """Return what an action was: `train de`, `merge de, en`, `data`."""
    document = action.document
    languages = document.get("language") or document.get("adapters") or document.get("data")
    if isinstance(languages, Mapping):
        languages = ", ".join(sorted(languages))
    return f"{document.get('kind', 'unknown')} {languages or ''}".strip()


def _leftovers(workspace: Workspace) -> Iterator[Path]:
    yield from workspace.store.leftovers()
    for name in (LOCK_FILE, RESULTS_FILE, RELEASED_FOLDER):
        # The names that Python's tempfile gives, lest a user's own file be taken for one.
        yield from sorted(workspace.project.folder.glob(f".{name}-????????"))


def _remove(store: Store, item: Garbage) -> None:
    with writing(item.path):
        if item.kind == "object" and item.path.is_dir():
            store.remove_object(item.path.name)
        elif item.path.is_dir() and not item.path.is_symlink():
            shutil.rmtree(item.path)
        else:
            item.path.unlink(missing_ok=True)
