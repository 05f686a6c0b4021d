"""Is everything in a store what it says it is? Bytes, names, keys, releases and the lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from langmerge.canonical import digest_of, parse_json
from langmerge.engine.holding import held
from langmerge.plan.lock import Lock
from langmerge.store import Store

_REBUILD = "`langmerge run` makes it again if the project wants it, else `langmerge gc` forgets it"
_SET_ASIDE = "`langmerge verify --repair` sets it aside to be made again"


@dataclass(frozen=True)
class Problem:
    """Something wrong in a store.

    Attributes:
        finding: where, what was found, what was expected.
        fix: what to do about it.
        damaged: the object or action that must not be used; None where something is missing only.
        set_aside: where it was moved to; None where it was left.
    """

    finding: str
    fix: str
    damaged: Path | None = None
    set_aside: Path | None = None

    @property
    def message(self) -> str:
        """All of it in one line."""
        return f"{self.finding}; {self.fix}"


def verify(store: Store, lock: Lock, *, repair: bool = False) -> list[Problem]:
    """Check every byte of every object, every action's key, and what releases and the lock name.

    Args:
        store: the store.
        lock: the project's lock.
        repair: also move damaged objects and actions to the store's `damaged/`; the next run
            makes them again.

    Raises:
        StorageError: with `repair`, if a run holds the project or the store cannot be written.
    """
    with ExitStack() as holding:
        if repair and (store.url or store.root.exists()):
            holding.enter_context(held(store.root))
            holding.enter_context(store.lease("run"))
        problems = [
            *_objects(store),
            *_actions(store),
            *_releases(store),
            *_lock(store, lock),
        ]
        return [_set_aside(store, problem) for problem in problems] if repair else problems


def _objects(store: Store) -> Iterator[Problem]:
    for digest in sorted(store.digests()):
        name = f"objects/{digest}"
        if (damage := store.damage(digest)) is not None:
            yield Problem(f"{store.place(name)}: {damage}", _SET_ASIDE, damaged=store.root / name)


def _actions(store: Store) -> Iterator[Problem]:
    objects = store.digests()
    for key in sorted(store.keys()):
        name = f"actions/{key}.json"
        path, place = store.root / name, store.place(name)
        action = store.recorded(key)
        if action is None:
            found = "not the action that was written: not readable, changed, or of another key"
            yield Problem(f"{place}: {found}", _SET_ASIDE, damaged=path)
        elif (found := digest_of(action.document)) != key:
            yield Problem(
                f"{place}: its document has the key {found}, expected the file's name",
                _SET_ASIDE,
                damaged=path,
            )
        elif action.output not in objects:
            yield Problem(f"{place}: its output {action.output} is not in the store", _REBUILD)


def _releases(store: Store) -> Iterator[Problem]:
    store.sync_releases()
    objects = store.digests()
    for path in store.releases():
        try:
            named = set(parse_json(path.read_text(encoding="utf-8"))["objects"])
        except (ValueError, KeyError, TypeError):
            fix = "restore the file, or delete it to give the release up"
            yield Problem(f"{path}: not readable, expected a release's JSON", fix)
            continue
        for digest in sorted(named - objects):
            fix = "bring it back from a copy of the store, or delete the release to give it up"
            yield Problem(f"{path}: its object {digest} is not in the store", fix)


def _lock(store: Store, lock: Lock) -> Iterator[Problem]:
    for job, entry in sorted(lock.jobs.items()):
        place = f"{lock.path}: {job}"
        key, output = entry.get("key", ""), entry.get("output", "")
        action = store.recorded(key)
        if action is None:
            fix = "`langmerge run` makes it"
            yield Problem(f"{place}: its key {key} has no action in the store", fix)
        elif action.output != output:
            yield Problem(
                f"{place}: the output is {output}, the store's action says {action.output}",
                "restore the lock from git, or take the store's with `langmerge run`",
            )


def _set_aside(store: Store, problem: Problem) -> Problem:
    if problem.damaged is None:
        return problem
    place = store.set_aside(problem.damaged)
    fix = f"moved to {place}, `langmerge run` makes it again if the project wants it"
    return replace(problem, fix=fix, set_aside=place)
