"""What a few dev rows more can do: calibrated weights, and as an upper reference, training."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench import Bench, Opened
from choice import chosen_recipe, record_of
from setups import Study

from langmerge import Adapter
from langmerge.choose.calibrate import calibrate
from parts.steps import Step, adapters_of, first_projects, train

BANDS = {"calibrated": 1, "calibrated-bands": 3}


def calibrated(study: Study, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield merges whose weights were fitted to dev rows, and merges trained on these rows.

    Factors for bands of layers, and the training, are for the first seed only.
    """
    paths = first_projects(study)
    for task, path in paths.items():
        yield f"calibrated/{task}: train", partial(train, path)
    for seed in study.form.seeds:
        for task, path in paths.items():
            is_first = seed == study.form.seeds[0]
            for name in BANDS if is_first else ("calibrated",):
                step = partial(_calibrated, study, bench, path, seed, name)
                yield f"{name}/{task}: test, seed {seed}", step
            if is_first:
                yield f"aligned/{task}: test", partial(_aligned, study, bench, path, seed)


def _calibrated(
    study: Study, bench: Bench, path: Path, seed: int, name: str
) -> Iterator[list[str]]:
    project = Opened.of(path)
    record, languages = record_of(study, project.task, project.init, seed), project.languages
    adapters, ancestor = adapters_of(project, seed)

    def learn() -> dict[str, Any]:
        found = calibrate(
            bench.base(project),
            dict(zip(languages, adapters, strict=True)),
            {code: bench.examples(project, code, "dev") for code in languages},
            bands=BANDS[name],
            ancestor=ancestor,
        )
        record.note(**{name: found.evidence(languages)})
        scales = found.layer_scales
        return {
            "method": "task_arithmetic",
            "weights": list(found.weights),
            **({} if scales is None else {"layer_scales": list(scales)}),
        }

    def make() -> Adapter:
        recipes = record.content["recipes"]
        if name not in recipes:
            recipes[name] = learn()
        return bench.merged(adapters, recipes[name], seed, ancestor)

    for split in ("dev", "test"):
        bench.ask(project, record, f"merged:{name}", make, on=(languages, split))
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
