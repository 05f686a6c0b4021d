"""`langmerge sweep`: many recipes measured on dev, and the best written into the project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from langmerge.choose.objective import OBJECTIVES
from langmerge.cli._console import (
    DEFAULT_PROJECT,
    JsonOption,
    ProjectOption,
    err,
    out,
    show_json,
    show_warnings,
)
from langmerge.cli.results import show_table
from langmerge.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from langmerge.sweep.ground import Ground
    from langmerge.sweep.record import Sweep
    from langmerge.sweep.run import Request

_RISK = 0.05
_NAME = "sweep"


def sweep(  # noqa: PLR0917 - a verb's options, given by name
    method: Annotated[
        list[str] | None, typer.Option(help="Only this method; repeatable. All by default.")
    ] = None,
    density: Annotated[
        list[float] | None, typer.Option(help="Only this density; repeatable.")
    ] = None,
    lambda_: Annotated[
        list[float] | None, typer.Option("--lambda", help="Only this factor; repeatable.")
    ] = None,
    space: Annotated[
        list[str] | None, typer.Option(help="Only this space: dense, svd or core; repeatable.")
    ] = None,
    rank: Annotated[
        list[str] | None, typer.Option(help="This rank of the merge; repeatable.")
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="Search by so many trials, also weights and layer bands."),
    ] = None,
    objective: Annotated[
        str, typer.Option(help=f"What is to be largest: {', '.join(OBJECTIVES)}.")
    ] = "mean",
    task: Annotated[list[str] | None, typer.Option(help="Only this task; repeatable.")] = None,
    risk: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Of stopping the winner early; 0 stops no one.")
    ] = _RISK,
    combined: Annotated[
        bool,
        typer.Option(
            "--combined", help="Search the combined model's training instead, by --trials."
        ),
    ] = False,
    report_test: Annotated[
        bool, typer.Option("--report-test", help="Measure the best on test, after the choice.")
    ] = False,
    name: Annotated[str, typer.Option(help="Of the recipe in the project file.")] = _NAME,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be written, and write nothing.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the trials and the order of rows.")] = 0,
    project: ProjectOption = DEFAULT_PROJECT,
    json: JsonOption = False,
) -> None:
    """Choose a merge recipe on dev: measure many, and write the best into the project file."""
    from langmerge.choose.racing import Racing
    from langmerge.sweep.run import Request

    if objective not in OBJECTIVES:
        hint = did_you_mean(objective, OBJECTIVES)
        raise UserError(f"--objective {objective}: expected one of {', '.join(OBJECTIVES)}{hint}")
    axes = {"--density": density, "--lambda": lambda_, "--space": space, "--rank": rank}
    if combined:
        _refuse(
            {
                "--method": method,
                **axes,
                "--risk": risk != _RISK,
                "--report-test": report_test,
                "--name": name != _NAME,
                "--dry-run": dry_run,
            },
            "--combined",
            "it searches a training and takes --trials, --task, --objective and --seed",
        )
        if trials is None:
            raise UserError("--combined: say by how many --trials; the merge's own is fair")
        search_combined(
            project, trials, tasks=task or (), objective=objective, seed=seed, json=json
        )
        return
    if trials is not None:
        _refuse(axes, "--trials", "a search takes its values within bounds of its own")
    racing = replace(Racing(seed=seed), risk=risk) if risk else Racing(looks=(), seed=seed)
    request = Request(
        methods=tuple(method or ()),
        densities=tuple(density or ()),
        lambdas=tuple(lambda_ or ()),
        spaces=tuple(space or ()),
        ranks=tuple(rank or ()),
        trials=trials,
        objective=objective,  # type: ignore[arg-type]
        racing=racing,
        report_test=report_test,
        seed=seed,
    )
    sweep_project(project, request, tasks=task or (), name=name, dry_run=dry_run, json=json)


def sweep_project(
    path: Path,
    request: Request,
    *,
    tasks: Any = (),
    name: str = _NAME,
    dry_run: bool = False,
    json: bool = False,
) -> Sweep:
    """Sweep a project's recipes, show what came out, and write the winner.

    Args:
        path: the project file.
        request: what to go through.
        tasks: the tasks; none means all.
        name: of the recipe that is written.
        dry_run: write neither recipe nor evidence.
        json: print JSON in place of tables.

    Raises:
        UserError: as `langmerge.sweep.run.sweep`, or if the project file cannot be edited.
    """
    from langmerge.engine.holding import held
    from langmerge.sweep.ground import open_ground
    from langmerge.sweep.run import sweep as run_sweep
    from langmerge.sweep.tables import check_tables, sweep_tables
    from langmerge.workspace import open_workspace

    ground = open_ground(open_workspace(path), tasks)
    root = ground.workspace.store.root
    with held(root, lock="sweep"), _bar("sweeping") as on_progress:
        found = run_sweep(ground, request, on_progress)
    if json:
        show_json(found.model_dump())
    else:
        for table in (*sweep_tables(found), *check_tables(found)):
            show_table(table)
    told = _write(ground, found, name, dry_run)
    if not json:
        for line in told:
            out.print(Text(line), soft_wrap=True)
    return found


def search_combined(
    path: Path,
    trials: int,
    *,
    tasks: Any = (),
    objective: Any = "mean",
    seed: int = 0,
    json: bool = False,
) -> None:
    """Search the combined model's training, and show what came out.

    Args:
        path: the project file.
        trials: how many trainings.
        tasks: the tasks; none means all.
        objective: what is to be largest.
        seed: of the proposals.
        json: print JSON in place of a table.

    Raises:
        UserError: as `langmerge.sweep.combined.sweep_combined`.
    """
    from langmerge.engine.holding import held
    from langmerge.sweep.combined import save_combined, section_of, sweep_combined
    from langmerge.sweep.tables import combined_table
    from langmerge.workspace import open_workspace

    workspace = open_workspace(path)
    with held(workspace.store.root), _bar("training") as on_progress:
        found = sweep_combined(
            workspace,
            trials,
            tasks=tasks,
            objective=objective,
            seed=seed,
            tell=lambda done, note: on_progress(done, trials, note),
        )
        evidence = save_combined(workspace.store, found)
    if json:
        show_json(found.model_dump())
        return
    show_table(combined_table(found))
    if found.best is found.trials[0]:
        out.print("The project's own settings are the best.")
        return
    out.print(Text("Put this into the project file; `langmerge run` finds its training done:"))
    out.print(Text(f"\n{section_of(workspace.project, found.best)}\n"), soft_wrap=True)
    out.print(Text(f"All trials: {evidence}"), soft_wrap=True)


def _refuse(given: Mapping[str, object], beside: str, reason: str) -> None:
    """Refuse options that would have no effect beside another one."""
    for option, value in given.items():
        if value:
            raise UserError(f"{option}: has no effect with {beside} ({reason}); leave one out")


def _write(ground: Ground, found: Sweep, name: str, dry_run: bool) -> list[str]:
    """Write the evidence, and the winner unless it is there; return what to tell of it."""
    from langmerge.sweep.evidence import caution, comments, save_evidence
    from langmerge.sweep.project_file import write_recipe

    project, store = ground.workspace.project, ground.workspace.store
    evidence = store.root / "sweeps" / "DIGEST.json"
    if not dry_run:
        evidence = save_evidence(store, found)
    if not found.improves:
        kept = "Nothing is written (--dry-run)." if dry_run else f"All candidates: {evidence}"
        return [f"The current recipe is the best: {found.current}.", kept]
    diff = write_recipe(
        project.path,
        name,
        found.winner.recipe,
        comments(found, evidence, project.folder),
        dry_run=dry_run,
    )
    if project.release.recipe not in (None, name):
        show_warnings(
            [f"release.recipe is {project.release.recipe}; set it to {name} to release the winner"]
        )
    done = f"Wrote the winner to {project.path.name}: `langmerge run`."
    if dry_run:
        done = "Nothing is written (--dry-run)."
    return [diff.rstrip(), "", *filter(None, [caution(found)]), done]


@contextmanager
def _bar(what: str) -> Iterator[Any]:
    """Show a bar on a terminal; yield the function that moves it."""
    columns = (
        TextColumn(what),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        bar = progress.add_task(what, total=None, note="")
        yield lambda done, total, note: progress.update(bar, completed=done, total=total, note=note)
