"""Merges of adapters that went on from the searched combined model."""

from __future__ import annotations

from collections.abc import Mapping

from forms import FROM_COMBINED
from intervals import Value, mean_of
from results import Raw

from langmerge.statistics import Samples
from tables.common import (
    LEAST_RETENTION,
    MARGIN,
    between,
    bounds,
    drawn_alike,
    first_facts,
    lost_languages,
    models_of,
    points,
    table,
    verdict_on,
)

_COMBINED = "combined"
_MEAN = "mean of the tasks"
_ALTERNATIVES = {
    "individual": "the individual adapters",
    "best-single": "best-single",
    "combined-longer": "combined, trained longer",
    "combined-further": "combined, searched further",
}


def from_combined(raw: Raw) -> str:
    """Return merges of adapters that went on from the combined model, against it and the rest."""
    lines = []
    found = {task: of for task in raw.tasks if (of := differences_from(raw, task))}
    for task, of in found.items():
        ours, models = _merge_and_models(raw, task)
        pair = drawn_alike({name: models[name] for name in (ours, _COMBINED)})
        kept = pair[ours].mean.per_cent_of(pair[_COMBINED].mean).interval()
        rows = next(iter(models[ours].values())).values()
        lines.append(
            [
                task,
                f"{sum(len(groups) for _, groups in rows):,}",
                ", ".join(map(str, sorted(models[ours]))),
                f"`{ours.removeprefix('merged:')}`",
                f"{pair[ours].mean.observed:.1f}",
                f"{pair[_COMBINED].mean.observed:.1f}",
                points(of[_COMBINED]),
                verdict_on(of[_COMBINED]),
                f"{kept.value:.1f}% ({bounds(kept)})",
                lost_languages(pair[ours], pair[_COMBINED]),
            ]
        )
    if not lines:
        return ""
    others = [[task, *_cells(of)] for task, of in found.items()]
    if len(lines) == len(raw.tasks) > 1:
        means = {
            name: mean_of([of[name] for of in found.values()])
            for name in (_COMBINED, *_ALTERNATIVES)
            if all(name in of for of in found.values())
        }
        over = means[_COMBINED]
        lines.append([_MEAN, *[""] * 5, points(over), verdict_on(over), "", ""])
        others.append([_MEAN, *_cells(means)])
    head = [
        "task", "test rows", "seeds", "recipe", "merged", "combined, tuned", "difference (95%)",
        f"one-sided bound; above {MARGIN:g}?", "keeps (95%)",
        f"languages under {LEAST_RETENTION:g}%",
    ]  # fmt: skip
    alternatives = table(["task", *_ALTERNATIVES.values()], others)
    return f"{table(head, lines)}\n\nMinus the alternatives (95%):\n\n{alternatives}"


def _cells(differences: Mapping[str, Value]) -> list[str]:
    """Return the difference to each alternative; empty where it has not been asked."""
    return [points(differences[name]) if name in differences else "" for name in _ALTERNATIVES]


def differences_from(raw: Raw, task: str) -> dict[str, Value]:
    """Return the merge minus the combined model and each alternative, over the seeds of both.

    Empty where the merge or the combined model has not been asked.
    """
    ours, models = _merge_and_models(raw, task)
    each = {name: between(models, ours, name) for name in (_COMBINED, *_ALTERNATIVES)}
    found = {name: difference for name, difference in each.items() if difference is not None}
    return found if _COMBINED in found else {}


def _merge_and_models(raw: Raw, task: str) -> tuple[str, Mapping[str, Mapping[int, Samples]]]:
    """Return the name of the merge that dev chose, and all models by name and seed."""
    chosen = first_facts(raw, task, FROM_COMBINED).get("chosen")
    return f"merged:{chosen}", models_of(raw, task, FROM_COMBINED)
