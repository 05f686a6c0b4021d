"""`langmerge results`: the table of the last run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

from rich import box
from rich.table import Table
from rich.text import Text

from langmerge.cli._console import DEFAULT_PROJECT, JsonOption, ProjectOption, out, show_json
from langmerge.results import Average, JobCost, Measured, Results, Score, load_results

_METRIC_NAMES = {
    "macro_f1": "macro-F1",
    "accuracy_norm": "accuracy (per byte)",
    "rougeL": "ROUGE-L",
}


_ORDER = ("base", "individual", "best-single", "combined")


def results(project: ProjectOption = DEFAULT_PROJECT, json: JsonOption = False) -> None:
    """Show the scores of the last run again."""
    if json:
        show_json(load_results(project).model_dump())
    else:
        show_results(project)


def show_results(project: Path) -> None:
    """Print one table per task, and one of what training cost."""
    found = load_results(project)
    for task in found.primary_metrics:
        out.print(score_table(found, task))
        for note in _notes(found, task):
            out.print(Text(note, style="dim"))


def score_table(found: Results, task: str) -> Table:
    """Return the test scores of a task: models down, languages across, the mean with interval."""
    metric = found.primary_metrics[task]
    table = Table(
        title=f"{task}: {_METRIC_NAMES.get(metric, metric)} on test",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("model", no_wrap=True)
    for language in found.languages:
        table.add_column(language, justify="right", no_wrap=True)
    table.add_column("mean", justify="right", style="bold", no_wrap=True)
    table.add_column(f"{100 * found.confidence:g}%", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("tokens", justify="right", no_wrap=True)
    averages = [a for a in found.averages if a.task == task and a.split == "test"]
    for average in sorted(averages, key=_position):
        table.add_row(*_row(found, average, metric))
    return table


def _position(average: Average) -> int:
    """Return where a model stands in the table: what is compared with first, merges last."""
    return _ORDER.index(average.model) if average.model in _ORDER else len(_ORDER)


def _row(found: Results, average: Average, metric: str) -> Iterable[str]:
    scores = [s for s in found.scores if s.model == average.model and _same_table(s, average)]
    name = f"{average.model} (stale)" if average.stale else average.model
    if chosen := {score.chosen for score in scores if score.chosen}:
        name = f"{name} ({', '.join(sorted(chosen))})"
    yield name
    for language in found.languages:
        values = [s.metrics[metric].value for s in scores if s.language == language]
        yield f"{fmean(values):.1f}"
    yield f"{average.average.value:.1f}"
    yield _interval(average.average)
    yield from _training_cost(found, average)


def _same_table(score: Score, average: Average) -> bool:
    return score.task == average.task and score.split == average.split


def _interval(measured: Measured) -> str:
    if measured.low is None or measured.high is None:
        return "-"
    return f"{measured.low:.1f}–{measured.high:.1f}"


def _training_cost(found: Results, average: Average) -> tuple[str, str]:
    """Return seconds and tokens of the training behind a model: all adapters', or combined's."""
    if average.model == "base":
        return "", ""
    is_combined = average.model == "combined"
    trained = [job for job in training_jobs(found, average.task) if is_combined == _combined(job)]
    seconds = sum(job.seconds or 0 for job in trained)
    tokens = sum(job.tokens or 0 for job in trained)
    return f"{seconds:.0f} s", f"{tokens / 1000:.1f}k"


def training_jobs(found: Results, task: str) -> list[JobCost]:
    """Return the training jobs of a task, the combined model's included."""
    return [job for job in found.jobs if job.id.startswith(f"train/{task}/")]


def _combined(job: JobCost) -> bool:
    return "/combined/" in job.id


def _notes(found: Results, task: str) -> Iterable[str]:
    tested = [s for s in found.scores if s.task == task and s.split == "test" and s.model == "base"]
    tested = tested or [s for s in found.scores if s.task == task and s.split == "test"]
    sizes = {score.language: score.n for score in tested}
    if sizes:
        rows = ", ".join(f"{language} {n}" for language, n in sizes.items())
        yield (
            f"Test rows: {rows}. Intervals resample groups of rows, jointly over languages. "
            "Time and tokens: of training all adapters a model is made of."
        )
    failed = [job.id for job in found.jobs if job.outcome in ("failed", "skipped")]
    if failed:
        yield f"Not done: {', '.join(failed[:5])}{' ...' if len(failed) > 5 else ''}"
