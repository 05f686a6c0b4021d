"""Predictions: a model's answers, with everything needed to score them without the model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PREDICTIONS_FILE = "predictions.jsonl"


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's answer to one row, with everything needed to score it.

    Attributes:
        id: the row's id.
        group: the row's group; statistics resample groups.
        target: the reference text.
        source: the prompt's text, for measures of copying.
        answer: index of the right candidate; None for generated text.
        candidates: the candidate answers, in the order of `scores`; empty for generated text.
        scores: log-likelihood of each candidate, in nats; empty for generated text.
        text: the generated text; None where candidates were scored.
        truncated: the generated text stopped at `max_new_tokens`.
    """

    id: str
    group: str
    target: str
    source: str
    answer: int | None = None
    candidates: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    text: str | None = None
    truncated: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the prediction as a JSON object; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Prediction:
        """Rebuild a prediction from `to_json`'s object."""
        tuples = {key: tuple(record[key]) for key in ("candidates", "scores")}
        return cls(**{**record, **tuples})


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write predictions as JSON Lines."""
    with path.open("w", encoding="utf-8") as file:
        for prediction in predictions:
            file.write(json.dumps(prediction.to_json(), ensure_ascii=False) + "\n")


def read_predictions(path: Path) -> list[Prediction]:
    """Read predictions that `write_predictions` wrote."""
    with path.open(encoding="utf-8") as file:
        return [Prediction.from_json(json.loads(line)) for line in file]
