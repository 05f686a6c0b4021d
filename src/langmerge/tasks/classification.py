"""Classification: one of a declared set of labels, by log-likelihood or as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from langmerge.data import Row
from langmerge.metrics import Integers, Metric, classification_metrics, confusion_matrix
from langmerge.tasks.choosing import ChoosingTask, are_written, parsed
from langmerge.tasks.predictions import Prediction


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(labels)) < len(labels):
        raise ValueError(f"labels repeat: {', '.join(labels)}; name each label once")
    return labels


class Classification(ChoosingTask):
    """Sentiment, topic and the like; scored by macro-F1, weighted-F1 and accuracy."""

    shapes: ClassVar[tuple[str, ...]] = ("text_label", "prompt_completion", "messages", "alpaca")
    default_prompt: ClassVar[str] = "{text}\nLabel:"

    type: Literal["classification"]
    labels: Annotated[tuple[str, ...], AfterValidator(_distinct)] = Field(min_length=2)
    """All labels, as they are written after the prompt."""

    @property
    def primary_metric(self) -> str:
        """Macro-F1."""
        return "macro_f1"

    def declared_labels(self) -> tuple[str, ...]:
        """Return `labels`."""
        return self.labels

    def evaluation_identity(self, language: str) -> dict[str, Any]:
        """Return what the scores depend on: also the label set, which bounds every prediction."""
        return {**super().evaluation_identity(language), "labels": list(self.labels)}

    def candidates(self, row: Row) -> tuple[str, ...]:
        """Return the declared labels."""
        return self.labels

    def measure(self, predictions: Sequence[Prediction], language: str) -> tuple[Metric, ...]:
        """Return macro-F1, weighted-F1, accuracy and each label's scores.

        The prediction is the label of highest log-likelihood, or the one that a text names.
        """
        by = "generation" if are_written(predictions) else None
        return classification_metrics(*self._answers(predictions), self.labels, by=by)

    def confusion(self, predictions: Sequence[Prediction]) -> Integers:
        """Return counts [labels, labels + 1] over `labels`, also of those that never occur."""
        return confusion_matrix(*self._answers(predictions), len(self.labels))

    def _answers(self, predictions: Sequence[Prediction]) -> tuple[list[int], list[int | None]]:
        """Return the gold and the predicted label of every row, as indices in `labels`."""
        gold = [self.labels.index(prediction.target) for prediction in predictions]
        if are_written(predictions):
            return gold, parsed(predictions)
        return gold, [_argmax(prediction.scores) for prediction in predictions]


def _argmax(scores: Sequence[float]) -> int:
    return max(range(len(scores)), key=scores.__getitem__)
