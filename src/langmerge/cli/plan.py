"""`langmerge plan`: what would run and why, and about how long it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from typing import Annotated

import typer
from rich.table import Table

from langmerge.cli._console import DEFAULT_PROJECT, JsonOption, ProjectOption, out, show_json
from langmerge.durations import time_text
from langmerge.plan import Decision
from langmerge.plan.cache import PlanCache
from langmerge.plan.keys import ADOPTED
from langmerge.upkeep.bill import SECONDS_PER_HOUR, read_ledger
from langmerge.upkeep.estimate import Estimate, estimate_plan
from langmerge.workspace import Workspace, open_workspace

_ALL = "*"
_STYLES = {"run": "bold green", "reuse": "dim", "stale": "yellow", "leave": "yellow"}

TargetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--target-language", help="Read and train only this language's new rows; repeatable."
    ),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option("--only", help="Do only this step: train, merge or evaluate; repeatable."),
]
BaselinesOption = Annotated[
    bool, typer.Option("--baselines", help="Also retrain baselines that newer data made stale.")
]

RemakeOption = Annotated[
    bool,
    typer.Option("--remake-ancestor", help="Make anew what languages start from; all retrain."),
]


def plan(  # noqa: PLR0917 - a verb's options, given by name
    project: ProjectOption = DEFAULT_PROJECT,
    baselines: BaselinesOption = False,
    remake_ancestor: RemakeOption = False,
    target_language: TargetOption = None,
    only: OnlyOption = None,
    json: JsonOption = False,
) -> None:
    """Show what `langmerge run` would do, why, and about how long it takes; nothing is run."""
    workspace = open_workspace(
        project, baselines, target_language or (), only or (), remake_ancestor=remake_ancestor
    )
    decisions, estimate = plan_of(workspace)
    if json:
        show_json([decision.to_json() for decision in decisions])
    else:
        show_plan(decisions)
        out.print(summary(decisions, estimate, workspace.project.cost.price_per_hour))


def plan_of(workspace: Workspace) -> tuple[list[Decision], Estimate]:
    """Return a project's plan, and what it will cost."""
    from langmerge.check import checked_plan

    cache = PlanCache(workspace.store)
    planner = workspace.planner(cache)
    decisions = checked_plan(workspace, planner)
    cache.save()
    entries = read_ledger(workspace.store.root).entries
    return decisions, estimate_plan(decisions, entries, planner.facts)


def show_plan(decisions: Iterable[Decision]) -> None:
    """Print every job that would run, is stale or is left out, and the adapters adopted."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("action", "job", "reason"):
        table.add_column(column)
    shown = (d for d in decisions if d.action != "reuse" or ADOPTED in (d.document or {}))
    for (action, what, reason), alike in groupby(shown, _line):
        languages = ", ".join(d.job.language or "" for d in alike)
        table.add_row(f"[{_STYLES[action]}]{action}[/]", what.replace(_ALL, languages), reason)
    if table.row_count:
        out.print(table)


def _line(decision: Decision) -> tuple[str, str, str]:
    """Return action, job and reason; evaluations of a model in several languages share a line."""
    job = decision.job
    what = job.id.replace(f"/{job.language}/", f"/{_ALL}/") if job.kind == "evaluate" else job.id
    return decision.action, what, decision.reason


def summary(
    decisions: Iterable[Decision], estimate: Estimate, price_per_hour: float | None = None
) -> str:
    """Return a plan in one line: how many jobs of each kind run, for how long; how many do not."""
    actions = Counter[str](decision.action for decision in decisions)
    kinds = Counter(d.job.kind for d in decisions if d.action == "run")
    kept = ", ".join(
        f"{word}: {actions[action]}"
        for action, word in (("reuse", "Reused"), ("stale", "Stale"), ("leave", "Left out"))
        if actions[action]
    )
    if not kinds:
        return f"Nothing to run. {kept}."
    running = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return f"To run: {running}; {_cost(estimate, price_per_hour)}. {kept or 'Reused: 0'}."


def _cost(estimate: Estimate, price_per_hour: float | None) -> str:
    unknown = ", ".join(f"{count} {kind}" for kind, count in estimate.unknown.items())
    if not estimate.seconds:
        return "no earlier run tells how long it takes"
    hours = estimate.seconds / SECONDS_PER_HOUR
    price = "" if price_per_hour is None else f", price {hours * price_per_hour:.2f}"
    known = f"about {time_text(estimate.seconds)} ({hours:.3g} device-hours{price}) by earlier runs"
    return f"{known}, without {unknown} of which nothing is known" if unknown else known
