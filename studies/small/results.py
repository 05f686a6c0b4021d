"""The raw results, read back: every model's metric and groups, by task, part and seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from raw import rows_path

from langmerge.metrics import Metric, classification_metrics
from langmerge.metrics.base import quotient_metric
from langmerge.statistics import Sample, Samples


class Raw:
    """The raw results of one form."""

    def __init__(self, folder: Path, first: str = "shared") -> None:
        """Open a form's folder.

        Args:
            folder: the folder.
            first: the form's first initialization, whose files also hold the baselines.
        """
        self.folder = folder
        self.first = first

    @cached_property
    def tasks(self) -> list[str]:
        """The tasks that have results."""
        return [t for t in ("topic", "reasoning", "summarization", "sentiment") if self.seeds(t)]

    def seeds(self, task: str, part: str | None = None) -> list[int]:
        """The seeds whose results are there, in a part; by default the first initialization."""
        part = part or self.first
        paths = (self.folder / task).glob(f"{part}-*.json")
        return sorted(int(p.stem.rpartition("-")[2]) for p in paths if _is_run(p.stem, part))

    def record(self, task: str, part: str, seed: int) -> dict[str, Any]:
        """A raw file's content; empty where there is none."""
        path = self.folder / task / f"{part}-{seed}.json"
        if not path.exists():
            return {"dev": {}, "test": {}, "recipes": {}, "facts": {}}
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return content

    def models(
        self, task: str, part: str, languages: Sequence[str]
    ) -> dict[str, dict[int, Samples]]:
        """Every model with test answers in all of these languages, by name and seed.

        Asked again, the same objects, so that what is drawn from them need be drawn once.
        """
        key = (task, part, *languages)
        if key not in self._models:
            self._models[key] = self._read_models(task, part, languages)
        return dict(self._models[key])

    @cached_property
    def _models(self) -> dict[tuple[str, ...], dict[str, dict[int, Samples]]]:
        return {}

    def _read_models(
        self, task: str, part: str, languages: Sequence[str]
    ) -> dict[str, dict[int, Samples]]:
        found: dict[str, dict[int, Samples]] = {}
        for seed in self.seeds(task, part):
            for model, answers in self.record(task, part, seed)["test"].items():
                if all(language in answers for language in languages):
                    samples = {code: self.sample(task, code, answers[code]) for code in languages}
                    found.setdefault(model, {})[seed] = samples
        return found

    def sample(self, task: str, language: str, answers: Sequence[float]) -> Sample:
        """A model's metric on the test rows of a language, and their groups."""
        rows = self._rows(task, language, len(answers))
        if rows["labels"]:
            metric = classification_metrics(
                rows["gold"], [int(answer) for answer in answers], rows["labels"]
            )[0]
        else:
            metric = quotient_metric("value", {}, answers)
        return metric, rows["groups"]

    def value(self, task: str, language: str, answers: Sequence[float]) -> float:
        """A model's metric on the test rows of a language."""
        return self.sample(task, language, answers)[0].value

    def recall(self, task: str, language: str, answers: Sequence[float], label: str) -> Metric:
        """How many of a label's test rows are answered so."""
        rows = self._rows(task, language, len(answers))
        number = rows["labels"].index(label)
        is_label = [float(gold == number) for gold in rows["gold"]]
        right = [
            100.0 * is_it * (answer == number)
            for is_it, answer in zip(is_label, answers, strict=True)
        ]
        return quotient_metric("recall", {}, right, is_label)

    def _rows(self, task: str, language: str, count: int) -> Mapping[str, Any]:
        path = rows_path(self.folder, task, language, count)
        if path not in self._cache:
            self._cache[path] = json.loads(path.read_text("utf-8"))
        return self._cache[path]

    @cached_property
    def _cache(self) -> dict[Path, Mapping[str, Any]]:
        return {}


def _is_run(stem: str, part: str) -> bool:
    return stem.removeprefix(f"{part}-").isdecimal()
