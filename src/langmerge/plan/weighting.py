"""What a recipe says by a rule, as values: weights of data, gains or vectors; what dev decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from langmerge.errors import ProjectError
from langmerge.merging.auto import AUTO, default_recipe
from langmerge.merging.schema import Recipe, check_recipe
from langmerge.plan.graph import (
    ANCESTOR,
    BASE,
    adapter_of,
    data_id,
    evaluate_id,
    merge_id,
    train_id,
)
from langmerge.project import Project
from langmerge.store import Store

LEAST = 0.05
"""The least weight, as a share of the mean: methods that vote on signs need positive ones."""


Facts = Mapping[str, Mapping[str, Any]]
"""What is known of the jobs that are done, by job id."""


def complete(
    project: Project, task: str, recipe: str, seed: int, *, facts: Facts, store: Store
) -> Recipe:
    """Return the recipe by which a task's adapters are merged, nothing in it left to a rule.

    As `resolved`, with the weights of `norm` too, and those that the merge learned on dev; `auto`
    is what it chose on dev, or, where there is nothing to choose by or no choice yet, its default.

    Args:
        project: the project.
        task: the task whose adapters are merged.
        recipe: the recipe's name.
        seed: the run's.
        facts: of the jobs that are done.
        store: where the adapters are.

    Raises:
        ProjectError: if a rule needs a result that is not there yet.
    """
    found = resolved(project, task, recipe, seed, facts)
    if found.method == AUTO:
        return _chosen(project, task, recipe, seed, facts) or default_recipe(
            found, len(project.languages), has_ancestor=project.has_ancestor
        )
    if project.merge[recipe].weights == "norm":

        def adapter(language: str) -> Path:
            return store.object(_fact(facts, train_id(task, language, seed), "output", recipe))

        ancestor = adapter(ANCESTOR) if project.has_ancestor else None
        norms = _norms(map(adapter, project.languages), ancestor)
        return replace(found, weights=by_inverse_norm(norms))
    if project.merge[recipe].is_calibrated:
        made = dict(_fact(facts, merge_id(task, recipe, seed), "recipe", recipe))
        weights = [made["weights"][language] for language in project.languages]
        return check_recipe(made.pop("method"), {**made, "weights": weights}, len(weights))
    return found


def resolved(project: Project, task: str, recipe: str, seed: int, facts: Facts) -> Recipe:
    """Return a recipe with the weights its rule gives, as far as facts tell.

    - `size`: by training rows;
    - `gain`: by what each language's adapter gains over the base on its dev rows;
    - `norm`: by the inverse of the task vectors' norms, which only their tensors tell: no weights
      are returned yet (see `complete`);
    - `calibrated`: learned on dev rows by the merge itself, so none are returned either.

    Weights have the mean 1, and none is less than a twentieth; those learned on dev may be any.

    Args:
        project: the project.
        task: the task whose adapters are merged.
        recipe: the recipe's name.
        seed: the run's.
        facts: of the jobs that are done.

    Raises:
        ProjectError: if a rule needs a result that is not there yet.
    """
    languages, settings = list(project.languages), project.merge[recipe]
    found = settings.checked(languages, seed)
    if settings.weights == "size":
        sizes = [
            _fact(facts, data_id(task, language), "splits", recipe)["train"]["rows"]
            for language in languages
        ]
        return replace(found, weights=normalized(sizes))
    if settings.weights == "gain":
        metric = project.tasks[task].primary_metric

        def score(model: str, language: str, run: int | None) -> float:
            job = evaluate_id(task, model, language, run, "dev")
            return float(_fact(facts, job, "metrics", recipe)[metric])

        gains = [
            score(adapter_of(language), language, seed) - score(BASE, language, None)
            for language in languages
        ]
        return replace(found, weights=normalized(gains))
    return found


def by_inverse_norm(norms: list[float]) -> tuple[float, ...]:
    """Return weights with which every language's task vector has the same length."""
    return normalized([1 / norm if norm > 0 else 0.0 for norm in norms])


def normalized(values: list[float]) -> tuple[float, ...]:
    """Return values as weights: of mean 1, none below `LEAST`; equal where none is positive."""
    positive = [max(value, 0.0) for value in values]
    mean = fmean(positive)
    if mean == 0:
        return (1.0,) * len(values)
    floored = [max(value / mean, LEAST) for value in positive]
    scale = 1 / fmean(floored)
    return tuple(round(value * scale, 6) for value in floored)


def _chosen(project: Project, task: str, recipe: str, seed: int, facts: Facts) -> Recipe | None:
    """Return what `auto` chose on dev; None if it did not."""
    made = facts.get(merge_id(task, recipe, seed), {})
    if not project.chooses_on_dev(task, recipe) or "recipe" not in made:
        return None
    settings = dict(made["recipe"])
    return check_recipe(settings.pop("method"), settings, len(project.languages))


def _norms(adapters: Iterable[Path], ancestor: Path | None) -> list[float]:
    """Return how far adapters are from what they started from; from the base without one."""
    from langmerge.adapter import Adapter

    start = None if ancestor is None else Adapter.load(ancestor)
    return [Adapter.load(folder).distance(start) for folder in adapters]


def _fact(facts: Facts, job: str, name: str, recipe: str) -> Any:
    """Return one of the facts of a job, on which a recipe's weights depend."""
    try:
        return facts[job][name]
    except KeyError:
        raise ProjectError(
            f"merge.{recipe}.weights: follow from {job}, which has no result; `langmerge run`"
        ) from None
