"""The local engine: jobs in the graph's order, in this process, with nothing finished ever lost."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from langmerge.canonical import digest_of
from langmerge.engine.ledger import Ledger
from langmerge.errors import BaseModelError, LangmergeError, StorageError
from langmerge.plan import Decision, Job, Planner, job_graph
from langmerge.plan.graph import train_id
from langmerge.plan.keys import Facts
from langmerge.store import Action, writing

Outcome = Literal["ran", "reused", "stale", "failed", "skipped"]


@dataclass(frozen=True)
class JobResult:
    """What became of a job.

    Attributes:
        decision: what was decided and why.
        outcome: `ran`, `reused`, `stale`, `failed`, or `skipped` because a job it needs failed.
        action: its result; None where it failed or was skipped.
        problem: what went wrong, for people.
    """

    decision: Decision
    outcome: Outcome
    action: Action | None = None
    problem: str | None = None


class Observer:
    """Hears of a run's progress; this one stays silent."""

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


def run(planner: Planner, observer: Observer | None = None) -> Run:
    """Do what the plan says, job by job; a failing job does not stop those that need it not.

    Every finished job is recorded at once, so a killed run goes on where it stopped.

    Raises:
        StorageError: if another run holds the project, or nothing can be written.
    """
    from langmerge.engine.jobs import Workbench

    observer = observer or Observer()
    jobs = job_graph(planner.project)
    observer.started(jobs)
    # A baseline stays pinned while it is left out of `compare`.
    pinned = {
        train_id(task, None, seed)
        for task in planner.project.tasks
        for seed in planner.project.seeds_for(task)
    }
    outcome = Run()
    with held(planner.store.root), Workbench(planner) as workbench:
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
        if outcome.results[need].action is None:
            decision = Decision(job, "run", f"needs {need}")
            return JobResult(decision, "skipped", problem=f"needs {need}, which failed")
    decision = Decision(job, "run", "not decided")
    try:
        decision = planner.decide(job)
        if decision.result is not None:
            kept: Outcome = "stale" if decision.action == "stale" else "reused"
            return JobResult(decision, kept, decision.result)
        observer.job_started(decision)
        action = _execute(decision, planner, workbench, ledger, observer)
        return JobResult(decision, "ran", action)
    except (StorageError, BaseModelError):
        raise  # Nothing more can be kept, or nothing can be computed: going on would burn time.
    except LangmergeError as error:
        return JobResult(decision, "failed", problem=str(error))
    except Exception:
        return JobResult(decision, "failed", problem=traceback.format_exc())


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
        attempt.made(produced.output, produced.ledger)
    action = Action(key, document, produced.output, produced.facts, attempt.cost)
    recorded = planner.store.record(action)
    planner.store.clear_work(key)
    return recorded


@contextlib.contextmanager
def held(store: Path) -> Iterator[None]:
    """Hold the project of a store for this process, created if need be.

    Raises:
        StorageError: naming the process that holds it.
    """
    import fcntl
    import os

    with writing(store):
        store.mkdir(parents=True, exist_ok=True)
        file = (store / "run.lock").open("a+", encoding="utf-8")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise StorageError(
                f"{store.parent}: {holder} is running this project; wait for it, or stop it"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        yield
