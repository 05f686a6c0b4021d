"""Every task with the form's first initialization, and with the others."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench import Bench, Opened
from choice import best_of, chosen, dev_scores, finalists, record_of, seeds_of
from setups import Study

from parts.steps import Step, adapters_of, ask_merges, first_projects, init_project, train


def main(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield every task with the first initialization: train, choose on dev, report on test."""
    form, paths = study.form, first_projects(study)
    for task, path in paths.items():
        yield f"main/{task}: train", partial(train, path)
    for split, measure in (("dev", _dev), ("test", _test), ("routed", _routed)):
        for seed in form.seeds:
            for task, path in paths.items():
                step = partial(measure, study, bench, path, seed)
                yield f"main/{task}: {split}, seed {seed}", step


def inits(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield the other initializations, with the first seed."""
    form, seed = study.form, study.form.seeds[0]
    for init in form.inits[1:]:
        for task in form.tasks:
            path = init_project(study, task, init)
            yield f"inits/{task}-{init}: train", partial(train, path)
            for split, measure in (("dev", _dev), ("test", _test)):
                yield f"inits/{task}-{init}: {split}", partial(measure, study, bench, path, seed)


def _dev(study: Study, bench: Bench, path: Path, seed: int) -> Iterator[list[str]]:
    """Ask every single adapter and every candidate on dev."""
    project = Opened.of(path)
    record, languages = record_of(study, project.task, project.init, seed), project.languages
    adapters, _ = adapters_of(project, seed)
    record.note(languages=languages)
    for code, adapter in zip(languages, adapters, strict=True):
        bench.ask(project, record, f"adapter:{code}", lambda a=adapter: a, on=(languages, "dev"))
    recipes = finalists(study, project.task, project.init, seed)
    for name, recipe in recipes.items():
        record.content["recipes"][name] = dict(recipe)
    ask_merges(bench, project, record, recipes, seed=seed, split="dev")
    yield from ()


def _test(study: Study, bench: Bench, path: Path, seed: int) -> Iterator[list[str]]:
    """Ask the baselines, what dev chose and the reference recipes on test."""
    project = Opened.of(path)
    init, languages = project.init, project.languages
    record = record_of(study, project.task, init, seed)
    is_first = init == study.form.inits[0]
    adapters, ancestor = adapters_of(project, seed)
    trained = [*languages, "ancestor", *(["combined"] if is_first else [])]
    record.note(
        costs={name: project.cost(name, seed) for name in trained},
        single=best_of(dev_scores([record], "adapter:")),
        chosen=chosen(study, project.task, init),
    )
    if is_first:
        make = partial(project.adapter, "combined", seed)
        bench.ask(project, record, "combined", make, on=(languages, "test"))
        if seed == seeds_of(study.form, init)[0]:
            bench.ask(project, record, "base", lambda: None, on=(languages, "test"))
    for code, adapter in zip(languages, adapters, strict=True):
        bench.ask(project, record, "individual", lambda a=adapter: a, on=([code], "test"))
    best = dict(zip(languages, adapters, strict=True))[record.content["facts"]["single"]]
    bench.ask(project, record, "best-single", lambda: best, on=(languages, "test"))
    if ancestor is not None:
        bench.ask(project, record, "ancestor", lambda: ancestor, on=(languages, "test"))
    tested = record.content["facts"]["chosen"]["test"]
    recipes = {name: study.form.candidates[name] for name in tested}
    ask_merges(bench, project, record, recipes, seed=seed, split="test")
    yield from ()


def _routed(study: Study, bench: Bench, path: Path, seed: int) -> Iterator[list[str]]:
    """Ask the languages' own adapters on test, the language of a row being unknown."""
    project = Opened.of(path)
    adapters, _ = adapters_of(project, seed)
    record = record_of(study, project.task, project.init, seed)
    bench.route(project, record, dict(zip(project.languages, adapters, strict=True)))
    yield from ()
