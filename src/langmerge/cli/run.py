"""`langmerge run`: carry out the plan, and show what came out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer

from langmerge.cli._console import (
    DEFAULT_PROJECT,
    ProjectOption,
    TrackOption,
    err,
    out,
    show_warnings,
)
from langmerge.cli._progress import ProgressDisplay
from langmerge.cli.plan import (
    BaselinesOption,
    OnlyOption,
    RemakeOption,
    TargetOption,
    plan_of,
    summary,
)
from langmerge.cli.results import show_results
from langmerge.engine import Run
from langmerge.engine.cluster import Cluster
from langmerge.errors import JobsFailed, UserError
from langmerge.workspace import open_workspace

Engine = Literal["local", "ray"]


def run(  # noqa: PLR0917 - a verb's options, given by name
    project: ProjectOption = DEFAULT_PROJECT,
    baselines: BaselinesOption = False,
    remake_ancestor: RemakeOption = False,
    target_language: TargetOption = None,
    only: OnlyOption = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Stop if another process is at work on the project.")
    ] = False,
    track: TrackOption = None,
    engine: Annotated[
        Engine, typer.Option(help="Where to run: in this process, or on a Ray cluster.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster: HOST:PORT, or auto. Without, one starts on this machine."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Ray workers; one per GPU, or per node without GPUs, if absent."),
    ] = None,
    worker_memory: Annotated[
        float | None, typer.Option(min=0, help="Main memory that each Ray worker reserves, GB.")
    ] = None,
) -> None:
    """Train, merge and evaluate what is missing or changed; a killed run goes on where it was."""
    outcome = run_project(
        project,
        baselines,
        languages=target_language or (),
        steps=only or (),
        wait=not no_wait,
        track=track,
        remake_ancestor=remake_ancestor,
        cluster=_cluster(engine, address, workers, worker_memory),
    )
    show_results(project)
    finish(outcome)


def _cluster(
    engine: str, address: str | None, workers: int | None, memory: float | None
) -> Cluster | None:
    if engine == "ray":
        return Cluster(address, workers, None if memory is None else int(memory * 1e9))
    if (address, workers, memory) != (None, None, None):
        raise UserError(
            "--address, --workers and --worker-memory are of the Ray engine; add --engine ray"
        )
    return None


def finish(outcome: Run) -> None:
    """End a verb that ran jobs.

    Raises:
        JobsFailed: if some were not done.
    """
    if problems := outcome.of("failed", "skipped"):
        raise JobsFailed(
            f"{len(problems)} of {len(outcome.results)} jobs were not done; "
            "the finished ones are kept, and `langmerge run` tries the others again"
        )


def run_project(
    path: Path,
    baselines: bool = False,
    *,
    languages: Iterable[str] = (),
    steps: Iterable[str] = (),
    wait: bool = True,
    track: str | None = None,
    remake_ancestor: bool = False,
    cluster: Cluster | None = None,
) -> Run:
    """Plan first, so that bad input stops everything before anything expensive; then run.

    Args:
        path: the project file.
        baselines: also retrain baselines that newer data made stale.
        languages: train these only; none means all.
        steps: do only `train`, `merge` or `evaluate`; none means all.
        wait: while another process is at work on the project, wait for it.
        cluster: the Ray cluster to run on; None runs in this process.
        track: the tracker that records the run, or `none`; what the project file says by default.
        remake_ancestor: make anew what all languages start from.

    Raises:
        UserError: if the project or its data is wrong.
    """
    from langmerge.check import check_before_training, check_data
    from langmerge.engine import run as run_plan
    from langmerge.results import write_results
    from langmerge.tracking.observers import Observers
    from langmerge.tracking.recorder import recording

    workspace = open_workspace(path, baselines, languages, steps, remake_ancestor=remake_ancestor)
    decisions, estimate = plan_of(workspace)
    out.print(summary(decisions, estimate, workspace.project.cost.price_per_hour))
    running = {decision.job.kind for decision in decisions if decision.action == "run"}
    if running:
        report = check_data(workspace.project).without_errors()
        show_warnings(report.warnings)
        if "train" in running:
            show_warnings(check_before_training(workspace, report))
    with recording(workspace, track, show_warnings) as recorder:
        with ProgressDisplay(err) as display:
            observers = Observers(display, recorder)
            outcome = run_plan(
                workspace.planner(),
                observers,
                wait=wait,
                cluster=cluster,
                seconds=estimate.by_job,
            )
        recorder.finished(outcome, write_results(workspace, outcome))
    return outcome
