"""The growing merge: one language more at a time, and what it does to all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from bench import Bench, Opened
from choice import chosen_recipe, record_of
from forms import ADDED
from setups import Study

from parts.steps import Step, adapters_of, train


def added(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield, for every task that has further languages, their training and the merges with them.

    Where adapters have an ancestor it is that of the first languages; new ones start from it, too.
    """
    form = study.form
    for task in form.tasks:
        if new := ADDED.get(task, ())[: form.added]:
            languages = (*form.languages[task], *new)
            path = study.project(f"{task}-added", task, languages, init=form.inits[0])
            released = study.path(f"{task}-{form.inits[0]}")
            yield f"added/{task}: train", partial(train, path, released)
            yield f"added/{task}: test", partial(_test, study, bench, path, new)


def _test(study: Study, bench: Bench, path: Path, new: Sequence[str]) -> Iterator[list[str]]:
    project, seed = Opened.of(path), study.form.seeds[0]
    record = record_of(study, project.task, "added", seed)
    recipe = chosen_recipe(study, project.task, project.init)
    before, everyone = study.form.languages[project.task], project.languages
    record.note(before=list(before), added=list(new))
    record.content["recipes"]["chosen"] = dict(recipe)
    adapters, ancestor = adapters_of(project, seed)
    for count in range(len(new) + 1):
        merged = adapters[: len(before) + count]
        make = partial(bench.merged, merged, recipe, seed, ancestor)
        bench.ask(project, record, f"merged+{count}", make, on=(everyone, "test"))
    for code in new:
        make = partial(project.adapter, code, seed)
        bench.ask(project, record, "individual", make, on=([code], "test"))
    yield from ()
