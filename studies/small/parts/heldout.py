"""What `merge: auto` chooses without a language, and plain TIES, on the widest test."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench import Bench, Opened
from choice import chosen, heldout_choices, record_of
from forms import WIDE, auto_names
from setups import Study

from parts.steps import Step, ask_merges, train


def heldout(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield the first initialization's adapters, put to the question that its own test left open.

    What the part `main` chose on its few dev rows goes to test, and what the first seed's adapters
    would have chosen on more of them.
    """
    form = study.form
    for task in form.tasks:
        path = study.project(
            f"{task}-{WIDE}",
            task,
            form.languages[task],
            seeds=form.seeds,
            init=form.inits[0],
            sizes={"dev": form.wide_dev[task], "test": form.wide[task]},
        )
        yield f"heldout/{task}: train", partial(train, path)
        yield f"heldout/{task}: dev", partial(_dev, study, bench, path)
        for seed in form.seeds:
            step = partial(_test, study, bench, path, seed)
            yield f"heldout/{task}: test, seed {seed}", step


def _dev(study: Study, bench: Bench, path: Path) -> Iterator[list[str]]:
    """Ask what `merge: auto` chooses among on dev, with the first seed."""
    project, seed = Opened.of(path), study.form.seeds[0]
    record = record_of(study, project.task, WIDE, seed)
    recipes = {name: study.form.candidates[name] for name in auto_names(study.form)}
    ask_merges(bench, project, record, recipes, seed=seed, split="dev")
    yield from ()


def _test(study: Study, bench: Bench, path: Path, seed: int) -> Iterator[list[str]]:
    """Ask what was chosen without a language on test, and plain TIES."""
    project, form = Opened.of(path), study.form
    first = record_of(study, project.task, WIDE, form.seeds[0])
    record_of(study, project.task, WIDE, seed).note(
        languages=project.languages,
        heldout=chosen(study, project.task, form.inits[0])["heldout"],
        heldout_wide=heldout_choices([first], auto_names(form)),
    )
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
    facts = record.content["facts"]
    picked = [*facts["heldout"].values(), *facts.get("heldout_wide", {}).values()]
    recipes = {name: study.form.candidates[name] for name in [*picked, "ties-1"]}
    ask_merges(bench, project, record, recipes, seed=seed, split="test")
