"""Generation: free text, scored against one reference by ROUGE and chrF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from langmerge.data import Row
from langmerge.metrics import Metric, generation_metrics
from langmerge.tasks.base import Task, Writing
from langmerge.tasks.predictions import Prediction


class Generation(Task):
    """Summarization and the like; scored by ROUGE-1/2/L and chrF, right for every script."""

    shapes: ClassVar[tuple[str, ...]] = ("text_summary", "prompt_completion", "messages", "alpaca")
    default_prompt: ClassVar[str] = "{text}\nSummary:"

    type: Literal["generation"]
    max_new_tokens: int = Field(default=64, ge=1)
    """The longest answer, in tokens."""
    segmented: bool = False
    """Measure Japanese, Chinese and Thai in words of a segmenter, not in characters."""
    stop_at_newline: bool = True
    """One-line answers: a base model that was not fine-tuned would go on with a new example."""

    @property
    def primary_metric(self) -> str:
        """ROUGE-L."""
        return "rougeL"

    def writing(self) -> Writing:
        """Return the limits of a text."""
        return Writing(self.max_new_tokens, self.stop_at_newline)

    def evaluation_identity(self, language: str) -> dict[str, Any]:
        """Return what the scores depend on: also how generation stops."""
        segmented = {"segmented": True} if self.segmented else {}
        return {
            **super().evaluation_identity(language),
            "max_new_tokens": self.max_new_tokens,
            "stop_at_newline": self.stop_at_newline,
            **segmented,
        }

    def candidates(self, row: Row) -> tuple[str, ...]:
        """Return nothing: the text is generated."""
        return ()

    def measure(self, predictions: Sequence[Prediction], language: str) -> tuple[Metric, ...]:
        """Return ROUGE-L, ROUGE-1, ROUGE-2, ROUGE-Lsum, chrF and descriptive measures."""
        return generation_metrics(
            references=[prediction.target for prediction in predictions],
            predictions=[prediction.text or "" for prediction in predictions],
            sources=[prediction.source for prediction in predictions],
            language=language,
            truncated=[prediction.truncated for prediction in predictions],
            segmented=self.segmented,
        )
