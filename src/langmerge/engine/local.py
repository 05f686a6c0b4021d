"""The local engine: jobs in the graph's order, in this process, with nothing finished ever lost."""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, TextIO

from langmerge.canonical import digest_of
from langmerge.engine.ledger import Ledger
from langmerge.errors import BaseModelError, LangmergeError, StorageError
from langmerge.files import writing
from langmerge.plan import Decision, Job, Planner, job_graph
from langmerge.plan.graph import BASELINES, train_id
from langmerge.plan.keys import Facts
from langmerge.plan.lock import Lock
from langmerge.store import Action

Outcome = Literal["ran", "reused", "stale", "left", "failed", "skipped"]

_WAIT_SECONDS = 0.2


@dataclass(frozen=True)
class JobResult:
    """What became of a job.

    Attributes:
        decision: what was decided and why.
        outcome: `ran`, `reused`, `stale`, `left` out by the run's scope, `failed`, or `skipped`
            because a job it needs failed.
        action: its result; None where it failed, was skipped or left out.
        problem: what went wrong, for people.
    """

    decision: Decision
    outcome: Outcome
    action: Action | None = None
    problem: str | None = None


class Observer:
    """Hears of a run's progress; this one stays silent."""

    def waiting(self, holder: str) -> None:
        """Be told that another process holds the project, and that the run waits for it."""

    def damage_found(self, job: Job, damage: str) -> None:
        """Be told that a job's stored result cannot be used, so that it is made again."""

    def started(self, jobs: list[Job]) -> None:
        """Be told which jobs the run goes through."""

    def job_started(self, decision: Decision) -> None:
        """Be told that a job starts to run."""

    def job_progressed(self, job: Job, done: int, total: int, note: str = "") -> None:
        """Be told how far the running job is, in units of its own."""

    def job_finished(self, result: JobResult) -> None:
        """Be told what became of a job, run or not."""


@dataclass
class Run:
    """The results of all jobs of a run, by job id, in the graph's order."""

    results: dict[str, JobResult] = field(default_factory=dict)

    def of(self, *outcomes: Outcome) -> list[JobResult]:
        """Return the results with one of these outcomes."""
        return [result for result in self.results.values() if result.outcome in outcomes]

    def actions(self) -> dict[str, Action]:
        """Return the results that can be used, by job id."""
        return {name: r.action for name, r in self.results.items() if r.action is not None}

    def facts(self) -> dict[str, Facts]:
        """Return the facts of all results, by job id."""
        return {
            name: {**action.facts, "output": action.output}
            for name, action in self.actions().items()
        }


def run(planner: Planner, observer: Observer | None = None, *, wait: bool = True) -> Run:
    """Do what the plan says, job by job; a failing job does not stop those that need it not.

    Every finished job is recorded at once, so a killed run goes on where it stopped. A stored
    result whose bytes changed is set aside and made again.

    Args:
        planner: what to do; it is told what came out.
        observer: hears of the progress.
        wait: while another process holds the project, wait for it.

    Raises:
        StorageError: if another process holds the project and `wait` is false, or nothing can be
            written.
    """
    from langmerge.engine.jobs import Workbench

    observer = observer or Observer()
    jobs = job_graph(planner.project)
    observer.started(jobs)
    # A baseline stays pinned while it is left out of `compare`.
    pinned = {
        train_id(task, model, seed)
        for task in planner.project.tasks
        for model in BASELINES
        for seed in planner.project.seeds_for(task)
    }
    outcome = Run()
    on_wait = observer.waiting if wait else None
    with held(planner.store.root, on_wait=on_wait), Workbench(planner) as workbench:
        # Who held the project before may have written it since it was read.
        planner.lock = Lock.load(planner.lock.path.parent)
        ledger = Ledger(planner.store.root)
        for job in jobs:
            result = _do(job, planner, workbench, outcome, ledger=ledger, observer=observer)
            outcome.results[job.id] = result
            if result.action is not None:
                planner.learn(job, result.action)
            if result.outcome == "ran":
                planner.lock.update(outcome.actions())
            observer.job_finished(result)
        planner.lock.update(outcome.actions(), known={job.id for job in jobs} | pinned)
    return outcome


def _do(
    job: Job, planner: Planner, workbench: Any, outcome: Run, *, ledger: Ledger, observer: Observer
) -> JobResult:
    for need in job.needs:
        if outcome.results[need].outcome in ("failed", "skipped"):
            decision = Decision(job, "run", f"needs {need}")
            return JobResult(decision, "skipped", problem=f"needs {need}, which failed")
    decision = Decision(job, "run", "not decided")
    try:
        decision = planner.decide(job)
        if decision.result is not None:
            kept: Outcome = "stale" if decision.action == "stale" else "reused"
            _tidy_up(decision.result, decision, planner, ledger)
            return JobResult(decision, kept, decision.result)
        if decision.action == "leave":
            return JobResult(decision, "left")
        decision = _without_damage(decision, planner, observer)
        observer.job_started(decision)
        action = _execute(decision, planner, workbench, ledger, observer)
        return JobResult(decision, "ran", action)
    except (StorageError, BaseModelError):
        raise  # Nothing more can be kept, or nothing can be computed: going on would burn time.
    except LangmergeError as error:
        return JobResult(decision, "failed", problem=str(error))
    except Exception:
        return JobResult(decision, "failed", problem=traceback.format_exc())


def _without_damage(decision: Decision, planner: Planner, observer: Observer) -> Decision:
    """Set a job's unusable results aside, and tell; damage to what it needs now is its reason."""
    assert decision.document is not None
    key, last = digest_of(decision.document), planner.lock.key_of(decision.job.id)
    for own in dict.fromkeys((last or key, key)):
        if (damage := planner.store.set_damage_aside(own)) is not None:
            observer.damage_found(decision.job, damage)
            if own == key:
                decision = replace(decision, reason=f"its result was damaged: {damage}")
    return decision


def _execute(
    decision: Decision, planner: Planner, workbench: Any, ledger: Ledger, observer: Observer
) -> Action:
    assert decision.document is not None
    job, document = decision.job, decision.document
    key = digest_of(document)

    def progress(done: int, total: int, note: str = "") -> None:
        observer.job_progressed(job, done, total, note)

    with ledger.attempt(decision, key) as attempt:
        produced = workbench.do(job, document, progress)
        attempt.made(produced.ledger)
    action = Action(key, document, produced.output, produced.facts, attempt.cost)
    recorded = planner.store.record(action)
    _tidy_up(recorded, decision, planner, ledger)
    return recorded


def _tidy_up(action: Action, decision: Decision, planner: Planner, ledger: Ledger) -> None:
    """Do what follows once a job's action is recorded; a killed run left it to the next one."""
    ledger.finished(decision, action)
    planner.store.clear_work(action.key)


@contextlib.contextmanager
def held(
    store: Path, *, on_wait: Callable[[str], None] | None = None, lock: str = "run"
) -> Iterator[None]:
    """Hold a lock of a project's store for this process; the store is created if need be.

    The system drops the lock with its process, however that ends: none is ever stale.

    Args:
        store: the store's folder.
        on_wait: is told who holds the lock, and then this waits; None does not wait.
        lock: `run` for what makes and removes results, `release` for what serves them.

    Raises:
        StorageError: naming the process that holds it, if this does not wait.
    """
    import fcntl

    with writing(store):
        store.mkdir(parents=True, exist_ok=True)
        file = (store / f"{lock}.lock").open("a+", encoding="utf-8")
    with file:
        told = None
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = _holder(file)
            if on_wait is None:
                raise StorageError(
                    f"{store.parent}: {holder} is at work on this project; "
                    "wait for it to end, or stop it"
                )
            if holder != told:
                on_wait(told := holder)
            time.sleep(_WAIT_SECONDS)
        now = datetime.now(timezone.utc).isoformat(sep=" ", timespec="seconds")
        with contextlib.suppress(OSError):  # a full disk; the lock holds, without a name
            file.truncate(0)
            file.write(f"process {os.getpid()} (since {now})")
            file.flush()
        yield


def _holder(file: TextIO) -> str:
    file.seek(0)
    return file.read().strip() or "another process"
