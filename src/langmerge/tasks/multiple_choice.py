"""Multiple choice: the row's candidate of highest log-likelihood, raw and per byte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from langmerge.data import Row
from langmerge.metrics import Metric, choice_metrics
from langmerge.tasks.base import Task
from langmerge.tasks.predictions import Prediction


class MultipleChoice(Task):
    """Reasoning and question answering; scored by accuracy and macro-F1."""

    shapes: ClassVar[tuple[str, ...]] = ("question_choices",)
    primary_metric: ClassVar[str] = "accuracy_norm"
    default_prompt: ClassVar[str] = "Question: {question}\nAnswer:"

    type: Literal["multiple_choice"]

    def candidates(self, row: Row) -> tuple[str, ...]:
        """Return the row's own choices."""
        return row.choices

    def measure(self, predictions: Sequence[Prediction], language: str) -> tuple[Metric, ...]:
        """Return accuracy by log-likelihood per byte and raw, and macro-F1 over positions."""
        return choice_metrics(
            answers=[prediction.answer or 0 for prediction in predictions],
            scores=[prediction.scores for prediction in predictions],
            choices=[prediction.candidates for prediction in predictions],
        )
