"""Every method on dev, with the first seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from forms import SURVEY
from results import Raw

from tables.calibrated import LEARNED
from tables.common import languages_of, table

Scores = Mapping[str, tuple[Mapping[str, Any], float]]
"""By the recipe's name: the recipe, and its mean over languages."""


def methods(raw: Raw) -> str:
    """Return the best score of every method, and scores by density."""
    of_tasks = {task: _scores(raw, task) for task in raw.tasks}
    best: dict[str, dict[str, tuple[float, str]]] = {}
    for task, scores in of_tasks.items():
        for name, (recipe, score) in scores.items():
            of_method = best.setdefault(_method(recipe), {})
            of_method[task] = max(of_method.get(task, (-1.0, "")), (score, name))
    if not best:
        return ""
    lines = [
        [f"`{method}`", *(_cell(of_method.get(task)) for task in of_tasks)]
        for method, of_method in sorted(best.items())
    ]
    by_method = table(["method", *of_tasks], lines)
    by_density = table(["method", "density", *of_tasks], _by_density(of_tasks))
    return f"{by_method}\n\nBy density, at the usual scale:\n\n{by_density}"


def _scores(raw: Raw, task: str) -> Scores:
    """Return the scores of the survey, or where there is none, of the candidates."""
    seed, languages = raw.seeds(task)[0], languages_of(raw, task)
    record = raw.record(task, SURVEY, seed)
    if not record["facts"].get("complete"):
        record = raw.record(task, raw.first, seed)
    found = {}
    for name, recipe in record["recipes"].items():
        scores = record["dev"].get(f"merged:{name}", {})
        if f"merged:{name}" not in LEARNED and languages and scores.keys() == set(languages):
            found[name] = (recipe, float(np.mean([*scores.values()])))
    return found


def _by_density(of_tasks: Mapping[str, Scores]) -> list[list[str]]:
    found: dict[tuple[str, float], dict[str, float]] = {}
    for task, scores in of_tasks.items():
        for recipe, score in scores.values():
            if "density" in recipe and recipe.get("lambda", 1.0) == 1:
                found.setdefault((_method(recipe), recipe["density"]), {})[task] = score
    return [
        [f"`{method}`", f"{density:g}", *(f"{of[t]:.1f}" if t in of else "" for t in of_tasks)]
        for (method, density), of in sorted(found.items())
    ]


def _method(recipe: Mapping[str, Any]) -> str:
    return recipe["method"] + (f" in {recipe['space']}" if "space" in recipe else "")


def _cell(score: tuple[float, str] | None) -> str:
    return "" if score is None else f"{score[0]:.1f} (`{score[1]}`)"
