"""The books of a run: what is decided about each job, and what is written down of each attempt.

One process keeps them, whoever does the work.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langmerge.canonical import digest_of
from langmerge.engine.attempts import Attempt
from langmerge.engine.ledger import Ledger
from langmerge.engine.outcomes import JobResult, Observer, Outcome, Run
from langmerge.errors import FATAL, LangmergeError, StorageError
from langmerge.plan import Decision, Job, Planner, job_graph
from langmerge.plan.graph import JOINT, train_id
from langmerge.store import Action


class Books:
    """What is known of a run's jobs.

    Args:
        planner: decides about jobs; is told what came out.
        observer: hears of everything.

    Attributes:
        jobs: all jobs of the project, in the graph's order.
        run: what became of them so far.
        ledger: where attempts are written down.
    """

    def __init__(self, planner: Planner, observer: Observer) -> None:
        self.jobs = job_graph(planner.project)
        self.run = Run()
        self.ledger = Ledger(planner.store.root)
        self._planner, self._observer = planner, observer

    def settle(self, job: Job) -> Decision | None:
        """Decide about a job whose needs are settled; return the decision if it is to be done.

        A job that is reused, left out or cannot be done is settled by that.

        Raises:
            StorageError: if the store cannot be written.
        """
        for need in self._planner.needs(job):
            if self.run.results[need].outcome in ("failed", "skipped"):
                decision = Decision(job, "run", f"needs {need}")
                self._close(JobResult(decision, "skipped", problem=f"needs {need}, which failed"))
                return None
        decision = Decision(job, "run", "not decided")
        try:
            decision = self._planner.decide(job)
            if decision.result is not None:
                kept: Outcome = "stale" if decision.action == "stale" else "reused"
                self._tidy_up(decision, decision.result)
                self._close(JobResult(decision, kept, decision.result))
            elif decision.action == "leave":
                self._close(JobResult(decision, "left"))
            else:
                return self._without_damage(decision)
        except FATAL:
            raise
        except LangmergeError as error:
            self._close(JobResult(decision, "failed", problem=str(error)))
        except Exception:
            self._close(JobResult(decision, "failed", problem=traceback.format_exc()))
        return None

    def write_down(self, attempt: Attempt) -> None:
        """Take note of an attempt that ended; the job is settled by it.

        Raises:
            StorageError: if a finished one cannot be written down.
        """
        decision = attempt.decision
        if attempt.action is None:
            with contextlib.suppress(OSError, StorageError):  # the first error is the one to show
                self.ledger.failed(attempt)
            self._close(JobResult(decision, "failed", problem=attempt.problem))
            return
        self._tidy_up(decision, attempt.action, attempt.cost)
        self._close(JobResult(decision, "ran", attempt.action))

    def end(self) -> Run:
        """Write the lock for the last time, and return what became of all jobs.

        Raises:
            StorageError: if the lock cannot be written.
        """
        known = {job.id for job in self.jobs}
        # What is pinned stays so while the project file does not ask for it.
        project = self._planner.project
        pinned = {
            train_id(task, model, seed)
            for task in project.tasks
            for model in JOINT
            for seed in project.seeds_for(task)
        }
        self._planner.lock.update(self.run.actions(), known=known | pinned)
        in_order = {job.id: self.run.results[job.id] for job in self.jobs}
        return Run(in_order)

    def _close(self, result: JobResult) -> None:
        job = result.decision.job
        self.run.results[job.id] = result
        if result.action is not None:
            self._planner.learn(job, result.action)
        if result.outcome == "ran":
            self._planner.lock.update(self.run.actions())
        self._observer.job_finished(result)

    def _tidy_up(
        self, decision: Decision, action: Action, cost: Mapping[str, Any] | None = None
    ) -> None:
        """Do what follows once a job's action is recorded; a killed run left it to the next one."""
        self._planner.store.share(action)
        self.ledger.finished(decision, action, cost)
        self._planner.store.clear_work(action.key)

    def _without_damage(self, decision: Decision) -> Decision:
        """Set a job's unusable results aside, and tell; damage to what it needs is its reason."""
        assert decision.document is not None
        planner, key = self._planner, digest_of(decision.document)
        last = planner.lock.key_of(decision.job.id)
        for own in dict.fromkeys((last or key, key)):
            if (damage := planner.store.set_damage_aside(own)) is not None:
                self._observer.damage_found(decision.job, damage)
                if own == key:
                    decision = replace(decision, reason=f"its result was damaged: {damage}")
        return decision
