"""4. Maintenance: the runs and their bill, what updates saved, the releases."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from langmerge.durations import time_text
from langmerge.report.content import Report
from langmerge.report.document import Block, Cell, Figures, Paragraph, Quantity, Section, Table
from langmerge.report.figures.upkeep import MOST_RUNS, release_scores, shares, timeline
from langmerge.report.words import moment_text
from langmerge.upkeep.bill import RunBill
from langmerge.upkeep.releases import Release


def build(report: Report) -> Section:
    """Return the section."""
    return Section("upkeep", "Maintenance", tuple(_blocks(report)))


def _blocks(report: Report) -> Iterator[Block]:
    runs = report.bill.runs
    figures = []
    if runs:
        figures.append(timeline(runs))
    for task in report.project.tasks:
        means = {r.name: mean for r in report.releases if (mean := _mean(r, task)) is not None}
        if means:
            current = None if report.current is None else report.current.name
            figures.append(release_scores(task, report.releases, means, current))
    if figures:
        note = "Device time is the wall-clock of all attempts added up."
        if len(runs) > MOST_RUNS:
            note += f" Shown: the last {MOST_RUNS} of {len(runs)} runs; the table has all."
        yield Figures("Timeline", note, tuple(figures))
    if runs:
        yield _bill(report)
    else:
        yield Paragraph("The ledger has no run.")
    if report.releases:
        yield _releases(report)
    else:
        yield Paragraph("There is no release yet: `langmerge release` makes the first.")


def _bill(report: Report) -> Table:
    runs = report.bill.runs
    kinds = list(shares(runs[0]))
    rows: list[tuple[Cell, ...]] = [
        (
            moment_text(run.started),
            run.kind,
            _time(run.makespan_seconds),
            _time(run.device_seconds),
            *(_time(seconds) for seconds in shares(run).values()),
            _saved(run),
        )
        for run in runs
    ]
    return Table(
        name="bill",
        title="The bill of every run",
        header=("run (UTC)", "what", "makespan", "device", *kinds, "saved"),
        rows=tuple(rows),
        notes=tuple(_bill_notes(report)),
    )


def _bill_notes(report: Report) -> Iterator[str]:
    bill = report.bill
    devices = sorted({device for run in bill.runs for device in run.devices})
    yield (
        f"In all: makespan {time_text(bill.makespan_seconds)}, device time "
        f"{time_text(bill.device_seconds)} on {', '.join(devices) or 'an unknown device'}."
    )
    yield (
        "Combined is the baseline: its training and evaluations. Saved: what an update's finished "
        "jobs, evaluations included, took less than training and evaluating combined on the same "
        "data; negative where it took more."
    )
    for run in bill.runs:
        if run.saving is not None:
            yield (
                f"{moment_text(run.started)}: {time_text(run.saving.update_seconds)} against "
                f"{time_text(run.saving.retraining_seconds)} ({run.saving.basis})."
            )
        if run.kind != "initial" and run.trained:
            yield f"{moment_text(run.started)}: trained {'; '.join(run.trained)}."
        for problem in run.problems:
            yield f"{moment_text(run.started)}: not done: {problem}"
    if bill.unreadable_lines:
        yield f"Left out: {bill.unreadable_lines} lines of the ledger that are not whole."


def _saved(run: RunBill) -> Quantity:
    if run.saving is None:
        return Quantity(None, "")
    return Quantity(run.saving.share, f"{run.saving.share:.0%}")


def _releases(report: Report) -> Table:
    tasks = [task for task in report.project.tasks if any(_mean(r, task) for r in report.releases)]
    rows: list[tuple[Cell, ...]] = [
        (
            f"{release.name} (served)" if release == report.current else release.name,
            release.created[:16].replace("T", " "),
            release.recipe["name"],
            "forced" if release.forced else "passed",
            release.message,
            *(_points(_mean(release, task)) for task in tasks),
        )
        for release in reversed(report.releases)
    ]
    return Table(
        name="releases",
        title="Releases, the newest first",
        header=("release", "created (UTC)", "recipe", "gate", "message", *tasks),
        rows=tuple(rows),
        notes=("Scores are means over languages on test, of the rows there were at the release.",),
    )


def _mean(release: Release, task: str) -> float | None:
    scores = release.scores.get(task)
    return None if not scores else fmean(by_split["test"] for by_split in scores.values())


def _points(value: float | None) -> Quantity:
    return Quantity(value, "–" if value is None else f"{value:.1f}")


def _time(seconds: float) -> Quantity:
    return Quantity(seconds, time_text(seconds) if seconds else "–")
