"""Results as tables of text, for the terminal and for Markdown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from langmerge.metrics.base import settings_that_differ
from langmerge.plan.graph import (
    ANCESTOR,
    BASE,
    BEST_SINGLE,
    INDIVIDUAL,
    JOINT,
    ROUTED,
    adapter_of,
    merged,
)
from langmerge.results import Average, Comparison, JobCost, Measured, Results, Score

METRIC_NAMES = {
    "macro_f1": "macro-F1",
    "accuracy_norm": "accuracy (log-likelihood per byte)",
    "rougeL": "ROUGE-L",
}
_ORDER = (BASE, INDIVIDUAL, ROUTED, BEST_SINGLE, *JOINT)


@dataclass(frozen=True)
class TextTable:
    """A table of text; the first column is left-aligned, the others are numbers."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    def to_markdown(self) -> str:
        """Return the table in Markdown, with its title and notes."""
        alignment = ["---", *("---:" for _ in self.header[1:])]
        lines = [self.header, alignment, *self.rows]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        notes = "\n".join(f"- {note}" for note in self.notes)
        return "\n\n".join(part for part in (f"**{self.title}**", body, notes) if part)


def score_table(found: Results, task: str) -> TextTable:
    """Return the test scores of a task: models down, languages across, the mean with interval."""
    metric = found.primary_metrics[task]
    averages = [a for a in found.averages if a.task == task and a.split == "test"]
    return TextTable(
        title=f"{task}: {METRIC_NAMES.get(metric, metric)} on test",
        header=(
            "model",
            *found.languages,
            "mean",
            f"{100 * found.confidence:g}%",
            "time",
            "tokens",
        ),
        rows=tuple(
            tuple(_row(found, average, metric)) for average in sorted(averages, key=_position)
        ),
        notes=tuple(_notes(found, task)),
    )


def interval(measured: Measured) -> str:
    """Return an interval as text, a dash where there is none."""
    if measured.low is None or measured.high is None:
        return "-"
    return f"{measured.low:.1f}–{measured.high:.1f}"


def matrix_table(found: Results, task: str) -> TextTable | None:
    """Return the test scores of every adapter on every language; None where not asked for."""
    metric = found.primary_metrics[task]
    cells: dict[tuple[str, str], list[float]] = defaultdict(list)
    for score in found.scores:
        if score.task == task and score.split == "test":
            if score.model == INDIVIDUAL:
                cells[score.language, score.language].append(score.metrics[metric].value)
            elif score.model.startswith(adapter_of("")):
                name = score.model.removeprefix(adapter_of(""))
                cells[name, score.language].append(score.metrics[metric].value)
    if len(cells) < len(found.languages) ** 2:
        return None
    return TextTable(
        title=f"{task}: {METRIC_NAMES.get(metric, metric)} on test, adapters down",
        header=("adapter", *found.languages),
        rows=tuple(
            (adapter, *(f"{fmean(cells[adapter, code]):.1f}" for code in found.languages))
            for adapter in found.languages
        ),
        notes=(),
    )


def routing_notes(found: Results, task: str) -> Iterator[str]:
    """Yield what serving routed adapters takes, and how often the language was identified."""
    routed = [s for s in found.scores if s.task == task and s.routing is not None]
    if not routed:
        return
    rows = sum(score.n for score in routed)
    right = sum(s.routing.languages.get(s.language, 0) for s in routed if s.routing)
    taken = [score.routing for score in routed if score.routing is not None]
    yield (
        f"{ROUTED}: {len(found.languages)} adapters in memory, "
        f"{max(each.adapter_bytes for each in taken) / 1e6:.1f} MB; "
        f"{1000 * fmean(each.switch_seconds for each in taken):.0f} ms to switch, "
        f"{1000 * fmean(each.identify_seconds for each in taken):.1f} ms to identify a text's "
        f"language, right for {100 * right / rows:.1f}% of rows ({taken[0].identifier})"
    )


def _difference(compared: Comparison, confidence: float) -> str:
    """Return a comparison as a line: difference, what was kept, what could be seen, languages."""
    start = f"{compared.model} minus {compared.against}: {compared.difference:+.1f}"
    if compared.low is None or compared.high is None:
        return f"{start} (too few rows for an interval)"
    parts = [f"{start} ({compared.low:+.1f} to {compared.high:+.1f}, p = {compared.p_value:.3f})"]
    if compared.against != BASE and (kept := compared.retention) is not None:
        bounds = "" if kept.low is None else f" ({kept.low:.1f}–{kept.high:.1f})"
        parts.append(f"keeps {kept.value:.1f}%{bounds}")
    if compared.minimum_detectable is not None:
        parts.append(f"detectable at this size: {compared.minimum_detectable:.1f}")
    if len(compared.languages) > 1:
        parts.append(_languages_that_differ(compared, 1 - confidence))
    if (spread := compared.seed_spread) is not None:
        runs = ", ".join(f"{value:+.1f}" for value in spread.values.values())
        parts.append(f"seed by seed: {runs}")
    return "; ".join(parts)


def _languages_that_differ(compared: Comparison, alpha: float) -> str:
    found = [
        f"{language} {each.difference:+.1f}"
        for language, each in compared.languages.items()
        if each.p_holm is not None and each.p_holm < alpha
    ]
    return f"after Holm: {', '.join(found) or 'no single language'} differs"


def _position(average: Average) -> int:
    """Return where a model stands in the table: what is compared with first, merges last."""
    return _ORDER.index(average.model) if average.model in _ORDER else len(_ORDER)


def _row(found: Results, average: Average, metric: str) -> Iterator[str]:
    scores = [s for s in found.scores if s.model == average.model and _same_table(s, average)]
    name = f"{average.model} (stale)" if average.stale else average.model
    if chosen := {score.chosen for score in scores if score.chosen}:
        name = f"{name} ({', '.join(sorted(chosen))})"
    yield name
    for language in found.languages:
        yield f"{fmean(s.metrics[metric].value for s in scores if s.language == language):.1f}"
    yield f"{average.average.value:.1f}"
    yield interval(average.average)
    yield from _training_cost(found, average)


def _same_table(score: Score, average: Average) -> bool:
    return score.task == average.task and score.split == average.split


def _training_cost(found: Results, average: Average) -> tuple[str, str]:
    """Return seconds and tokens of the training behind a model: all adapters', or a joint one's.

    What all adapters started from is part of theirs.
    """
    if average.model == BASE:
        return "", ""
    own = {average.model} if average.model in JOINT else {None, ANCESTOR}
    trained = [job for job in _training_jobs(found, average.task) if _joint(job) in own]
    seconds = sum(job.seconds or 0 for job in trained)
    tokens = sum(job.tokens or 0 for job in trained)
    more = "+?" if any(job.seconds is None for job in trained if job.outcome in _USED) else ""
    return f"{seconds:.0f} s{more}", f"{tokens / 1000:.1f}k{more}"


_USED = ("ran", "reused", "stale")
"""Outcomes of trainings that left an adapter; without a time, it was adopted."""


def _training_jobs(found: Results, task: str) -> list[JobCost]:
    return [job for job in found.jobs if job.id.startswith(f"train/{task}/")]


def _joint(job: JobCost) -> str | None:
    """Return which model of rows of all languages a job trained, if it did."""
    return next((model for model in JOINT if f"/{model}/" in job.id), None)


def _label_notes(found: Results, task: str) -> Iterator[str]:
    """Yield which labels merged models never answer: what a mean over languages can hide."""
    never: dict[tuple[str, str], set[str]] = defaultdict(set)
    for score in found.scores:
        of_table = score.task == task and score.split == "test"
        if of_table and score.confusion is not None and score.model.startswith(merged("")):
            for label in score.confusion.never_answered():
                never[score.model, label].add(score.language)
    for (model, label), languages in never.items():
        yield f"{model} never answers '{label}' in {', '.join(sorted(languages))}"


def _signature_notes(found: Results, task: str) -> Iterator[str]:
    """Yield a warning where languages are measured in different ways."""
    metric = found.primary_metrics[task]
    languages: dict[str, set[str]] = defaultdict(set)
    for score in found.scores:
        if score.task == task and score.split == "test" and metric in score.metrics:
            languages[score.metrics[metric].signature].add(score.language)
    if len(languages) > 1:
        ways = "; ".join(
            f"{', '.join(sorted(codes))} by {' '.join(settings_that_differ(signature, languages))}"
            for signature, codes in languages.items()
        )
        yield f"Compare models, not languages: {ways}"


def _notes(found: Results, task: str) -> Iterator[str]:
    sizes = {s.language: s.n for s in found.scores if s.task == task and s.split == "test"}
    seeds = {s.seed for s in found.scores if s.task == task} - {None}
    if sizes:
        rows = ", ".join(f"{language} {n}" for language, n in sorted(sizes.items()))
        yield (
            f"Test rows: {rows}. The interval is of the mean; it resamples groups of rows, jointly "
            "over languages. Time and tokens: of training all adapters a model is made of"
            f"{', with every seed' if len(seeds) > 1 else ''}."
        )
    adopted = [
        job.id.split("/")[2]
        for job in _training_jobs(found, task)
        if job.outcome in _USED and job.seconds is None
    ]
    if adopted:
        yield (
            f"+?: the adapters of {', '.join(dict.fromkeys(adopted))} were adopted; what their "
            "training cost is not known"
        )
    for compared in found.comparisons:
        if compared.task == task:
            yield _difference(compared, found.confidence)
    yield from routing_notes(found, task)
    yield from _label_notes(found, task)
    yield from _signature_notes(found, task)
    failed = [job.id for job in found.jobs if job.outcome in ("failed", "skipped")]
    if failed:
        yield f"Not done: {', '.join(failed[:5])}{' ...' if len(failed) > 5 else ''}"
