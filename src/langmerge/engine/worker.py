"""Work for a run that another process directs: what travels to a worker, and what it tells.

Nothing here knows how they are connected. Decisions, facts and digests travel; rows, adapters and
predictions go through the store, which a worker writes itself, so what it has finished is not lost
with whoever directs it.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langmerge.base import resolve_base
from langmerge.cache import cache_folder
from langmerge.canonical import digest_of
from langmerge.engine.attempts import Attempt, RunClock
from langmerge.errors import BaseModelError, StorageError
from langmerge.plan import Decision, Job, Planner
from langmerge.plan.keys import Facts
from langmerge.plan.lock import Lock
from langmerge.project import Project
from langmerge.store import Store

MARK_FILE = "cluster.mark"
"""In a store's folder: tells a worker that it sees the very folder, and not one of that name."""

_PROGRESS_SECONDS = 0.5


@dataclass(frozen=True)
class Assignment:
    """A unit of work for a worker.

    Attributes:
        decisions: what is to be done.
        facts: of the jobs they need, by job id.
        run: the run's id.
        run_seconds: how long it has been going on.
    """

    decisions: tuple[Decision, ...]
    facts: Mapping[str, Facts]
    run: str
    run_seconds: float


@dataclass(frozen=True)
class Progressed:
    """How far a job is."""

    job: Job
    done: int
    total: int
    note: str


@dataclass(frozen=True)
class Order:
    """What a worker needs to know before its first unit.

    Attributes:
        project: the project.
        base: what identifies its base model.
        mark: what the store's folder holds in `MARK_FILE`, where the store is a folder.
    """

    project: Project
    base: Mapping[str, Any]
    mark: str = ""


class Worker:
    """Carries out units, one at a time, over a base model that stays loaded."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._told = queue.Queue[Attempt | Progressed | BaseException | None]()

    def start(self) -> tuple[int, int]:
        """Get ready; return this process's id, and the bytes of its GPU's memory, 0 without one.

        Raises:
            StorageError: if the store is a folder that this machine does not see.
            BaseModelError: if the base model here is not the one of the project.
        """
        import torch

        from langmerge.engine.jobs import Workbench

        project = self._order.project
        base = resolve_base(project.base, project.folder, cache_folder())
        if base.identity() != self._order.base:
            raise BaseModelError(
                f"base {base.name} on {os.uname().nodename}: not the bytes that the run started "
                "with; put the same model there on all machines, or name a Hub model"
            )
        self._store = worker_store(self._order)
        self._planner = Planner(project, base, self._store, Lock(project.folder / "unused"))
        self._bench = Workbench(self._planner)
        memory = torch.cuda.mem_get_info()[1] if torch.cuda.is_available() else 0
        return os.getpid(), memory

    def do(self, assignment: Assignment) -> Iterator[Attempt | Progressed]:
        """Carry out a unit; yield how far it is, and every attempt as it ends.

        Raises:
            StorageError: if nothing more can be kept.
            BaseModelError: if nothing can be computed.
        """
        thread = threading.Thread(target=self._carry_out, args=(assignment,), daemon=True)
        thread.start()
        while (told := self._told.get()) is not None:
            if isinstance(told, BaseException):
                raise told
            yield told
        thread.join()

    def _carry_out(self, assignment: Assignment) -> None:
        from langmerge.engine.carrying import carry_out

        last: dict[str, float] = {}

        def progress(job: Job, done: int, total: int, note: str) -> None:
            now = time.monotonic()
            if now - last.get(job.id, 0.0) > _PROGRESS_SECONDS:
                last[job.id] = now
                self._told.put(Progressed(job, done, total, note))

        def tell(attempt: Attempt) -> None:
            if attempt.action is not None:
                self._store.clear_work(attempt.action.key)
            self._told.put(attempt)

        self._planner.facts.update(assignment.facts)
        try:
            carry_out(
                assignment.decisions,
                self._bench,
                store=self._store,
                clock=RunClock.going_on(assignment.run, assignment.run_seconds),
                tell=tell,
                progress=progress,
            )
        except BaseException as error:
            self._told.put(error)
        else:
            self._told.put(None)


def worker_store(order: Order) -> Store:
    """Return the project's store as a worker sees it.

    At a URL, copies and checkpoints are in `$LANGMERGE_WORKER_FOLDER`, or in the user's cache. On a
    disk that all machines share, a job goes on from its checkpoint on another machine.

    Raises:
        StorageError: if the store is a folder, and this machine does not see it.
    """
    project = order.project
    if project.store is None:
        mark = project.store_folder / MARK_FILE
        if not mark.is_file() or mark.read_text(encoding="ascii") != order.mark:
            raise StorageError(
                f"{project.store_folder}: not seen by {os.uname().nodename}; put the project on a "
                "disk that all machines share, or set store: to a URL such as s3://bucket/folder"
            )
        return Store(project.store_folder)
    from langmerge.shared_store import SharedStore

    chosen = os.environ.get("LANGMERGE_WORKER_FOLDER")
    top = Path(chosen).expanduser() if chosen else cache_folder() / "stores"
    return SharedStore(top / digest_of(project.store)[:16], project.store)
