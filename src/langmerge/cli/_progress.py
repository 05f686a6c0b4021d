"""A run's progress in the terminal: all jobs above, a line for each running job below."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from langmerge.cli._console import show_error, show_warnings
from langmerge.engine import JobResult, Observer
from langmerge.plan import Decision, Job

_VERBS = {"data": "reading", "train": "training", "merge": "merging", "evaluate": "evaluating"}


class ProgressDisplay(Observer):
    """Shows bars on a terminal, and one line per job that ran anywhere else."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._all = self._progress.add_task("jobs", total=None, note="")
        self._running: dict[str, TaskID] = {}

    def __enter__(self) -> ProgressDisplay:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def waiting(self, holder: str) -> None:
        """Say for whom the run waits."""
        show_warnings([f"{holder} is at work on this project; waiting for it to end"])

    def damage_found(self, job: Job, damage: str) -> None:
        """Say what is made again, and where the damaged files went."""
        show_warnings([f"{job.id}: {damage}; making it again"])

    def started(self, jobs: list[Job]) -> None:
        """Set the length of the upper bar."""
        self._progress.update(self._all, total=len(jobs))

    def job_started(self, decision: Decision) -> None:
        """Add the job's bar."""
        job = decision.job
        self._running[job.id] = self._progress.add_task(_describe(job), total=None, note="")

    def job_progressed(self, job: Job, done: int, total: int, note: str = "") -> None:
        """Move the job's bar."""
        if (bar := self._running.get(job.id)) is not None:
            self._progress.update(bar, completed=done, total=total, note=note)

    def job_finished(self, result: JobResult) -> None:
        """Remove the job's bar; leave a line if it took time or failed."""
        job = result.decision.job
        if (bar := self._running.pop(job.id, None)) is not None:
            self._progress.remove_task(bar)
        self._progress.advance(self._all)
        if result.outcome == "ran" and job.kind in ("train", "merge") and result.action:
            seconds = result.action.ledger["seconds"]
            self._console.print(f"  {_describe(job)}: {seconds:.1f} s", highlight=False)
        elif result.outcome == "failed":
            show_error(f"{job.id}: {result.problem}")


def _describe(job: Job) -> str:
    seed = f" (seed {job.seed})" if job.seed else ""
    if job.kind == "train":
        return f"training {job.task} {job.language or job.model}{seed}"
    if job.kind == "evaluate":
        return f"evaluating {job.task} {job.model} on {job.language} {job.split}{seed}"
    return f"{_VERBS[job.kind]} {job.task} {job.recipe or job.language}{seed}"
