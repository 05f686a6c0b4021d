"""`langmerge plan`: what would run and why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.table import Table

from langmerge.cli._console import DEFAULT_PROJECT, JsonOption, ProjectOption, out, show_json
from langmerge.plan import Decision
from langmerge.workspace import open_workspace

_STYLES = {"run": "bold green", "reuse": "dim", "stale": "yellow"}


def plan(project: ProjectOption = DEFAULT_PROJECT, json: JsonOption = False) -> None:
    """Show what `langmerge run` would do and why; nothing is run."""
    decisions = plan_of(project)
    if json:
        show_json([decision.to_json() for decision in decisions])
    else:
        show_plan(decisions)


def plan_of(project: Path, baselines: bool = False) -> list[Decision]:
    """Return the plan of a project file."""
    from langmerge.check import checked_plan

    return checked_plan(open_workspace(project, baselines))


def show_plan(decisions: list[Decision]) -> None:
    """Print every job that would run or is stale, and how many are reused."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("action", "job", "reason"):
        table.add_column(column)
    for decision in decisions:
        if decision.action != "reuse":
            style = _STYLES[decision.action]
            table.add_row(f"[{style}]{decision.action}[/]", decision.job.id, decision.reason)
    if table.row_count:
        out.print(table)
    out.print(summary(decisions))


def summary(decisions: list[Decision]) -> str:
    """Return a plan in one line: how many jobs of each kind run, and how many are reused."""
    running = Counter(d.job.kind for d in decisions if d.action == "run")
    reused = sum(d.action != "run" for d in decisions)
    if not running:
        return f"Nothing to run: all {reused} results are up to date or stale baselines."
    kinds = ", ".join(f"{count} {kind}" for kind, count in running.items())
    return f"To run: {kinds}. Reused: {reused}."
