"""Which rows to show, and what each model said: the rows on which models differ come first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from langmerge.metrics import Metric
from langmerge.plan.graph import COMBINED, INDIVIDUAL
from langmerge.report.content import Report
from langmerge.report.document import Answer, Example
from langmerge.tasks import Generation, MultipleChoice, Prediction, Task

MOST = 240
"""Examples in a whole report, shared out evenly."""

MOST_OF_ONE = 8
"""Examples of one task and language."""

LONGEST = 1200
"""Characters of one text that are shown."""

_RIGHT = 99.9
"""Above this, a row's metric says that it was answered rightly; there is rounding."""


class _Row(NamedTuple):
    """One row as every model answered it, with each model's value of the metric on it alone."""

    answers: Mapping[str, Prediction]
    values: Mapping[str, float]


def choose(report: Report) -> tuple[Example, ...]:
    """Return the examples of every task and language, in the project's order."""
    pairs = [(task, code) for task in report.project.tasks for code in report.project.languages]
    count = max(1, min(MOST_OF_ONE, MOST // len(pairs)))
    return tuple(
        example for task, language in pairs for example in _of(report, task, language)[:count]
    )


def _of(report: Report, task_name: str, language: str) -> list[Example]:
    """Return examples of one task and language, the most telling first."""
    shown = [
        model
        for model in (INDIVIDUAL, COMBINED, report.subject)
        if (task_name, model, language) in report.predictions
    ]
    if not shown:
        return []
    task = report.project.tasks[task_name]
    rows = _rows(task, language, {m: report.predictions[task_name, m, language] for m in shown})
    ordered = sorted(rows, key=lambda row: _interest(task, row), reverse=True)
    return [_example(task, task_name, language, row) for row in ordered]


def _rows(
    task: Task, language: str, predictions: Mapping[str, Sequence[Prediction]]
) -> Iterator[_Row]:
    """Yield the rows that every model answered."""
    by_id = {model: {p.id: p for p in found} for model, found in predictions.items()}
    values = {
        model: dict(zip([p.id for p in found], _row_values(task, language, found), strict=True))
        for model, found in predictions.items()
    }
    first = next(iter(by_id.values()))
    for row in first:
        if all(row in found for found in by_id.values()):
            yield _Row(
                {model: found[row] for model, found in by_id.items()},
                {model: found[row] for model, found in values.items()},
            )


def _row_values(task: Task, language: str, found: Sequence[Prediction]) -> list[float]:
    """Return the primary metric of every row alone: 0 or 100 where answers are right or wrong."""
    metric: Metric = task.measure(found, language)[0]
    return [float(value) for value in np.asarray(metric.finish(metric.row_statistics))]


def _interest(task: Task, row: _Row) -> tuple[bool, float, int]:
    """Return a sort key: answers differ, by how much of the metric, in how many ways."""
    answers = {_answer(task, prediction) for prediction in row.answers.values()}
    values = row.values.values()
    return len(answers) > 1, max(values) - min(values), len(answers)


def _example(task: Task, task_name: str, language: str, row: _Row) -> Example:
    asked = next(iter(row.answers.values()))
    answers = tuple(
        Answer(model, _cut(_answer(task, prediction)), _verdict(task, row.values[model]))
        for model, prediction in row.answers.items()
    )
    reference = asked.target if asked.answer is None else asked.candidates[asked.answer]
    return Example(
        task=task_name,
        language=language,
        row=asked.id,
        source=_cut(asked.source),
        choices=tuple(map(_cut, asked.candidates)) if isinstance(task, MultipleChoice) else (),
        reference=_cut(reference),
        answers=answers,
        differs=_interest(task, row)[0],
    )


def _answer(task: Task, prediction: Prediction) -> str:
    """Return what a model answered, by the rule of the task's primary metric."""
    if not prediction.candidates:
        return (prediction.text or "").strip()
    scores = list(prediction.scores)
    if isinstance(task, MultipleChoice):
        scores = [
            score / max(len(candidate.encode("utf-8", "surrogatepass")), 1)
            for score, candidate in zip(scores, prediction.candidates, strict=True)
        ]
    return prediction.candidates[max(range(len(scores)), key=scores.__getitem__)]


def _verdict(task: Task, value: float) -> str:
    if isinstance(task, Generation):
        return f"{value:.0f}"
    return "right" if value > _RIGHT else "wrong"


def _cut(text: str) -> str:
    """Return a text, or its beginning and how much of it is left out."""
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}… [{len(text) - LONGEST} more characters]"
