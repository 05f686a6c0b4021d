"""Merges of adapters that went on from the searched combined model."""

from __future__ import annotations

from collections.abc import Mapping

from forms import FROM_COMBINED, FROM_FURTHER
from intervals import Value, mean_of
from results import Raw

from langmerge.statistics import Samples
from tables.common import (
    LEAST_RETENTION,
    MARGIN,
    beside,
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
_HEAD = [
    "task", "test rows", "seeds", "recipe", "merged", "combined, tuned", "difference (95%)",
    f"one-sided bound; above {MARGIN:g}?", "keeps (95%)", f"languages under {LEAST_RETENTION:g}%",
]  # fmt: skip
_ALTERNATIVES = {
    "individual": "the individual adapters",
    "best-single": "best-single",
    "combined-longer": "combined, trained longer",
}


def from_combined(raw: Raw) -> str:
    """Return merges of adapters that went on from the combined model, against it and the rest."""
    found = {task: of for task in raw.tasks if (of := differences_from(raw, task))}
    if not found:
        return ""
    lines = [[task, *_against_combined(raw, task, of)] for task, of in found.items()]
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
    parts = [
        table(_HEAD, lines),
        "Minus the alternatives (95%):",
        table(["task", *_ALTERNATIVES.values()], others),
    ]
    if further := [line for task in found if (line := _further_line(raw, task))]:
        told = "From the combined model of the setting that was found later"
        parts += [f"{told}:", table([*_HEAD, "the merge above minus it (95%)"], further)]
    return "\n\n".join(parts)


def _further_line(raw: Raw, task: str) -> list[str]:
    """Return likewise from the combined model that was found later; or nothing."""
    if not (later := differences_from(raw, task, FROM_FURTHER)):
        return []
    ours, models = _merge_and_models(raw, task)
    their = models_of(raw, task, FROM_FURTHER)[_COMBINED]
    above = beside({ours: models[ours], FROM_FURTHER: their}, ours, FROM_FURTHER)
    return [task, *_against_combined(raw, task, later, FROM_FURTHER), above]


def _against_combined(
    raw: Raw, task: str, differences: Mapping[str, Value], part: str = FROM_COMBINED
) -> list[str]:
    """Return the merge's row beside the combined model that its adapters went on from."""
    ours, models = _merge_and_models(raw, task, part)
    pair = drawn_alike({name: models[name] for name in (ours, _COMBINED)})
    kept = pair[ours].mean.per_cent_of(pair[_COMBINED].mean).interval()
    rows = next(iter(models[ours].values())).values()
    return [
        f"{sum(len(groups) for _, groups in rows):,}",
        ", ".join(map(str, sorted(models[ours]))),
        f"`{ours.removeprefix('merged:')}`",
        f"{pair[ours].mean.observed:.1f}",
        f"{pair[_COMBINED].mean.observed:.1f}",
        points(differences[_COMBINED]),
        verdict_on(differences[_COMBINED]),
        f"{kept.value:.1f}% ({bounds(kept)})",
        lost_languages(pair[ours], pair[_COMBINED]),
    ]


def _cells(differences: Mapping[str, Value]) -> list[str]:
    """Return the difference to each alternative; empty where it has not been asked."""
    return [points(differences[name]) if name in differences else "" for name in _ALTERNATIVES]


def differences_from(raw: Raw, task: str, part: str = FROM_COMBINED) -> dict[str, Value]:
    """Return a part's merge minus the combined model and each alternative, over the seeds of both.

    Empty where the merge or the combined model has not been asked.
    """
    ours, models = _merge_and_models(raw, task, part)
    each = {name: between(models, ours, name) for name in (_COMBINED, *_ALTERNATIVES)}
    found = {name: difference for name, difference in each.items() if difference is not None}
    return found if _COMBINED in found else {}


def _merge_and_models(
    raw: Raw, task: str, part: str = FROM_COMBINED
) -> tuple[str, Mapping[str, Mapping[int, Samples]]]:
    """Return the name of the merge that dev chose, and all models of a part by name and seed."""
    chosen = first_facts(raw, task, part).get("chosen")
    return f"merged:{chosen}", models_of(raw, task, part)
