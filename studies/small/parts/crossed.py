"""Task-specific or language-specific: the same adapters merged over languages, tasks, or both."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench import Bench, Opened
from choice import record_of
from forms import CROSSED
from setups import Study

from langmerge import Adapter
from parts.steps import Step, adapters_of, train

INIT = "shared"
"""Adapters of different tasks have no common ancestor, but the same first A."""


def crossed(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield the trainings of all tasks, and the merges asked in the languages they share."""
    form = study.form
    paths = {
        task: study.project(f"{task}-{INIT}", task, form.languages[task], init=INIT)
        for task in form.tasks
    }
    for task, path in paths.items():
        yield f"crossed/{task}: train", partial(train, path)
    for task in form.tasks:
        yield f"crossed/{task}: test", partial(_test, study, bench, paths, task)


def _test(study: Study, bench: Bench, paths: dict[str, Path], task: str) -> Iterator[list[str]]:
    seed = study.form.seeds[0]
    projects = {name: Opened.of(path) for name, path in paths.items()}
    own = {
        (name, code): adapter
        for name, project in projects.items()
        for code, adapter in zip(project.languages, adapters_of(project, seed)[0], strict=True)
    }
    shared = [code for code in projects[task].languages if all((n, code) in own for n in projects)]
    record = record_of(study, task, "crossed", seed)
    record.note(languages=shared, tasks=list(projects))

    def ask(model: str, adapters: list[Adapter], languages: list[str]) -> None:
        recipe = record.content["recipes"][model] = dict(CROSSED)
        make = partial(bench.merged, adapters, recipe, seed)
        bench.ask(projects[task], record, model, make, on=(languages, "test"))

    for code in shared:
        make = partial(own.__getitem__, (task, code))
        bench.ask(projects[task], record, "own", make, on=([code], "test"))
        ask(f"over tasks: {code}", [own[name, code] for name in projects], [code])
    ask("over languages", [a for (name, _), a in own.items() if name == task], shared)
    ask("over both", list(own.values()), shared)
    yield from ()
