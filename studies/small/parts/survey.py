"""All methods and densities on dev, with the first seed, when all is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench import Bench, Opened
from choice import record_of
from forms import SURVEY
from setups import Study

from parts.steps import Step, ask_merges, first_projects, train


def survey(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield the form's survey: what a method or density might be worth. Nothing is chosen by it."""
    for task, path in first_projects(study).items() if study.form.survey else ():
        yield f"{SURVEY}/{task}: train", partial(train, path)
        yield f"{SURVEY}/{task}: dev", partial(_asked, study, bench, path)


def _asked(study: Study, bench: Bench, path: Path) -> Iterator[list[str]]:
    project, seed = Opened.of(path), study.form.seeds[0]
    record = record_of(study, project.task, SURVEY, seed)
    recipes = study.form.survey
    record.content["recipes"].update({name: dict(recipe) for name, recipe in recipes.items()})
    ask_merges(bench, project, record, recipes, seed=seed, split="dev")
    record.note(languages=project.languages, complete=True)
    yield from ()
