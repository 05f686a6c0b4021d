"""What classification and multiple choice share: an answer that is one of some candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from langmerge.tasks.base import Task, Writing
from langmerge.tasks.parsing import parse_answer
from langmerge.tasks.predictions import Prediction


class ChoosingTask(Task):
    """A task answered by the likeliest candidate, or by a text that names one."""

    generate: bool = False
    """Let the model write its answer, and parse it; else candidates' log-likelihoods decide."""
    max_new_tokens: int = Field(default=16, ge=1)
    """Of a written answer."""

    def writing(self) -> Writing | None:
        """Return how answers are written, one line of `max_new_tokens`; None unless `generate`."""
        return Writing(self.max_new_tokens, stop_at_newline=True) if self.generate else None

    def evaluation_identity(self, language: str) -> dict[str, Any]:
        """Return what the scores depend on: also that answers are written."""
        written = {"generate": True, "max_new_tokens": self.max_new_tokens} if self.generate else {}
        return {**super().evaluation_identity(language), **written}


def parsed(predictions: Sequence[Prediction]) -> list[int | None]:
    """Return the candidate each written answer names; None where it is unparseable."""
    return [parse_answer(each.text or "", each.candidates) for each in predictions]


def are_written(predictions: Sequence[Prediction]) -> bool:
    """Whether the answers are texts, not scores of candidates."""
    return any(prediction.text is not None for prediction in predictions)
