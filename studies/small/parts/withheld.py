"""The test of the paper's explanation: one label withheld from one language."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench import Bench, Opened
from choice import chosen_recipe, record_of
from forms import REFERENCES, WITHHELD
from setups import Study

from parts.steps import Step, adapters_of, train


def withheld(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield the trainings without the label, and their merges."""
    task, language, label = WITHHELD
    if task in study.form.tasks:
        path = study.project(
            f"{task}-withheld",
            task,
            study.form.languages[task],
            init=study.form.inits[0],
            combined=True,
            without=(language, label),
        )
        yield "withheld: train", partial(train, path)
        yield "withheld: test", partial(_test, study, bench, path)


def _test(study: Study, bench: Bench, path: Path) -> Iterator[list[str]]:
    project, seed = Opened.of(path), study.form.seeds[0]
    record, languages = record_of(study, project.task, "withheld", seed), project.languages
    record.note(withheld=list(WITHHELD))
    adapters, ancestor = adapters_of(project, seed)
    for code, adapter in zip(languages, adapters, strict=True):
        bench.ask(project, record, "individual", lambda a=adapter: a, on=([code], "test"))
    make = partial(project.adapter, "combined", seed)
    bench.ask(project, record, "combined", make, on=(languages, "test"))
    chosen = chosen_recipe(study, project.task, project.init)
    for name, recipe in {"ties-1": REFERENCES["ties-1"], "chosen": chosen}.items():
        record.content["recipes"][name] = dict(recipe)
        make = partial(bench.merged, adapters, recipe, seed, ancestor)
        bench.ask(project, record, f"merged:{name}", make, on=(languages, "test"))
    yield from ()
