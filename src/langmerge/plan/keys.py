"""Key documents: everything a job's result depends on, and nothing else.

A job's key is the digest of its document. Documents name inputs by content digest, so a job is
done again exactly when something it depends on is different, whatever files are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from langmerge.base import ResolvedBase
from langmerge.merging.auto import AUTO, CANDIDATES, default_recipe
from langmerge.merging.auto import VERSION as AUTO_VERSION
from langmerge.merging.calibrated import CALIBRATED
from langmerge.merging.calibrated import VERSION as CALIBRATION_VERSION
from langmerge.plan.graph import (
    ANCESTOR,
    BASE,
    BEST_SINGLE,
    INDIVIDUAL,
    JOINT,
    ROUTED,
    Job,
    Kind,
    adapter_of,
    data_id,
    evaluate_id,
    merge_id,
    train_id,
)
from langmerge.plan.weighting import resolved
from langmerge.project import Project
from langmerge.train.config import TrainConfig

Facts = Mapping[str, Any]
"""What a finished job tells later ones: `output`, its object's digest; `splits` of data, with their
digests; `metrics` of an evaluation."""

STEP_VERSIONS: Mapping[Kind, int] = {"data": 1, "train": 1, "merge": 1, "evaluate": 1}
"""Raised by hand when a step's meaning changes, so that older results no longer count."""


CONTINUED = "continued"
"""The part of a training's document that says which adapter it starts from, and how."""

ADOPTED = "adopted"
"""The part of a training's document that says which adapter, trained elsewhere, stands for it."""

_STANDS_FOR = ("base", "data", "task", "seed")
"""What an adopted adapter stands for: how it was trained is not known, so no setting is named."""

_ANCESTOR_STANDS_FOR = ("base", "task", "adapter", "seed")
"""What an adopted ancestor stands for: languages have its shape, and no rows remake it."""

SHARE = "share"
"""The part of an ancestor's document that says how much of every language's rows it is made of."""

SEPARATE = "separate"
"""What a language's training says of its start where that is of its own."""


def job_document(
    job: Job, project: Project, base: ResolvedBase, facts: Mapping[str, Facts]
) -> dict[str, Any]:
    """Return the key document of a train, merge or evaluate job.

    Args:
        job: the job; data jobs have `data_document`.
        project: the project it belongs to.
        base: the resolved base model.
        facts: facts of every job that `job` needs, by job id.
    """
    document = _DOCUMENTS[job.kind](job, project, base, facts)
    return {"kind": job.kind, "step": STEP_VERSIONS[job.kind], **document}


def data_document(
    job: Job, project: Project, sources: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the key document of a data job; `sources` maps splits to their sources' identity."""
    assert job.language is not None
    config = project.data_for(job.task, job.language)
    spec = project.tasks[job.task].row_spec(job.language, config.columns, config.language_column)
    return {
        "kind": job.kind,
        "step": STEP_VERSIONS[job.kind],
        "sources": {split: dict(identity) for split, identity in sources.items()},
        "spec": {
            "shapes": list(spec.shapes),
            "labels": list(spec.labels),
            "fields": list(spec.fields),
            "columns": dict(spec.columns),
            "language_column": spec.language_column,
            "language": spec.language if spec.language_column else None,
        },
    }


def adapter_used(job: Job, project: Project, facts: Mapping[str, Facts]) -> str | None:
    """Return the digest of the adapter an evaluation puts on the base; None for the base alone."""
    assert job.language is not None
    seed = job.seed or 0
    if job.model == BASE:
        return None
    if job.recipe is not None:
        source = merge_id(job.task, job.recipe, seed)
    elif job.model in JOINT:
        source = train_id(job.task, job.model, seed)
    elif job.model == INDIVIDUAL:
        source = train_id(job.task, job.language, seed)
    elif job.model == BEST_SINGLE:
        source = train_id(job.task, best_single(project, job.task, seed, facts), seed)
    else:
        assert job.model is not None
        source = train_id(job.task, job.model.removeprefix("adapter:"), seed)
    output: str = facts[source]["output"]
    return output


def best_single(project: Project, task: str, seed: int, facts: Mapping[str, Facts]) -> str:
    """Return the language whose adapter has the highest mean dev score over all languages.

    Ties go to the first in the alphabet.
    """
    metric = project.tasks[task].primary_metric

    def mean_on_dev(adapter: str) -> float:
        scores: list[float] = [
            facts[evaluate_id(task, adapter_of(adapter), language, seed, "dev")]["metrics"][metric]
            for language in project.languages
        ]
        return sum(scores) / len(scores)

    return max(sorted(project.languages), key=mean_on_dev)


def _train_document(
    job: Job, project: Project, base: ResolvedBase, facts: Mapping[str, Facts]
) -> dict[str, Any]:
    languages = list(project.languages) if job.language is None else [job.language]
    document = {
        "data": {code: _split_digest(facts, job.task, code, "train") for code in languages},
        **training_settings(job, project, base),
        **_start(job, project, facts),
    }
    if training_of(job, project).early_stopping_patience:
        document["dev"] = _dev_digests(facts, job.task, languages)
    return document


def training_of(job: Job, project: Project) -> TrainConfig:
    """Return with which settings a job trains from scratch."""
    return project.ancestor_train() if job.is_ancestor else project.train_for(job.language)


def training_settings(job: Job, project: Project, base: ResolvedBase) -> dict[str, Any]:
    """Return what of a training's document depends on no data and no other job."""
    task = project.tasks[job.task]
    languages = list(project.languages) if job.language is None else [job.language]
    settings = {
        "base": base.identity(),
        "task": {code: task.identity(code) for code in languages},
        "adapter": project.adapter_for(job.language).model_dump(mode="json"),
        "train": training_of(job, project).effective(),
        "seed": job.seed,
    }
    return {**settings, SHARE: project.train.ancestor.share} if job.is_ancestor else settings


def _start(job: Job, project: Project, facts: Mapping[str, Facts]) -> dict[str, Any]:
    """Return what a language's adapter starts from; nothing where that is what all seeds share."""
    if job.model != INDIVIDUAL or project.adapter.init == "shared":
        return {}
    if project.adapter.init == SEPARATE:
        return {"init": SEPARATE}
    return _descent(job, project, facts)


def _descent(job: Job, project: Project, facts: Mapping[str, Facts]) -> dict[str, Any]:
    """Return the digest of the ancestor of a job's adapters, if they have one."""
    if not project.has_ancestor:
        return {}
    return {ANCESTOR: facts[train_id(job.task, ANCESTOR, job.seed or 0)]["output"]}


def _merge_document(
    job: Job, project: Project, base: ResolvedBase, facts: Mapping[str, Facts]
) -> dict[str, Any]:
    assert job.recipe is not None
    seed = job.seed or 0
    languages = list(project.languages)
    adapters = {
        language: facts[train_id(job.task, language, seed)]["output"] for language in languages
    }
    recipe = resolved(project, job.task, job.recipe, seed, facts)
    if project.chooses_on_dev(job.task, job.recipe):
        chosen = {"method": AUTO, "rank": recipe.rank, "seed": recipe.seed}
        return {
            "adapters": adapters,
            "recipe": chosen,
            "dev": {code: _split_digest(facts, job.task, code, "dev") for code in languages},
            "choice": _choice(job, project, base),
            **_descent(job, project, facts),
        }
    if recipe.method == AUTO:
        recipe = default_recipe(recipe, len(languages), has_ancestor=project.has_ancestor)
    own: dict[str, Any] = {"weights": None}
    learned: dict[str, Any] = {}
    if project.merge[job.recipe].weights == "norm":
        own["weights"] = "norm"
    if project.merge[job.recipe].is_calibrated:
        own["weights"] = CALIBRATED
        learned = _calibration(job, project, base, facts)
    if recipe.weights is not None:
        own["weights"] = dict(zip(languages, recipe.weights, strict=True))
    if recipe.protect is not None:
        own["protect"] = dict(zip(languages, recipe.protect, strict=True))
    return {
        "adapters": adapters,
        "recipe": {**recipe.as_dict(), **own},
        **learned,
        **_descent(job, project, facts),
    }


def _calibration(
    job: Job, project: Project, base: ResolvedBase, facts: Mapping[str, Facts]
) -> dict[str, Any]:
    """Return what, beside the adapters, weights that are learned on dev depend on."""
    assert job.recipe is not None
    settings, languages = project.merge[job.recipe], list(project.languages)
    task = project.tasks[job.task]
    return {
        "dev": _dev_digests(facts, job.task, languages),
        "calibration": {
            "version": CALIBRATION_VERSION,
            "rows": settings.rows_to_calibrate,
            "bands": settings.bands_to_calibrate,
            "base": base.identity(),
            "task": {code: task.identity(code) for code in languages},
            "max_length": {code: project.train_for(code).max_length for code in languages},
            "dtype": project.train.dtype,
        },
    }


def _choice(job: Job, project: Project, base: ResolvedBase) -> dict[str, Any]:
    """Return what, beside adapters and rows, the choice of a recipe depends on."""
    return {
        "version": AUTO_VERSION,
        "candidates": [dict(candidate) for candidate in CANDIDATES],
        "base": base.identity(),
        "task": {
            code: project.tasks[job.task].evaluation_identity(code) for code in project.languages
        },
        "max_length": {code: project.train_for(code).max_length for code in project.languages},
        "dtype": project.train.dtype,
    }


def _evaluate_document(
    job: Job, project: Project, base: ResolvedBase, facts: Mapping[str, Facts]
) -> dict[str, Any]:
    assert job.language is not None
    assert job.split is not None
    if job.model == ROUTED:
        return {**_routed(job, project, facts), "base": base.identity()}
    return {
        "base": base.identity(),
        "adapter": adapter_used(job, project, facts),
        "language": job.language,
        "data": _split_digest(facts, job.task, job.language, job.split),
        "task": project.tasks[job.task].evaluation_identity(job.language),
        "max_length": project.train_for(job.language).max_length,
        "dtype": project.train.dtype,
    }


def _routed(job: Job, project: Project, facts: Mapping[str, Facts]) -> dict[str, Any]:
    """Return what routed answers depend on, beside the base: every language's adapter and prompt.

    The identifier's version is recorded, not keyed.
    """
    assert job.language is not None
    assert job.split is not None
    languages, task = project.languages, project.tasks[job.task]
    return {
        "adapter": {
            code: facts[train_id(job.task, code, job.seed or 0)]["output"] for code in languages
        },
        "language": job.language,
        "data": _split_digest(facts, job.task, job.language, job.split),
        "task": {code: task.evaluation_identity(code) for code in languages},
        "max_length": {code: project.train_for(code).max_length for code in languages},
        "dtype": project.train.dtype,
    }


def _dev_digests(facts: Mapping[str, Facts], task: str, languages: Iterable[str]) -> dict[str, str]:
    """Return the digests of the languages' dev rows, of those that have some."""
    with_dev = [code for code in languages if "dev" in facts[data_id(task, code)]["splits"]]
    return {code: _split_digest(facts, task, code, "dev") for code in with_dev}


def _split_digest(facts: Mapping[str, Facts], task: str, language: str, split: str) -> str:
    digest: str = facts[data_id(task, language)]["splits"][split]["digest"]
    return digest


_DOCUMENTS: Mapping[Kind, Callable[..., dict[str, Any]]] = {
    "train": _train_document,
    "merge": _merge_document,
    "evaluate": _evaluate_document,
}


def continued(
    document: Mapping[str, Any],
    job: Job,
    project: Project,
    facts: Mapping[str, Facts],
    parent: str,
) -> dict[str, Any]:
    """Return a training's document for starting from an earlier adapter.

    Args:
        document: of training from scratch.
        job: the training.
        project: the project it belongs to.
        facts: of the data jobs it needs, by job id.
        parent: digest of the adapter's object.
    """
    train = project.continuing_train_for(job.language)
    start = {"from": parent, "replay": project.update.replay, "train": train.effective()}
    if train.early_stopping_patience:
        start["dev"] = _dev_digests(facts, job.task, document["data"])
    return {**document, CONTINUED: start}


def from_scratch(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training's document without what it was continued from."""
    return {name: value for name, value in document.items() if name != CONTINUED}


def ancestor_document(job: Job, project: Project, base: ResolvedBase) -> dict[str, Any]:
    """Return what of an ancestor's document is known without the project's rows."""
    settings = training_settings(job, project, base)
    return {"kind": job.kind, "step": STEP_VERSIONS[job.kind], **settings}


def adopted(document: Mapping[str, Any], adapter: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training's document for an adapter that was trained elsewhere.

    Args:
        document: of training from scratch.
        adapter: what tells the adapter: its digest, and the names it came under.
    """
    stands_for = _ANCESTOR_STANDS_FOR if SHARE in document else _STANDS_FOR
    known = {name: document[name] for name in ("kind", "step", *stands_for)}
    return {**known, ADOPTED: dict(adapter)}


def comparable(
    old: Mapping[str, Any], new: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return two documents of a training; of an adopted adapter's only what it stands for."""
    if ADOPTED not in old:
        return old, new
    # A language's adapter from elsewhere has no ancestor here: with one, the project trains it.
    names = (*(_STANDS_FOR if "data" in old else _ANCESTOR_STANDS_FOR), ANCESTOR)
    before, after = ({name: of.get(name) for name in names} for of in (old, new))
    return before, after


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the dotted names of the fields in which two documents differ."""
    before, after = dict(_flatten(old)), dict(_flatten(new))
    names = {**before, **after}
    return [name for name in names if before.get(name, _ABSENT) != after.get(name, _ABSENT)]


_ABSENT = object()


def _flatten(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value
