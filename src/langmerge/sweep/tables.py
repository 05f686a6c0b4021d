"""A sweep as tables of text."""

from __future__ import annotations

from collections.abc import Iterator

from langmerge.durations import time_text
from langmerge.sweep.combined import CombinedSweep
from langmerge.sweep.evidence import bounds
from langmerge.sweep.record import Bounds, Change, Row, Sweep, TestRow
from langmerge.tables import METRIC_NAMES, TextTable

_SHOWN = 10
_LOSS = "!"


def sweep_tables(found: Sweep) -> Iterator[TextTable]:
    """Yield a table for every task: the current recipe, then the best, with changes by language."""
    rows = [row for row in found.rows if row.interval is not None][: _SHOWN + 1]
    for task, metric in found.metrics.items():
        yield TextTable(
            title=f"{task}: {METRIC_NAMES.get(metric, metric)} on dev; changes against "
            f"{_name(found.rows[0])}",
            header=("candidate", *found.languages, found.objective, _percent(found), "difference"),
            rows=tuple(
                _row(row.label, row.name, row.changes, row.interval, row.against_current,
                     task=task, is_current=row is found.rows[0])
                for row in rows
            ),
            notes=tuple(_notes(found)) if task == list(found.metrics)[-1] else (),
        )  # fmt: skip


def check_tables(found: Sweep) -> Iterator[TextTable]:
    """Yield, where test was asked for, what of the dev scores was luck."""
    if not found.test:
        return
    gaps = [row.gap for row in found.test]
    yield TextTable(
        title=f"After the choice: {found.objective} on test",
        header=("candidate", "dev", "test", _percent(found), "dev - test", "difference on test"),
        rows=tuple(_test_row(row, is_current=row is found.test[0]) for row in found.test),
        notes=(
            f"Mean gap {sum(gaps) / len(gaps):+.1f}. The current recipe was not chosen on these "
            "dev rows: what the winner's gap is beyond its gap is the price of choosing.",
        ),
    )


def combined_table(found: CombinedSweep) -> TextTable:
    """Return the trials of the combined model, the project's own settings first."""
    own, *others = found.trials
    ordered = [own, *sorted(others, key=lambda trial: -trial.value)]
    seconds = sum(trial.seconds for trial in found.trials)
    failures = (
        [f"{len(found.failed)} more failed: {found.failed[0].problem}"] if found.failed else []
    )
    return TextTable(
        title=f"combined: {found.objective} on dev",
        header=("learning rate", "epochs", "batch", found.objective, "interval", "training"),
        rows=tuple(
            (
                f"{trial.train['learning_rate']:g}",
                f"{trial.train['num_train_epochs']:g}",
                str(trial.train["per_device_train_batch_size"]),
                f"{trial.value:.1f}",
                _interval(trial.interval),
                time_text(trial.seconds),
            )
            for trial in ordered[: _SHOWN + 1]
        ),
        notes=(
            f"{len(found.trials)} trials, the first with the project's own settings; training took "
            f"{time_text(seconds)} in all. Compare with a merge that had as many.",
            *failures,
        ),
    )


def _row(
    label: str,
    name: str | None,
    changes: list[Change],
    interval: Bounds | None,
    against: Bounds | None,
    *,
    task: str,
    is_current: bool,
) -> tuple[str, ...]:
    assert interval is not None
    assert against is not None
    own = [change for change in changes if change.task == task]
    cells = (f"{c.score:.1f}" if is_current else _change(c) for c in own)
    shown = f"{label} [{name}]" if name else label
    difference = "" if is_current else bounds(against, "+.1f")
    return (shown, *cells, f"{interval.value:.1f}", _interval(interval), difference)


def _test_row(row: TestRow, *, is_current: bool) -> tuple[str, ...]:
    shown = f"{row.label} [{row.name}]" if row.name else row.label
    test = row.test
    return (
        shown, f"{row.dev:.1f}", f"{test.value:.1f}", _interval(test), f"{row.gap:+.1f}",
        "" if is_current else bounds(row.against_current, "+.1f"),
    )  # fmt: skip


def _notes(found: Sweep) -> Iterator[str]:
    sizes = sorted(set(found.rows_per_language.values()))
    rows = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    yield (
        f"Dev rows a language: {rows}. {_LOSS}: significantly worse than the current recipe "
        "(paired, Holm over all tasks and languages). The best of many looks better than it is; "
        "--report-test measures by how much."
    )
    stopped = ""
    if found.counts.stopped:
        stopped = (
            f", {found.counts.stopped} stopped early (at a risk of {100 * found.risk:g}% that one "
            "of them would have won)"
        )
    failed = f", {found.counts.failed} not possible" if found.counts.failed else ""
    yield (
        f"{found.counts.measured} candidates measured on all rows{stopped}{failed}; merging and "
        f"answering took {time_text(found.seconds)}."
    )
    problems = {row.problem for row in found.rows if row.problem}
    for problem in sorted(problems)[:3]:
        yield f"Not possible: {problem}"


def _change(change: Change) -> str:
    return f"{change.difference:+.1f}{_LOSS if change.is_loss else ''}"


def _interval(found: Bounds) -> str:
    if found.low is None or found.high is None:
        return "-"
    return f"{found.low:.1f}–{found.high:.1f}"


def _name(row: Row) -> str:
    return row.name or row.label


def _percent(found: Sweep) -> str:
    return f"{100 * found.confidence:g}%"
