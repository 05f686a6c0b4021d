"""Multiple choice: one of the row's candidates, by log-likelihood or as text."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from langmerge.data import Row
from langmerge.errors import DataError
from langmerge.metrics import Metric, choice_metrics, written_choice_metrics
from langmerge.tasks.choosing import ChoosingTask, are_written, parsed
from langmerge.tasks.predictions import Prediction
from langmerge.tasks.templates import template_fields


class MultipleChoice(ChoosingTask):
    """Reasoning and question answering; scored by accuracy and macro-F1."""

    shapes: ClassVar[tuple[str, ...]] = ("question_choices",)
    default_prompt: ClassVar[str] = "Question: {question}\nAnswer:"

    type: Literal["multiple_choice"]
    letters: bool = False
    """Show the choices as A, B, C after the question, and answer by the letter."""

    @model_validator(mode="after")
    def _shots_have_choices(self) -> MultipleChoice:
        for language, shots in self.shots.items():
            for number, shot in enumerate(shots, start=1):
                if self.letters and not shot.choices:
                    raise ValueError(
                        f"shots.{language}: example {number} has no 'choices' to give letters to"
                    )
        return self

    @property
    def primary_metric(self) -> str:
        """Accuracy: by log-likelihood per byte, or of written answers."""
        return "accuracy" if self.generate else "accuracy_norm"

    def identity(self, language: str) -> dict[str, Any]:
        """Return what an adapter depends on: also the form of question and answer."""
        return {**super().identity(language), **({"letters": True} if self.letters else {})}

    def prompt_text(self, row: Row, language: str) -> str:
        """Return the prompt; with `letters`, choices follow, before a last line as `Answer:`."""
        prompt = super().prompt_text(row, language)
        if not self.letters:
            return prompt
        shown = [
            f"{letter}. {choice}"
            for letter, choice in zip(self.candidates(row), row.choices, strict=True)
        ]
        _, line_break, last_line = self.template_for(row.fields, language).rpartition("\n")
        if not line_break or template_fields(last_line):
            return "\n".join([prompt, *shown])
        question, _, cue = prompt.rpartition("\n")
        return "\n".join([question, *shown, cue])

    def answer_text(self, row: Row) -> str:
        """Return the right choice, or its letter."""
        return row.target if not self.letters else self.candidates(row)[row.answer or 0]

    def candidates(self, row: Row) -> tuple[str, ...]:
        """Return the row's own choices, or their letters.

        Raises:
            DataError: if there are more choices than letters.
        """
        if not self.letters:
            return row.choices
        if len(row.choices) > len(string.ascii_uppercase):
            raise DataError(
                f"row {row.id}: {len(row.choices)} choices, and letters go to Z; leave letters: out"
            )
        return tuple(string.ascii_uppercase[: len(row.choices)])

    def measure(self, predictions: Sequence[Prediction], language: str) -> tuple[Metric, ...]:
        """Return accuracy and macro-F1 over positions.

        By log-likelihood per byte and raw, with the calibration error; of written answers, with
        the share of unparseable ones.
        """
        answers = [prediction.answer or 0 for prediction in predictions]
        candidates = [prediction.candidates for prediction in predictions]
        if are_written(predictions):
            n_positions = max(map(len, candidates), default=0)
            return written_choice_metrics(answers, parsed(predictions), n_positions)
        scores = [prediction.scores for prediction in predictions]
        return choice_metrics(answers, scores, candidates)
