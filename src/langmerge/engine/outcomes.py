"""What becomes of jobs, and who hears of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from langmerge.plan import Decision, Job
from langmerge.plan.keys import Facts
from langmerge.store import Action

Outcome = Literal["ran", "reused", "stale", "left", "failed", "skipped"]


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
        """Be told that a job starts to run; several may run at once."""

    def job_progressed(self, job: Job, done: int, total: int, note: str = "") -> None:
        """Be told how far a running job is, in units of its own."""

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
