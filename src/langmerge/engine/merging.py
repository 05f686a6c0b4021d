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
from langmerge.merging.auto import CANDIDATES, settings_of
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
        auto = settings.checked(languages, seed)
        choice = _choose(
            bench, job, auto, adapters, document=document, progress=progress, ancestor=ancestor
        )
        recipe = choice.recipe
        found = {"recipe": recipe.as_dict(), "auto": choice.evidence}
    elif settings.is_calibrated:
        learned = _calibrate(bench, job, settings, adapters, progress, ancestor=ancestor)
        recipe = replace(
            settings.checked(languages, seed),
            weights=learned.weights,
            layer_scales=learned.layer_scales,
        )
        found = _as_facts(recipe, learned, languages)
        ledger = {"calibration_seconds": round(learned.seconds, 3)}
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
    auto: Recipe,
    adapters: Mapping[str, Path],
    *,
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
        [settings_of(candidate, auto) for candidate in CANDIDATES],
        max_lengths={code: bench.project.train_for(code).max_length for code in adapters},
        batch_tokens=bench.project.evaluate.batch_tokens,
        seed=auto.seed,
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


def _as_facts(recipe: Recipe, learned: Calibration, languages: Sequence[str]) -> dict[str, Any]:
    """Return what later jobs are told of learned weights.

    They are told by language: a merge is found again when languages stand in another order.
    """
    evidence = learned.evidence(languages)
    return {
        "recipe": {**recipe.as_dict(), "weights": evidence["weights"]},
        CALIBRATED: evidence,
    }
