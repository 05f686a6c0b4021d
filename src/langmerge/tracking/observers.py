"""Several observers of one run as one."""

from __future__ import annotations

from langmerge.engine import JobResult, Observer
from langmerge.plan import Decision, Job


class Observers(Observer):
    """Passes everything on to each of several observers, in their order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def waiting(self, holder: str) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.waiting(holder)

    def damage_found(self, job: Job, damage: str) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.damage_found(job, damage)

    def started(self, jobs: list[Job]) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.started(jobs)

    def job_started(self, decision: Decision) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.job_started(decision)

    def job_progressed(self, job: Job, done: int, total: int, note: str = "") -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.job_progressed(job, done, total, note)

    def job_finished(self, result: JobResult) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.job_finished(result)
