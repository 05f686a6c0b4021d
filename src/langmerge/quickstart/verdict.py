"""What came out of a run, in sentences that claim no more than the tests allow."""

from __future__ import annotations

from collections.abc import Iterator

from langmerge.plan.graph import BASE, BEST_SINGLE, COMBINED, INDIVIDUAL, merged
from langmerge.results import Average, Comparison, Results
from langmerge.tables import interval

_NAMES = {
    BASE: "the base model",
    INDIVIDUAL: "each language's own adapter",
    BEST_SINGLE: "the best single adapter",
    COMBINED: "the combined model",
}


def verdict(found: Results, task: str, recipe: str) -> str:
    """Return what a task's averages over languages say about the merged model."""
    averages = {a.model: a for a in found.averages if a.task == task and a.split == "test"}
    model = merged(recipe)
    if model not in averages:
        return "The merged model was not evaluated on every language, so nothing is said about it."
    comparisons = [c for c in found.comparisons if c.task == task and c.model == model]
    return " ".join(_sentences(found, averages, comparisons, model))


def _sentences(
    found: Results, averages: dict[str, Average], comparisons: list[Comparison], model: str
) -> Iterator[str]:
    ours = averages[model].average
    yield (
        f"Averaged over {len(found.languages)} languages, the merged model reaches "
        f"{ours.value:.1f} ({interval(ours)})."
    )
    for comparison in comparisons:
        if comparison.against in _NAMES:
            yield _compared(comparison, averages[comparison.against], ours.value, found.confidence)
    sizes = {s.n for s in found.scores if s.model == model and s.split == "test"}
    rows = " to ".join(str(size) for size in sorted({min(sizes), max(sizes)}))
    yield f"With {rows} test rows a language, gaps of a few points are noise."


def _compared(comparison: Comparison, other: Average, ours: float, confidence: float) -> str:
    name = _NAMES[comparison.against]
    theirs = other.average.value
    stale = ", trained before the newest rows" if other.stale else ""
    share = f", {100 * ours / theirs:.0f}% of it" if comparison.against == INDIVIDUAL else ""
    if comparison.low is None or comparison.high is None:
        return f"Against {name} ({theirs:.1f}{stale}{share}): too few rows to tell."
    difference = (
        f"{comparison.difference:+.1f} points ({comparison.low:+.1f} to {comparison.high:+.1f})"
    )
    if comparison.p_value < 1 - confidence:
        outcome = "better" if comparison.difference > 0 else "worse"
    else:
        outcome = "undecided at this size"
    return f"Against {name} ({theirs:.1f}{stale}{share}): {difference}, {outcome}."
