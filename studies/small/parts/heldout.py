"""What `merge: auto` chooses without a language, and plain TIES, on the widest test."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench import Bench, Opened
from choice import chosen, record_of
from forms import WIDE
from setups import Study

from parts.steps import Step, adapters_of, train


def heldout(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield the first initialization's adapters, put to the question that its own test left open.

    The part `main` has chosen the recipes; nothing is chosen here.
    """
    form = study.form
    for task in form.tasks:
        path = study.project(
            f"{task}-{WIDE}",
            task,
            form.languages[task],
            seeds=form.seeds,
            init=form.inits[0],
            wide=True,
        )
        yield f"heldout/{task}: train", partial(train, path)
        for seed in form.seeds:
            step = partial(_wide, study, bench, path, seed)
            yield f"heldout/{task}: test, seed {seed}", step


def _wide(study: Study, bench: Bench, path: Path, seed: int) -> Iterator[list[str]]:
    project = Opened.of(path)
    picked = chosen(study, project.task, study.form.inits[0])["heldout"]
    record_of(study, project.task, WIDE, seed).note(languages=project.languages, heldout=picked)
    ask_heldout(study, bench, project, WIDE, seed)
    yield from ()


def ask_heldout(study: Study, bench: Bench, project: Opened, name: str, seed: int) -> None:
    """Ask the recipes that were chosen without a language, as the record has them, and plain TIES.

    Args:
        study: the study.
        bench: asks them.
        project: has the adapters and the rows.
        name: by which the raw results have them.
        seed: of the adapters.
    """
    record = record_of(study, project.task, name, seed)
    adapters, ancestor = adapters_of(project, seed)
    for recipe in dict.fromkeys([*record.content["facts"]["heldout"].values(), "ties-1"]):
        make = partial(bench.merged, adapters, study.form.candidates[recipe], seed, ancestor)
        bench.ask(project, record, f"merged:{recipe}", make, on=(project.languages, "test"))
