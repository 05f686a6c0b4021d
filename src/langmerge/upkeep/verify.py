"""Is everything in a store what it says it is? Bytes, names, keys, releases and the lock."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from langmerge.canonical import digest_of
from langmerge.engine.local import held
from langmerge.plan.lock import Lock
from langmerge.store import Store

_REBUILD = "`langmerge run` makes it again if the project wants it, else `langmerge gc` forgets it"


@dataclass(frozen=True)
class Problem:
    """Something wrong in a store.

    Attributes:
        message: one line: where, what was found, what was expected, the fix.
        damaged: the object or action that must not be used; None where something is missing only.
        set_aside: where it was moved to; None where it was left.
    """

    message: str
    damaged: Path | None = None
    set_aside: Path | None = None


def verify(store: Store, lock: Lock, *, repair: bool = False) -> list[Problem]:
    """Check every byte of every object, every action's key, and what the lock names.

    Args:
        store: the store.
        lock: the project's lock.
        repair: also move damaged objects and actions to the store's `damaged/`; the next run
            makes them again.

    Raises:
        StorageError: with `repair`, if a run holds the project or the store cannot be written.
    """
    with held(store.root) if repair and store.root.exists() else nullcontext():
        problems = [*_objects(store), *_actions(store), *_named(store, lock)]
        return [_set_aside(store, problem) for problem in problems] if repair else problems


def _objects(store: Store) -> Iterator[Problem]:
    for folder in store.objects():
        if (damage := store.damage(folder.name)) is not None:
            yield Problem(
                f"{folder}: {damage}; `langmerge verify --repair` sets it aside to be made again",
                damaged=folder,
            )


def _actions(store: Store) -> Iterator[Problem]:
    objects = {folder.name for folder in store.objects()}
    for path in store.actions():
        action = store.recorded(path.stem)
        fix = "`langmerge verify --repair` sets it aside to be made again"
        if action is None:
            yield Problem(f"{path}: not an action's JSON; {fix}", damaged=path)
        elif (key := digest_of(action.document)) != path.stem or action.key != path.stem:
            yield Problem(
                f"{path}: its document has the key {key} and it says {action.key}, "
                f"expected the file's name; {fix}",
                damaged=path,
            )
        elif action.output not in objects:
            yield Problem(f"{path}: its output {action.output} is not in the store; {_REBUILD}")


def _named(store: Store, lock: Lock) -> Iterator[Problem]:
    """Yield what the lock and the releases name, and the store does not have."""
    for path in sorted(store.root.glob("releases/[!.]*.json")):
        try:
            objects = json.loads(path.read_text(encoding="utf-8"))["objects"]
        except (ValueError, KeyError, TypeError):
            yield Problem(f"{path}: not a release's JSON; restore it, or delete it to give it up")
            continue
        present = {folder.name for folder in store.objects()}
        for digest in sorted(set(objects) - present):
            yield Problem(f"{path}: its object {digest} is not in the store; {_REBUILD}")
    for job, entry in sorted(lock.jobs.items()):
        place = f"{lock.path}: {job}"
        key, output = entry.get("key", ""), entry.get("output", "")
        action = store.recorded(key)
        if action is None:
            yield Problem(f"{place}: no action with its key {key} in the store; {_REBUILD}")
        elif action.output != output:
            yield Problem(
                f"{place}: the lock says output {output}, the store's action {action.output}; "
                "restore the lock from git, or take the store's with `langmerge run`"
            )


def _set_aside(store: Store, problem: Problem) -> Problem:
    if problem.damaged is None:
        return problem
    return Problem(problem.message, problem.damaged, store.set_aside(problem.damaged))
