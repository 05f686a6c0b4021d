"""The verdict: what the paired tests say of the merge, in two sentences.

Four outcomes are possible. *Parity* is a claim and needs proof: the whole interval of the
difference lies within a margin stated beforehand. *Better* and *worse* are significant after
correction. Everything else is *undecided*, and then the difference that these rows could have shown
is given, so that nobody takes silence for equality.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from langmerge.plan.graph import ANCESTOR, BASE, BEST_SINGLE, COMBINED, INDIVIDUAL, ROUTED
from langmerge.report.words import listed, signed
from langmerge.results import Comparison, Difference

Outcome = Literal["parity", "better", "worse", "undecided"]

_OTHERS = {
    COMBINED: "the model trained on all languages together",
    INDIVIDUAL: "each language's own adapter",
    ROUTED: "the adapter of the language that a text looks like",
    BEST_SINGLE: "the best single adapter used for every language",
    ANCESTOR: "the adapter that all languages start from",
    BASE: "the base model",
}
_SENTENCES = 2


def outcome(found: Difference, margin: float, alpha: float) -> Outcome:
    """Return what a comparison shows.

    Args:
        found: the comparison.
        margin: points within which models count as equal.
        alpha: level of significance.
    """
    bounds = (found.low, found.high)
    if all(bound is not None and abs(bound) <= margin for bound in bounds):
        return "parity"
    if p_value(found) >= alpha:
        return "undecided"
    return "better" if found.difference > 0 else "worse"


def p_value(found: Difference) -> float:
    """Return a comparison's adjusted p-value; the plain one where results have no other."""
    return found.p_value if found.p_holm is None else found.p_holm


def verdict(
    comparisons: Sequence[Comparison], subject: str, margin: float, alpha: float
) -> tuple[str, ...]:
    """Return two sentences about the merged model: against combined, and against individual.

    Where one of these was not measured, the next of best-single and base takes its place; there
    are fewer sentences if there is less to compare with.

    Args:
        comparisons: of the results.
        subject: the merged model.
        margin: points within which models count as equal.
        alpha: level of significance.
    """
    sentences: list[str] = []
    for against in _OTHERS:
        found = [c for c in comparisons if c.model == subject and c.against == against]
        if found and len(sentences) < _SENTENCES:
            sentences.append(_sentence(found, subject, margin, alpha))
    return tuple(sentences)


def _sentence(found: Sequence[Comparison], subject: str, margin: float, alpha: float) -> str:
    by_outcome: dict[Outcome, list[Comparison]] = {}
    for each in found:
        by_outcome.setdefault(outcome(each, margin, alpha), []).append(each)
    parts = [
        part
        for name in ("worse", "better", "parity", "undecided")
        for part in _part(name, by_outcome.get(name, []), margin, alone=len(found) == 1)
    ]
    return f"Against {_OTHERS[found[0].against]}, {subject} is {listed(parts)}."


def _part(
    name: Outcome, found: Sequence[Comparison], margin: float, *, alone: bool
) -> Iterator[str]:
    """Yield what one outcome is said of, if of anything."""
    if not found:
        return
    on = [f"{'' if alone else f'{each.task} '}({_detail(each, name)})" for each in found]
    words = {
        "parity": f"at parity within {margin:g} {'point' if margin == 1 else 'points'}",
        "undecided": "undecided at this number of test rows",
    }.get(name, name)
    yield f"{words} {'' if alone else 'on '}{listed(on)}"


def _detail(found: Difference, name: Outcome) -> str:
    points = signed(found.difference)
    if found.low is None or found.high is None:
        return f"{points}; too few rows for an interval"
    bounds = f"{points}, interval {signed(found.low)} to {signed(found.high)}"
    if name == "undecided" and found.minimum_detectable is not None:
        return f"{bounds}; could show {found.minimum_detectable:.1f} or more"
    return bounds
