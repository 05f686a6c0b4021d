"""A merge job: adapters into one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langmerge.canonical import digest_of
from langmerge.choose.auto import Choice, choose
from langmerge.engine.bench import Bench, Produced, Progress
from langmerge.merging import Recipe, merge
from langmerge.merging.auto import CANDIDATES, settings_of
from langmerge.plan import Job
from langmerge.plan.graph import ANCESTOR, train_id
from langmerge.plan.weighting import complete


def merge_adapters(
    bench: Bench, job: Job, document: Mapping[str, Any], progress: Progress
) -> Produced:
    """Merge a task's adapters by a recipe; by one chosen on dev, where the recipe says so."""
    assert job.recipe is not None
    seed = job.seed or 0
    languages = list(bench.project.languages)
    adapters = {
        language: bench.object_of(train_id(job.task, language, seed)) for language in languages
    }
    ancestor = None
    if bench.project.has_ancestor:
        ancestor = bench.object_of(train_id(job.task, ANCESTOR, seed))
    choice = None
    if bench.project.chooses_on_dev(job.task, job.recipe):
        auto = bench.project.merge[job.recipe].checked(languages, seed)
        choice = _choose(
            bench, job, auto, adapters, document=document, progress=progress, ancestor=ancestor
        )
        recipe = choice.recipe
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
    if choice is not None:
        merged = merged.with_recipe({**(merged.recipe or {}), "auto": choice.evidence})

    def build(folder: Path) -> None:
        merged.save(folder)

    output = bench.store.put(build)
    if choice is None:
        return Produced(output)
    return Produced(output, {"recipe": recipe.as_dict(), "auto": choice.evidence})


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
