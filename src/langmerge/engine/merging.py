"""A merge job: adapters into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from langmerge.adapter import Adapter
from langmerge.canonical import digest_of
from langmerge.choose.auto import Choice, choose
from langmerge.choose.calibrate import Calibration, calibrate, calibration_rows
from langmerge.engine.bench import Bench, Produced, Progress
from langmerge.merging import Recipe, merge
from langmerge.merging.auto import CANDIDATES, calibrated_settings, settings_of
from langmerge.merging.calibrated import CALIBRATED
from langmerge.plan import Job
from langmerge.plan.graph import ANCESTOR, train_id
from langmerge.plan.weighting import complete
from langmerge.project import RecipeSettings


def merge_adapters(
    bench: Bench, job: Job, document: Mapping[str, Any], progress: Progress
) -> Produced:
    """Merge a task's adapters by a recipe; what it leaves to dev rows is found on them."""
    assert job.recipe is not None
    seed = job.seed or 0
    languages = list(bench.project.languages)
    adapters = {
        language: bench.object_of(train_id(job.task, language, seed)) for language in languages
    }
    ancestor = None
    if bench.project.has_ancestor:
        ancestor = bench.object_of(train_id(job.task, ANCESTOR, seed))
    settings = bench.project.merge[job.recipe]
    found: dict[str, Any] = {}
    ledger: dict[str, Any] = {}
    if bench.project.chooses_on_dev(job.task, job.recipe):
        learned = _calibrate(bench, job, settings, adapters, progress, ancestor=ancestor)
        auto = settings.checked(languages, seed)
        weights = dict(zip(languages, learned.weights, strict=True))
        candidates = [settings_of(candidate, auto) for candidate in CANDIDATES]
        choice = _choose(
            bench,
            job,
            [*candidates, calibrated_settings(weights, auto)],
            adapters,
            seed=auto.seed,
            document=document,
            progress=progress,
            ancestor=ancestor,
        )
        recipe = choice.recipe
        found = {"recipe": _told(recipe, languages), "auto": choice.evidence}
        ledger = _calibration_ledger(learned)
    elif settings.is_calibrated:
        learned = _calibrate(bench, job, settings, adapters, progress, ancestor=ancestor)
        recipe = replace(
            settings.checked(languages, seed),
            weights=learned.weights,
            layer_scales=learned.layer_scales,
        )
        found = {"recipe": _told(recipe, languages), CALIBRATED: learned.evidence(languages)}
        ledger = _calibration_ledger(learned)
    else:
        recipe = complete(
            bench.project, job.task, job.recipe, seed, facts=bench.planner.facts, store=bench.store
        )
    merged = merge(
        list(adapters.values()),
        recipe.method,
        on_progress=lambda done, total: progress(job, done, total, ""),
        ancestor=ancestor,
        **recipe.as_options(),
    )
    if evidence := {name: of for name, of in found.items() if name != "recipe"}:
        merged = merged.with_recipe({**(merged.recipe or {}), **evidence})

    def build(folder: Path) -> None:
        merged.save(folder)

    return Produced(bench.store.put(build), found, ledger)


def _choose(
    bench: Bench,
    job: Job,
    candidates: Sequence[Mapping[str, Any]],
    adapters: Mapping[str, Path],
    *,
    seed: int,
    document: Mapping[str, Any],
    progress: Progress,
    ancestor: Path | None,
) -> Choice:
    """Choose a merge's recipe on dev."""
    return choose(
        bench.base_with(None),
        (job.task, bench.project.tasks[job.task]),
        adapters,
        {language: bench.rows(job.task, language, "dev") for language in adapters},
        candidates,
        max_lengths={code: bench.project.train_for(code).max_length for code in adapters},
        batch_tokens=bench.project.evaluate.batch_tokens,
        seed=seed,
        ancestor=ancestor,
        journal=bench.store.work(digest_of(document)) / "answers.jsonl",
        on_progress=lambda done, total, note: progress(job, done, total, note),
    )


def _calibrate(
    bench: Bench,
    job: Job,
    settings: RecipeSettings,
    adapters: Mapping[str, Path],
    progress: Progress,
    *,
    ancestor: Path | None,
) -> Calibration:
    """Learn a merge's weights on dev, on the languages that have dev rows."""
    base, examples = bench.base_with(None), {}
    for code in adapters:
        if bench.project.has_dev(job.task, code):
            presenter = bench.presenter(job.task, code)
            rows = calibration_rows(bench.rows(job.task, code, "dev"), settings.rows_to_calibrate)
            examples[code] = [presenter.training_example(row) for row in rows]
    return calibrate(
        base,
        {code: Adapter.load(folder) for code, folder in adapters.items()},
        examples,
        bands=settings.bands_to_calibrate,
        ancestor=None if ancestor is None else Adapter.load(ancestor),
        on_progress=lambda done, total, note: progress(job, done, total, note),
    )


def _told(recipe: Recipe, languages: Sequence[str]) -> dict[str, Any]:
    """Return a recipe found on dev as later jobs are told of it.

    Its weights are told by language: a merge is found again when languages stand in another order.
    """
    told = recipe.as_dict()
    if recipe.weights is not None:
        told["weights"] = dict(zip(languages, recipe.weights, strict=True))
    return told


def _calibration_ledger(learned: Calibration) -> dict[str, Any]:
    return {"calibration_seconds": round(learned.seconds, 3)}
