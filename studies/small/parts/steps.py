"""What parts are made of: named steps, and the trainings among them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from bench import Bench, Opened
from forms import Recipe
from raw import Record
from setups import Study

from langmerge import Adapter
from langmerge.plan.lock import LOCK_FILE

Step = Callable[[], Iterator[list[str]]]
"""Yields commands (trainings, which a time limit may stop), and does the rest between them."""

Part = Callable[[Study, Bench], Iterator[tuple[str, Step]]]
"""Yields named steps; whatever is in the raw results already is left alone."""


def first_projects(study: Study) -> dict[str, Path]:
    """Write the projects with the form's first initialization, and return them by task."""
    form = study.form
    return {
        task: study.project(
            f"{task}-{form.inits[0]}",
            task,
            form.languages[task],
            seeds=form.seeds,
            init=form.inits[0],
            combined=True,
        )
        for task in form.tasks
    }


def init_project(study: Study, task: str, init: str) -> Path:
    """Write a task's project with an initialization, and return it."""
    form = study.form
    if init == form.inits[0]:
        return first_projects(study)[task]
    return study.project(f"{task}-{init}", task, form.languages[task], init=init)


def train(path: Path, pinned: Path | None = None) -> Iterator[list[str]]:
    """Train a project's adapters, and its combined model.

    Args:
        path: the project file.
        pinned: that of a project whose ancestor this one goes on with, as after adding a language.
    """
    lock = path.parent / LOCK_FILE
    if pinned is not None and not lock.exists():
        shutil.copy(pinned.parent / LOCK_FILE, lock)
    program = "from langmerge.cli import main; main()"
    command = [sys.executable, "-c", program, "run", "--only", "train", "--baselines"]
    yield [*command, "--project", str(path)]


def adapters_of(project: Opened, seed: int) -> tuple[list[Adapter], Adapter | None]:
    """Return the languages' adapters, and what they started from where that is an ancestor."""
    adapters = [project.adapter(code, seed) for code in project.languages]
    return adapters, project.adapter("ancestor", seed) if project.has_ancestor else None


def ask_merges(
    bench: Bench,
    project: Opened,
    record: Record,
    recipes: Mapping[str, Recipe],
    *,
    seed: int,
    split: str,
) -> None:
    """Ask merges of a seed's adapters, by the names of their recipes."""
    adapters, ancestor = adapters_of(project, seed)
    for name, recipe in recipes.items():
        make = partial(bench.merged, adapters, recipe, seed, ancestor)
        bench.ask(project, record, f"merged:{name}", make, on=(project.languages, split))
