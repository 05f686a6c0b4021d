"""A study, a part at a time: cells that are not done yet, until the time is up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langmerge.engine import Observer, Run
from langmerge.engine import run as run_plan
from langmerge.errors import UserError
from langmerge.files import write_atomically
from langmerge.plan import Decision, Job
from langmerge.project import load_project
from langmerge.results import Results, write_results
from langmerge.study.cells import Group, Plan
from langmerge.study.crossing import cross, crossings
from langmerge.study.records import basis_of, is_done, read_record, record_path
from langmerge.sweep.ground import open_ground
from langmerge.sweep.record import Row
from langmerge.sweep.run import Request, sweep
from langmerge.workspace import Workspace, open_workspace

_CHOSEN = "sweep"


class OutOfTime(BaseException):
    """The time is up. What is finished is kept, and a training goes on from its checkpoint."""


@dataclass
class Clock:
    """How long a call may take; None for as long as it takes.

    Attributes:
        seconds: the time there is.
    """

    seconds: float | None = None

    def __post_init__(self) -> None:
        self._start = time.monotonic()

    def check(self) -> None:
        """Raise `OutOfTime` if the time is up."""
        if self.seconds is not None and time.monotonic() - self._start > self.seconds:
            raise OutOfTime


class Watch(Observer):
    """Tells another observer of a run's progress, and ends the run when the time is up."""

    def __init__(self, clock: Clock, tell: Callable[[str], None]) -> None:
        self._clock, self._tell = clock, tell

    def job_started(self, decision: Decision) -> None:
        """Say what starts, unless there is no time for it."""
        self._clock.check()
        self._tell(decision.job.id)

    def job_progressed(self, job: Job, done: int, total: int, note: str = "") -> None:
        """Say how far it is."""
        self._clock.check()
        self._tell(f"{job.id} {done}/{total} {note}")


@dataclass(frozen=True)
class Done:
    """What a call of a study did.

    Attributes:
        cells: names of the cells it finished.
        left: how many cells and crossings are not done.
        failed: what went wrong, by cell or crossing.
    """

    cells: tuple[str, ...]
    left: int
    failed: Mapping[str, str]


def run_study(
    plan: Plan, minutes: float | None = None, tell: Callable[[str], None] | None = None
) -> Done:
    """Do cells that are not done yet, in order, and keep each one's results as it is done.

    A cell whose project changed (data, settings, recipes) counts as not done; what of it is in the
    store is not done again.

    Args:
        plan: the study.
        minutes: the time there is; the job that runs when it is up is stopped.
        tell: is told what goes on.
    """
    clock = Clock(None if minutes is None else 60 * minutes)
    tell = tell or (lambda _: None)
    finished, failed = [], {}
    todo = [cell for cell in plan.cells() if not is_done(plan, *cell)]
    try:
        for group, seed in todo:
            clock.check()
            name = f"{group.name}/seed{seed}"
            tell(name)
            try:
                _do(plan, group, seed, clock, tell)
                finished.append(name)
            except UserError as error:
                failed[name] = str(error)
        for crossing in crossings(plan):
            clock.check()
            if crossing.is_ready:
                try:
                    cross(crossing, clock, tell)
                except UserError as error:
                    failed[crossing.name] = str(error)
    except OutOfTime:
        pass
    left = sum(not is_done(plan, *cell) for cell in plan.cells())
    left += sum(not crossing.is_done for crossing in crossings(plan))
    return Done(tuple(finished), left, failed)


def _do(plan: Plan, group: Group, seed: int, clock: Clock, tell: Callable[[str], None]) -> None:
    record = read_record(plan, group)
    # A recipe that was chosen for other data, settings or base is not chosen for these.
    stands = record is not None and record.get("basis") == basis_of(plan, group)
    recipes: dict[str, Any] = dict(record["recipes"]) if record is not None and stands else {}
    choice = record.get("choice") if record is not None and stands else None
    seeds = [
        known for known in plan.seeds if known == seed or is_done(plan, group, known)
    ]  # in the study's order
    watch = Watch(clock, tell)
    if plan.study.sweep is not None and _CHOSEN not in recipes:
        winner = _choose(plan, group, watch, tell)
        recipes[_CHOSEN] = winner.recipe
        choice = {
            "recipe": _CHOSEN,
            "objective": plan.study.sweep.objective,
            "seed": plan.seeds[0],
            **winner.model_dump(include={"label", "value", "mean"}),
        }
    path = plan.write(group, tuple(seeds), recipes)
    workspace, outcome = _run(path, watch)
    results = write_results(workspace, outcome)
    _keep(plan, group, tuple(seeds), {"recipes": recipes, "choice": choice}, results)


def _choose(plan: Plan, group: Group, watch: Watch, tell: Callable[[str], None]) -> Row:
    """Train a group's adapters with the first seed, and choose a recipe for them on dev."""
    path = plan.write(group, plan.seeds[:1])
    # Weights by gains need evaluations beside the adapters.
    _run(path, watch, steps=() if load_project(path).weighs_by_gain else ("train",))
    choice = plan.study.sweep
    assert choice is not None
    request = Request(
        methods=choice.methods,
        densities=choice.densities,
        lambdas=choice.lambdas,
        spaces=choice.spaces,
        trials=choice.trials,
        objective=choice.objective,
    )

    def on_progress(done: int, total: int, note: str) -> None:
        watch._clock.check()
        tell(f"sweep {done}/{total} {note}")

    found = sweep(open_ground(open_workspace(path)), request, on_progress)
    evidence = plan.study.folder / "cells" / f"{group.name}.sweep.json"
    write_atomically(evidence, found.model_dump_json(indent=1) + "\n")
    return found.winner


def _run(path: Path, watch: Watch, steps: tuple[str, ...] = ()) -> tuple[Workspace, Run]:
    workspace = open_workspace(path, baselines=True, steps=steps)
    outcome = run_plan(workspace.planner(), watch)
    if failed := outcome.of("failed"):
        first = failed[0]
        raise UserError(f"{first.decision.job.id}: {(first.problem or '').strip()}")
    return workspace, outcome


def _keep(
    plan: Plan, group: Group, seeds: tuple[int, ...], chosen: Mapping[str, Any], results: Results
) -> None:
    """Write a group's record: small, whole, and readable without langmerge.

    `chosen` is the recipe that was chosen on dev, and how it did there.
    """
    record = {
        "about": {
            "model": group.model,
            "variant": group.variant,
            "languages": group.languages,
            "task": group.task,
        },
        "seeds": list(seeds),
        **chosen,
        "basis": basis_of(plan, group),
        "results": results.model_dump(),
    }
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    write_atomically(record_path(plan, group), text)
