"""The release gate: has any language become worse than it is in the current release?

Both models answered the same rows, so each language is a paired comparison of its primary metric.
Languages are many and chance is not kind: their p-values are adjusted together (Holm), or every
twentieth comparison of equals would hold up a release. A language with too few rows to tell is
called undecided, never equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from langmerge.metrics import Metric
from langmerge.project import Project, ReleaseSettings
from langmerge.statistics import (
    PairedResult,
    holm,
    minimum_detectable_difference,
    paired_bootstrap,
)
from langmerge.tasks import Prediction

Outcome = Literal["better", "worse", "same", "undecided"]
"""`same`: no row is answered differently by the metric's lights."""

Ruling = Literal["pass", "warn", "refuse"]

Key = tuple[str, str]
"""A task's name and a language."""

_BOOTSTRAP_SEED = 0
_RESAMPLES_PER_LEVEL = 4
"""So that the least p-value resampling can give is significant after correction."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Compared(_Part):
    """The candidate against the current release on one language's rows; values in points.

    What no shared row, or one group of them, cannot tell is null.
    """

    task: str
    language: str
    metric: str
    split: str = "dev"
    n: int
    """Rows compared: those that both models answered, and that are the same."""
    new_rows: list[str] = []
    gone_rows: list[str] = []
    changed_rows: list[str] = []
    release: float | None = None
    candidate: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    """Two-sided, adjusted for all languages and tasks."""
    detectable: float | None = None
    """The true difference these rows show in 80% of cases; null where they can show none."""
    outcome: Outcome = "undecided"
    ruling: Ruling = "pass"
    reason: str | None = None
    """Why the ruling is no plain pass."""


class GateResult(_Part):
    """What the gate says about a candidate; `against` is null for a first release."""

    against: str | None
    confidence: float
    max_drop: float
    on_undecided: str
    passed: bool
    compared: list[Compared]

    def reasons(self, ruling: Ruling) -> list[str]:
        """Return the reasons of all comparisons with this ruling."""
        return [c.reason for c in self.compared if c.ruling == ruling and c.reason is not None]


@dataclass(frozen=True)
class Answers:
    """The answers of the two models in one language, to rows of a split."""

    candidate: Sequence[Prediction]
    release: Sequence[Prediction]
    split: str = "dev"


def judge(project: Project, answers: Mapping[Key, Answers], against: str | None) -> GateResult:
    """Compare a candidate with the current release, and rule whether it may replace it.

    A language refuses if it is worse by more than `release.max_drop` points and that is
    significant after correction. If such a drop can be neither shown nor ruled out,
    `release.on_undecided` decides.

    Args:
        project: tasks, `release:` and `evaluate:` settings.
        answers: both models' answers, for every task and language that both have.
        against: the current release's name; None if there is none, and then nothing is compared.
    """
    settings = project.evaluate
    matched = {key: _Matched.of(found) for key, found in answers.items()}
    comparable = {key: rows for key, rows in matched.items() if rows.candidate}
    alpha = 1 - settings.confidence
    least = math.ceil(_RESAMPLES_PER_LEVEL * len(comparable) / alpha)
    measured = {
        key: _measure(project, key, rows, max(settings.resamples, least))
        for key, rows in comparable.items()
    }
    adjusted = dict(
        zip(measured, holm([found.paired.p_value for found in measured.values()]), strict=True)
    )
    compared = []
    for key, rows in matched.items():
        found = _describe(project, key, rows, answers[key].split)
        if key in measured:
            found = _with_numbers(found, measured[key], adjusted[key], alpha, len(measured))
        compared.append(_ruled(found, project.release, settings.confidence))
    return GateResult(
        against=against,
        confidence=settings.confidence,
        max_drop=project.release.max_drop,
        on_undecided=project.release.on_undecided,
        passed=all(found.ruling != "refuse" for found in compared),
        compared=compared,
    )


@dataclass(frozen=True)
class _Matched:
    """The answers to rows that are the same for both, in one order; ids of all other rows."""

    candidate: list[Prediction]
    release: list[Prediction]
    new: list[str]
    gone: list[str]
    changed: list[str]

    @classmethod
    def of(cls, answers: Answers) -> _Matched:
        ours = {prediction.id: prediction for prediction in answers.candidate}
        theirs = {prediction.id: prediction for prediction in answers.release}
        shared = sorted(ours.keys() & theirs.keys())
        same = [name for name in shared if _row(ours[name]) == _row(theirs[name])]
        return cls(
            candidate=[ours[name] for name in same],
            release=[theirs[name] for name in same],
            new=sorted(ours.keys() - theirs.keys()),
            gone=sorted(theirs.keys() - ours.keys()),
            changed=sorted(set(shared) - set(same)),
        )


@dataclass(frozen=True)
class _Measured:
    candidate: Metric
    release: Metric
    groups: int
    paired: PairedResult


def _row(prediction: Prediction) -> tuple[object, ...]:
    """Return what of a prediction was asked, not answered."""
    asked = ("group", "source", "target", "answer", "candidates")
    return (*(getattr(prediction, name) for name in asked), prediction.text is None)


def _measure(project: Project, key: Key, rows: _Matched, resamples: int) -> _Measured:
    task, language = key
    measure = project.tasks[task].measure
    candidate, release = (measure(side, language)[0] for side in (rows.candidate, rows.release))
    groups = [prediction.group for prediction in rows.candidate]
    paired = paired_bootstrap(
        {language: (candidate, groups)},
        {language: (release, groups)},
        seed=_BOOTSTRAP_SEED,
        resamples=resamples,
        confidence=project.evaluate.confidence,
    )
    return _Measured(candidate, release, len(set(groups)), paired)


def _describe(project: Project, key: Key, rows: _Matched, split: str) -> Compared:
    task, language = key
    return Compared(
        task=task,
        language=language,
        metric=project.tasks[task].primary_metric,
        split=split,
        n=len(rows.candidate),
        new_rows=rows.new,
        gone_rows=rows.gone,
        changed_rows=rows.changed,
    )


def _with_numbers(
    compared: Compared, found: _Measured, p_value: float, alpha: float, comparisons: int
) -> Compared:
    paired = found.paired
    outcome: Outcome = "undecided"
    if np.array_equal(found.candidate.row_statistics, found.release.row_statistics):
        outcome = "same"
    elif p_value < alpha:
        outcome = "better" if paired.difference > 0 else "worse"
    # No p-value is below 2^(1 - groups): with few groups no difference, however large, is shown.
    can_show = comparisons * 2.0 ** (1 - found.groups) < alpha
    detectable = minimum_detectable_difference(paired.standard_error, alpha=alpha / comparisons)
    return compared.model_copy(
        update={
            "release": found.release.value,
            "candidate": found.candidate.value,
            "difference": paired.difference,
            "low": paired.low,
            "high": paired.high,
            "p_value": p_value,
            "detectable": detectable if can_show else None,
            "outcome": outcome,
        }
    )


def _ruled(found: Compared, settings: ReleaseSettings, confidence: float) -> Compared:
    """Return a comparison with its ruling, and the reason in words."""
    ruling: Ruling = "pass"
    too_low = found.difference is None or found.difference < -settings.max_drop
    is_ruled_out = found.low is not None and found.low >= -settings.max_drop
    if found.outcome == "worse" and too_low:
        ruling = "refuse"
    elif found.outcome in ("worse", "undecided") and not is_ruled_out:
        ruling = settings.on_undecided
    elif found.outcome == "worse":
        ruling = "warn"
    if ruling == "pass":
        return found
    reason = " ".join(_sentence(found, settings.max_drop, confidence))
    return found.model_copy(update={"ruling": ruling, "reason": reason})


def _sentence(found: Compared, max_drop: float, confidence: float) -> Iterator[str]:
    yield f"{found.task} {found.language}:"
    if found.difference is None:
        yield "undecided: no row is the same as the release's, so nothing could be compared"
        return
    bounds = "no interval"
    if found.low is not None and found.high is not None:
        bounds = f"{100 * confidence:g}%: {found.low:+.1f} to {found.high:+.1f}"
    points = f"{found.difference:+.1f} points ({bounds}; p = {found.p_value:.3f}, adjusted)"
    if found.outcome == "worse":
        yield f"worse: {points};"
        relation = "more than" if found.difference < -max_drop else "not more than"
        yield f"that is {relation} release.max_drop, {max_drop:g}"
    else:
        yield f"undecided at {found.n} rows: {points};"
        if found.detectable is None:
            yield "so few rows can show no difference at all"
        else:
            yield f"the smallest difference they show reliably is {found.detectable:.1f} points"
