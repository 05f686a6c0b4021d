"""A study, a part at a time: cells that are not done yet, until the time is up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from langmerge.base import resolve_base
from langmerge.cache import cache_folder
from langmerge.canonical import canonical_json, digest_of, digest_of_file
from langmerge.engine import Observer, Run
from langmerge.engine import run as run_plan
from langmerge.errors import UserError
from langmerge.files import write_atomically
from langmerge.plan import Decision, Job
from langmerge.project import Project
from langmerge.results import Results, write_results
from langmerge.seals import look_of_file
from langmerge.study.cells import Group, Plan
from langmerge.sweep.ground import open_ground
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
        left: how many are not done.
        failed: what went wrong, by cell.
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
        if plan.study.cross is not None:
            from langmerge.study.crossing import cross_all

            cross_all(plan, clock, tell)
    except OutOfTime:
        pass
    left = sum(not is_done(plan, *cell) for cell in plan.cells())
    return Done(tuple(finished), left, failed)


def record_path(plan: Plan, group: Group) -> Path:
    """Return the file that keeps a group's results."""
    return plan.study.folder / "cells" / f"{group.name}.json"


def read_record(plan: Plan, group: Group) -> dict[str, Any] | None:
    """Return what is kept of a group: about, seeds, results; None where nothing is."""
    try:
        found: dict[str, Any] = json.loads(record_path(plan, group).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def is_done(plan: Plan, group: Group, seed: int) -> bool:
    """Whether a cell's results are kept, and are those of its project as it is now."""
    record = read_record(plan, group)
    return (
        record is not None
        and seed in record["seeds"]
        and record.get("basis") == basis_of(plan, group)
    )


def _do(plan: Plan, group: Group, seed: int, clock: Clock, tell: Callable[[str], None]) -> None:
    record = read_record(plan, group)
    # A recipe that was chosen for other data, settings or base is not chosen for these.
    stands = record is not None and record.get("basis") == basis_of(plan, group)
    recipes: dict[str, Any] = dict(record["recipes"]) if record is not None and stands else {}
    seeds = [
        known for known in plan.seeds if known == seed or is_done(plan, group, known)
    ]  # in the study's order
    watch = Watch(clock, tell)
    if plan.study.sweep is not None and _CHOSEN not in recipes:
        recipes[_CHOSEN] = _choose(plan, group, watch, tell)
    path = plan.write(group, tuple(seeds), recipes)
    workspace, outcome = _run(path, watch)
    results = write_results(workspace, outcome)
    _keep(plan, group, tuple(seeds), recipes, results)


def _choose(plan: Plan, group: Group, watch: Watch, tell: Callable[[str], None]) -> dict[str, Any]:
    """Train a group's adapters with the first seed, and choose a recipe for them on dev."""
    path = plan.write(group, plan.seeds[:1])
    _run(path, watch, steps=("train",))
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
    return found.winner.recipe


def _run(path: Path, watch: Watch, steps: tuple[str, ...] = ()) -> tuple[Workspace, Run]:
    workspace = open_workspace(path, baselines=True, steps=steps)
    outcome = run_plan(workspace.planner(), watch)
    if failed := outcome.of("failed"):
        first = failed[0]
        raise UserError(f"{first.decision.job.id}: {(first.problem or '').strip()}")
    return workspace, outcome


def _keep(
    plan: Plan, group: Group, seeds: tuple[int, ...], recipes: Mapping[str, Any], results: Results
) -> None:
    """Write a group's record: small, whole, and readable without langmerge."""
    record = {
        "about": {
            "model": group.model,
            "variant": group.variant,
            "languages": group.languages,
            "task": group.task,
        },
        "seeds": list(seeds),
        "recipes": dict(recipes),
        "basis": basis_of(plan, group),
        "results": results.model_dump(),
    }
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    write_atomically(record_path(plan, group), text)


def basis_of(plan: Plan, group: Group) -> str:
    """Return the digest of what a group's results and its chosen recipe come from.

    That is its project, its data files and its base, wherever they are, and how a recipe is chosen.
    """
    content = plan.project(group, plan.seeds[:1])
    project = Project.model_validate(content)
    files = {
        f"{code}/{split}": _digest(str(source.path), tuple(look_of_file(Path(source.path).stat())))
        for code in group.codes
        for split, source in project.data_for(group.task, code).sources(code, Path("/")).items()
        if Path(source.path).is_file()
    }
    try:
        base: Any = resolve_base(project.base, Path("/"), cache_folder()).identity()
    except UserError:
        base = None  # The cell's run says what is wrong with it.
    choice = None if plan.study.sweep is None else plan.study.sweep.model_dump()
    text = canonical_json({"project": content, "data": files, "base": base, "sweep": choice})
    return digest_of(text.replace(str(plan.source.folder), "."))


@cache
def _digest(path: str, _look: object) -> str:
    """Return a file's digest; it is read again only once it looks changed."""
    return digest_of_file(Path(path))
