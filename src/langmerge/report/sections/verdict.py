"""1. The verdict in two sentences, what it stands on, and what limits it."""

from __future__ import annotations

from collections.abc import Iterator

from langmerge.report.content import Report
from langmerge.report.document import Block, Cell, Lead, Notice, Paragraph, Quantity, Section, Table
from langmerge.report.verdict import outcome, p_value, verdict
from langmerge.report.words import limited, p_text, signed
from langmerge.results import Comparison


def build(report: Report) -> Section:
    """Return the section."""
    return Section("verdict", "Verdict", tuple(_blocks(report)))


def _blocks(report: Report) -> Iterator[Block]:
    comparisons = [c for c in report.results.comparisons if c.model == report.subject]
    margin, alpha = report.project.release.max_drop, 1 - report.results.confidence
    sentences = verdict(comparisons, report.subject, margin, alpha)
    if not sentences:
        sentences = (
            f"There is no verdict on {report.subject}: it, or everything it could be compared "
            "with, was not measured in all languages.",
        )
    yield Lead(sentences)
    for notice in _notices(report):
        yield Notice(notice)
    if comparisons:
        yield _table(comparisons, report, margin, alpha)
        yield Paragraph(_method(report, margin))
    if any(found.p_holm is None for found in comparisons):
        yield Notice(
            "These results are of a version that adjusted no p-value for being one of several: "
            "p and the marks are of single tests. `langmerge run` measures them again, and trains "
            "nothing."
        )


def _notices(report: Report) -> Iterator[str]:
    failed = [job for job in report.results.jobs if job.outcome == "failed"]
    skipped = [job for job in report.results.jobs if job.outcome == "skipped"]
    for job in failed[:5]:
        problem = (job.problem or "").strip().splitlines()
        yield f"Failed: {job.id}{': ' + problem[-1] if problem else ''}"
    if len(failed) > 5:
        yield f"Failed too: {limited([job.id for job in failed[5:]])}"
    if skipped:
        yield f"Not done, for want of what failed: {limited([job.id for job in skipped])}"
    stale = sorted({f"{a.model} on {a.task}" for a in report.results.averages if a.stale})
    if stale:
        yield (
            f"Stale: {', '.join(stale)}. It was trained on older data than the project has now; "
            "`langmerge run --baselines` trains it again."
        )


def _table(comparisons: list[Comparison], report: Report, margin: float, alpha: float) -> Table:
    stale = {(a.task, a.model) for a in report.results.averages if a.stale}
    rows: list[tuple[Cell, ...]] = []
    for found in comparisons:
        name = f"{found.against} (stale)" if (found.task, found.against) in stale else found.against
        rows.append(
            (
                found.task,
                name,
                outcome(found, margin, alpha),
                _points(found.difference),
                _points(found.low),
                _points(found.high),
                Quantity(p_value(found), p_text(p_value(found))),
                _plain(found.minimum_detectable),
                _kept(found),
            )
        )
    return Table(
        name="verdict",
        title=f"{report.subject} minus each other model, mean over languages, in points",
        header=(
            "task",
            "against",
            "outcome",
            "difference",
            "low",
            "high",
            "p",
            "detectable",
            "kept",
        ),
        rows=tuple(rows),
    )


def _method(report: Report, margin: float) -> str:
    confidence = f"{100 * report.results.confidence:g}%"
    recipes = len(report.project.merge)
    family = f" over the {recipes} recipes" if recipes > 1 else ""
    return (
        "Paired bootstrap on the same test rows, groups of rows resampled jointly over languages "
        f"and seeds; low and high bound the {confidence} interval, p is adjusted (Holm){family}. "
        f"Parity needs the whole interval within {margin:g} of 0 (release.max_drop); better and "
        f"worse need p below {1 - report.results.confidence:.2g}; everything else is undecided. "
        "Detectable is the true difference these rows would show in 80% of cases: smaller ones can "
        "hide. Kept is the merged model's mean as a share of the other's."
    )


def _points(value: float | None) -> Quantity:
    return Quantity(value, "–" if value is None else signed(value))


def _plain(value: float | None) -> Quantity:
    return Quantity(value, "–" if value is None else f"{value:.1f}")


def _kept(found: Comparison) -> Quantity:
    kept = found.retention
    return Quantity(None, "–") if kept is None else Quantity(kept.value, f"{kept.value:.0f}%")
