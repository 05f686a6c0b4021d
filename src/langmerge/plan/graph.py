"""The fixed graph of jobs: data -> adapter -> merge -> evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from langmerge.data.config import SplitName
from langmerge.merging.calibrated import CALIBRATED
from langmerge.project import ANCESTOR_NAME, COMBINED_NAME, CONTINUED_NAME, Project

Kind = Literal["data", "train", "merge", "evaluate"]

BASE = "base"
INDIVIDUAL = "individual"
BEST_SINGLE = "best-single"
ROUTED = "routed"
COMBINED = COMBINED_NAME
COMBINED_CONTINUED = CONTINUED_NAME
ANCESTOR = ANCESTOR_NAME

BASELINES = (COMBINED, COMBINED_CONTINUED)
"""Models trained on all languages at once: what merging is measured against."""

JOINT = (*BASELINES, ANCESTOR)
"""Models trained on rows of all languages. Made once and pinned: newer rows alone remake none."""


def merged(recipe: str) -> str:
    """Return the model name of a merge by a recipe."""
    return f"merged:{recipe}"


def adapter_of(language: str) -> str:
    """Return the model name of one language's adapter, used for any language."""
    return f"adapter:{language}"


@dataclass(frozen=True)
class Job:
    """One step of the graph.

    Attributes:
        id: readable, unique in the project, stable while the project keeps its names.
        kind: `data`, `train`, `merge` or `evaluate`.
        task: the task's name.
        language: the language trained or evaluated; None for merges and the `JOINT` models.
        model: the model trained or evaluated; None for data.
        recipe: the merge recipe's name, for merges and their evaluations.
        seed: None where no seed has a part.
        split: the split evaluated.
        needs: ids of the jobs whose results this one uses.
    """

    id: str
    kind: Kind
    task: str
    language: str | None = None
    model: str | None = None
    recipe: str | None = None
    seed: int | None = None
    split: SplitName | None = None
    needs: tuple[str, ...] = ()

    @property
    def is_baseline(self) -> bool:
        """Whether the job retrains something only when asked to."""
        return self.kind == "train" and self.model in BASELINES

    @property
    def is_ancestor(self) -> bool:
        """Whether the job trains what all languages start from."""
        return self.kind == "train" and self.model == ANCESTOR


def data_id(task: str, language: str) -> str:
    """Return the id of the job that reads a language's data."""
    return f"data/{task}/{language}"


def train_id(task: str, language: str, seed: int) -> str:
    """Return the id of the job that trains a language's adapter, or one of the `JOINT` models."""
    return f"train/{task}/{language}/seed{seed}"


def merge_id(task: str, recipe: str, seed: int) -> str:
    """Return the id of the job that merges a task's adapters."""
    return f"merge/{task}/{recipe}/seed{seed}"


def evaluate_id(task: str, model: str, language: str, seed: int | None, split: str) -> str:
    """Return the id of the job that evaluates a model on a language's split."""
    run = "" if seed is None else f"/seed{seed}"
    return f"evaluate/{task}/{model}/{language}{run}/{split}"


def job_graph(project: Project) -> list[Job]:
    """Return all jobs of a project, each after the jobs it needs.

    All ancestors' trainings stand together, and all languages', so that an engine can do them
    together; after them, jobs that use the same model, so that it loads it once.
    """
    jobs = [job for task in project.tasks for job in _task_jobs(project, task)]
    return sorted(jobs, key=_phase)


def _phase(job: Job) -> int:
    """Return which part of the graph a job belongs to; parts follow each other."""
    if job.kind == "data":
        return 0
    return {ANCESTOR: 1, INDIVIDUAL: 2}.get(job.model or "", 3) if job.kind == "train" else 3


def _task_jobs(project: Project, task: str) -> Iterator[Job]:
    for language in project.languages:
        yield Job(data_id(task, language), "data", task, language)
    if BASE in project.compare:
        yield from _evaluations(project, task, BASE, seed=None)
    if project.weighs_by_gain:
        for language in project.languages:
            yield evaluation(task, BASE, language, seed=None, split="dev")
    for seed in project.seeds_for(task):
        yield from _seed_jobs(project, task, seed)


def _seed_jobs(project: Project, task: str, seed: int) -> Iterator[Job]:
    languages = tuple(project.languages)
    data = tuple(data_id(task, language) for language in languages)
    start: tuple[str, ...] = ()
    if project.has_ancestor:
        start = (train_id(task, ANCESTOR, seed),)
        yield Job(start[0], "train", task, None, ANCESTOR, None, seed, needs=data)
    for language in languages:
        yield Job(
            train_id(task, language, seed), "train", task, language, INDIVIDUAL, None, seed,
            needs=(data_id(task, language), *start),
        )  # fmt: skip
    if ANCESTOR in project.compare:
        yield from _evaluations(project, task, ANCESTOR, seed)
    if project.weighs_by_gain:
        for language in languages:
            yield evaluation(task, adapter_of(language), language, seed=seed, split="dev")
    for recipe in project.merge:
        yield Job(
            merge_id(task, recipe, seed), "merge", task, None, merged(recipe), recipe, seed,
            needs=_needs_of_merge(project, task, recipe, seed),
        )  # fmt: skip
        yield from _evaluations(project, task, merged(recipe), seed, recipe)
        if (recipe, seed) == (project.released_recipe, project.seeds_for(task)[0]):
            yield from _gate_evaluations(project, task, seed, recipe)
    yield from _adapter_evaluations(project, task, seed)
    if ROUTED in project.compare:
        yield from _routed(project, task, seed)
    if BEST_SINGLE in project.compare:
        yield from _best_single(project, task, seed)
    needs = data
    for model in BASELINES:
        if model in project.compare:
            name = train_id(task, model, seed)
            yield Job(name, "train", task, None, model, None, seed, needs=needs)
            yield from _evaluations(project, task, model, seed)
            needs += (name,)  # What is continued is the combined model.


def _needs_of_merge(project: Project, task: str, recipe: str, seed: int) -> tuple[str, ...]:
    """Return the ids of the jobs that a merge uses: adapters, and what recipe and weights need."""
    languages = tuple(project.languages)
    needs = [train_id(task, language, seed) for language in languages]
    weights = project.merge[recipe].weights
    if project.chooses_on_dev(task, recipe) or weights in ("size", CALIBRATED):
        needs += [data_id(task, language) for language in languages]
    if weights == "gain":
        needs += [evaluate_id(task, BASE, language, None, "dev") for language in languages]
        needs += [
            evaluate_id(task, adapter_of(language), language, seed, "dev") for language in languages
        ]
    if project.has_ancestor:
        needs.append(train_id(task, ANCESTOR, seed))
    return tuple(needs)


def _evaluations(
    project: Project, task: str, model: str, seed: int | None, recipe: str | None = None
) -> Iterator[Job]:
    for language in project.languages:
        yield evaluation(task, model, language, seed=seed, split="test", recipe=recipe)


def _gate_evaluations(project: Project, task: str, seed: int, recipe: str) -> Iterator[Job]:
    """Yield the evaluations by which a release is compared with the one before it."""
    for language in project.languages:
        if (split := project.gate_split(task, language)) is not None:
            yield evaluation(task, merged(recipe), language, seed=seed, split=split, recipe=recipe)


def _adapter_evaluations(project: Project, task: str, seed: int) -> Iterator[Job]:
    """Yield what is asked of single adapters: own language, choosing on dev, the matrix."""
    for adapter in project.languages:
        if INDIVIDUAL in project.compare:
            yield evaluation(task, INDIVIDUAL, adapter, seed=seed, split="test")
        if BEST_SINGLE in project.compare:
            for language in project.languages:
                if language != adapter or not project.weighs_by_gain:  # those are there already
                    yield evaluation(task, adapter_of(adapter), language, seed=seed, split="dev")
        if project.evaluate.matrix:
            for language in project.languages:
                if language != adapter or INDIVIDUAL not in project.compare:
                    yield evaluation(task, adapter_of(adapter), language, seed=seed, split="test")


def _routed(project: Project, task: str, seed: int) -> Iterator[Job]:
    """Yield the evaluations of the adapters behind an identifier of languages."""
    trained = tuple(train_id(task, adapter, seed) for adapter in project.languages)
    for language in project.languages:
        job = evaluation(task, ROUTED, language, seed=seed, split="test")
        yield Job(**{**vars(job), "needs": (*job.needs, *trained)})


def _best_single(project: Project, task: str, seed: int) -> Iterator[Job]:
    choosing = tuple(
        evaluate_id(task, adapter_of(adapter), language, seed, "dev")
        for adapter in project.languages
        for language in project.languages
    )
    for language in project.languages:
        job = evaluation(task, BEST_SINGLE, language, seed=seed, split="test")
        trained = tuple(train_id(task, adapter, seed) for adapter in project.languages)
        yield Job(**{**vars(job), "needs": (*job.needs, *trained, *choosing)})


def evaluation(
    task: str,
    model: str,
    language: str,
    *,
    seed: int | None,
    split: SplitName,
    recipe: str | None = None,
) -> Job:
    """Return the job that evaluates a model on a language's split."""
    needs = [data_id(task, language)]
    if model == INDIVIDUAL:
        needs.append(train_id(task, language, seed or 0))
    elif model in JOINT:
        needs.append(train_id(task, model, seed or 0))
    elif model.startswith("adapter:"):
        needs.append(train_id(task, model.removeprefix("adapter:"), seed or 0))
    elif recipe is not None:
        needs.append(merge_id(task, recipe, seed or 0))
    return Job(
        evaluate_id(task, model, language, seed, split), "evaluate", task, language, model, recipe,
        seed, split, tuple(needs),
    )  # fmt: skip
