"""Merges of adapters that went on from the searched combined model."""

from __future__ import annotations

from forms import FROM_COMBINED
from intervals import mean_of
from results import Raw

from tables.common import (
    LEAST_RETENTION,
    MARGIN,
    beside,
    bounds,
    drawn_alike,
    lost_languages,
    models_of,
    points,
    table,
    verdict_on,
)

_ALTERNATIVES = {
    "individual": "minus the individual adapters (95%)",
    "best-single": "minus best-single (95%)",
    "combined-longer": "minus combined trained longer (95%)",
}


def from_combined(raw: Raw) -> str:
    """Return merges of adapters that went on from the combined model, against it and the rest."""
    lines, differences = [], []
    for task in raw.tasks:
        models = models_of(raw, task, FROM_COMBINED)
        seeds = raw.seeds(task, FROM_COMBINED)
        facts = raw.record(task, FROM_COMBINED, seeds[0])["facts"] if seeds else {}
        ours = f"merged:{facts.get('chosen')}"
        pair = drawn_alike({name: models.get(name, {}) for name in (ours, "combined")})
        if not pair:
            continue
        merged, combined = pair[ours], pair["combined"]
        differences.append(merged.mean.minus(combined.mean))
        kept = merged.mean.per_cent_of(combined.mean).interval()
        rows = next(iter(models[ours].values())).values()
        lines.append(
            [
                task,
                f"{sum(len(groups) for _, groups in rows):,}",
                ", ".join(map(str, sorted(models[ours]))),
                f"`{facts['chosen']}`",
                f"{merged.mean.observed:.1f}",
                f"{combined.mean.observed:.1f}",
                points(differences[-1]),
                verdict_on(differences[-1]),
                f"{kept.value:.1f}% ({bounds(kept)})",
                lost_languages(merged, combined),
                *(beside(models, ours, other) for other in _ALTERNATIVES),
            ]
        )
    if not lines:
        return ""
    if len(lines) == len(raw.tasks) > 1:
        over = mean_of(differences)
        lines.append(["mean of the tasks", *[""] * 5, points(over), verdict_on(over), *[""] * 5])
    head = [
        "task", "test rows", "seeds", "recipe", "merged", "combined, tuned", "difference (95%)",
        f"one-sided 95% bound; above {MARGIN:g}?", "keeps (95%)",
        f"languages under {LEAST_RETENTION:g}%", *_ALTERNATIVES.values(),
    ]  # fmt: skip
    return table(head, lines)
