"""What came out of a run, in sentences that claim no more than the intervals allow."""

from __future__ import annotations

from collections.abc import Iterator

from langmerge.plan.graph import BASE, COMBINED, INDIVIDUAL, merged
from langmerge.results import Average, Measured, Results


def verdict(found: Results, task: str, recipe: str) -> str:
    """Return what a task's averages over languages say about the merged model."""
    averages = {a.model: a for a in found.averages if a.task == task and a.split == "test"}
    model = merged(recipe)
    if model not in averages:
        return "The merged model was not evaluated on every language, so nothing is said about it."
    return " ".join(_sentences(found, averages, model))


def _sentences(found: Results, averages: dict[str, Average], model: str) -> Iterator[str]:
    ours = averages[model].average
    yield f"Averaged over {len(found.languages)} languages, the merged model reaches {_text(ours)}."
    if BASE in averages:
        base = averages[BASE].average
        yield f"The base model has {_text(base)}: {_comparison(ours, base)}."
    if INDIVIDUAL in averages:
        individual = averages[INDIVIDUAL].average
        share = f" ({100 * ours.value / individual.value:.0f}% of it)" if individual.value else ""
        yield (
            f"Each language's own adapter averages {_text(individual)}{share}: "
            f"{_comparison(ours, individual)}."
        )
    if COMBINED in averages:
        combined = averages[COMBINED]
        stale = ", which is stale," if combined.stale else ""
        yield (
            f"The combined model{stale} has {_text(combined.average)}: "
            f"{_comparison(ours, combined.average)}."
        )
    sizes = [s.n for s in found.scores if s.model == model and s.split == "test"]
    yield (
        f"With {min(sizes)} to {max(sizes)} test rows a language the intervals are wide: "
        "overlapping ones leave the order open."
        if min(sizes) != max(sizes)
        else f"With {sizes[0]} test rows a language the intervals are wide: "
        "overlapping ones leave the order open."
    )


def _comparison(ours: Measured, other: Measured) -> str:
    if None in (ours.low, ours.high, other.low, other.high):
        return "too few rows to compare"
    assert ours.low is not None
    assert ours.high is not None
    assert other.low is not None
    assert other.high is not None
    if ours.low > other.high:
        return "merged is better, intervals apart"
    if ours.high < other.low:
        return "merged is worse, intervals apart"
    return "intervals overlap"


def _text(measured: Measured) -> str:
    if measured.low is None or measured.high is None:
        return f"{measured.value:.1f}"
    return f"{measured.value:.1f} [{measured.low:.1f}, {measured.high:.1f}]"
