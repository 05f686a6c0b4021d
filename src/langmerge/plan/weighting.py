"""Weights of languages by a rule: of their data, of what their adapters gain, of their vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import fmean

from langmerge.merging.schema import Recipe
from langmerge.plan.graph import BASE, adapter_of, data_id, evaluate_id
from langmerge.project import Project

LEAST = 0.05
"""The least weight, as a share of the mean: methods that vote on signs need positive ones."""


def resolved(
    project: Project, task: str, recipe: str, seed: int, facts: Mapping[str, Mapping[str, object]]
) -> Recipe:
    """Return a recipe with the weights its rule gives, as far as facts tell.

    - `size`: by training rows;
    - `gain`: by what each language's adapter gains over the base on its dev rows;
    - `norm`: by the inverse of the task vectors' norms, which only their tensors tell: no weights
      are returned yet (see `by_inverse_norm`).

    Weights have the mean 1, and none is less than a twentieth.

    Args:
        project: the project.
        task: the task whose adapters are merged.
        recipe: the recipe's name.
        seed: the run's.
        facts: of the jobs that are done, by job id.
    """
    languages, settings = list(project.languages), project.merge[recipe]
    found = settings.checked(languages, seed)
    if settings.weights == "size":
        sizes = [_rows(facts[data_id(task, language)]) for language in languages]
        return replace(found, weights=normalized(sizes))
    if settings.weights == "gain":
        metric = project.tasks[task].primary_metric

        def score(model: str, language: str, run: int | None) -> float:
            of = facts[evaluate_id(task, model, language, run, "dev")]
            return float(of["metrics"][metric])  # type: ignore[index]

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


def _rows(facts: Mapping[str, object]) -> float:
    splits: Mapping[str, Mapping[str, float]] = facts["splits"]  # type: ignore[assignment]
    return splits["train"]["rows"]
