"""What a few rows more can do: calibrated weights, and the upper references that are training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bench import Bench, Opened
from choice import best_of, chosen_recipe, dev_scores, record_of
from setups import Study

from langmerge import Adapter
from langmerge.choose.calibrate import calibrate
from parts.steps import Step, adapters_of, train


def calibrated(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield merges whose weights were fitted to dev rows, and merges trained on these rows."""
    for task, path in _projects(study):
        yield f"calibrated/{task}: train", partial(train, path)
        for seed in study.form.seeds:
            step = partial(_calibrated, study, bench, path, seed)
            yield f"calibrated/{task}: test, seed {seed}", step
        step = partial(_aligned, study, bench, path, study.form.seeds[0])
        yield f"aligned/{task}: test", step


def tuned(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield the combined model with other settings, the best of which on dev goes to test."""
    for task, path in _projects(study):
        if study.form.combined_trials:
            yield f"tuned/{task}: train", partial(train, path)
            yield f"tuned/{task}: dev and test", partial(_tuned, study, bench, path)


def _projects(study: Study) -> Iterator[tuple[str, Path]]:
    form = study.form
    for task in form.tasks:
        yield (
            task,
            study.project(
                f"{task}-{form.inits[0]}",
                task,
                form.languages[task],
                seeds=form.seeds,
                init=form.inits[0],
                combined=True,
            ),
        )


def _calibrated(study: Study, bench: Bench, path: Path, seed: int) -> Iterator[list[str]]:
    project = Opened.of(path)
    record, languages = record_of(study, project.task, project.init, seed), project.languages
    adapters, ancestor = adapters_of(project, seed)

    def make(name: str, bands: int) -> Adapter:
        found = calibrate(
            bench.base(project),
            dict(zip(languages, adapters, strict=True)),
            {code: bench.examples(project, code, "dev") for code in languages},
            bands=bands,
            ancestor=ancestor,
        )
        recipe: dict[str, Any] = {"method": "task_arithmetic", "weights": list(found.weights)}
        if found.layer_scales is not None:
            recipe["layer_scales"] = list(found.layer_scales)
        record.content["recipes"][name] = recipe
        record.note(**{name: found.evidence(languages)})
        return bench.merged(adapters, recipe, seed, ancestor)

    for name, bands in (("calibrated", 1), ("calibrated-bands", 3)):
        fitted = partial(make, name, bands)
        bench.ask(project, record, f"merged:{name}", fitted, on=(languages, "test"))
    yield from ()


def _aligned(study: Study, bench: Bench, path: Path, seed: int) -> Iterator[list[str]]:
    """Ask the merge that dev chose after a short training on the dev rows of all languages."""
    project = Opened.of(path)
    record, languages = record_of(study, project.task, project.init, seed), project.languages
    adapters, ancestor = adapters_of(project, seed)

    def make() -> Adapter:
        rank = 2 * study.form.adapter["r"]
        recipe = {**chosen_recipe(study, project.task, project.init), "rank": rank}
        merged = bench.merged(adapters, recipe, seed, ancestor)
        shape = {"r": rank, "lora_alpha": rank}
        return bench.trained(project, "dev", shape, study.form.alignment, seed, start=merged)

    bench.ask(project, record, "aligned", make, on=(languages, "test"))
    yield from ()


def _tuned(study: Study, bench: Bench, path: Path) -> Iterator[list[str]]:
    project, seed = Opened.of(path), study.form.seeds[0]
    record, languages = record_of(study, project.task, project.init, seed), project.languages

    def trial(changes: Mapping[str, Any]) -> Adapter:
        if not changes:
            return project.adapter("combined", seed)
        folder = study.work / "tuned" / "-".join([project.task, *map(str, changes.values())])
        return bench.trained(
            project, "train", study.form.adapter, changes, seed, checkpoint_dir=folder
        )

    trials = {"as it is": {}, **study.form.combined_trials}
    for name, changes in trials.items():
        model = f"combined:{name}"
        record.content["recipes"][model] = dict(changes)
        bench.ask(project, record, model, partial(trial, changes), on=(languages, "dev"))
    best = best_of(dev_scores([record], "combined:"))
    record.note(tuned=best)
    make = partial(trial, trials[best])
    bench.ask(project, record, "combined-tuned", make, on=(languages, "test"))
    yield from ()
