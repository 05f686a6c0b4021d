"""Small real projects for tests: a tiny random base, two languages, one task of each type."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

LANGUAGES = ("de", "en")
LABELS = ("good", "bad")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def rows(task: str, language: str, split: str, count: int) -> list[dict[str, Any]]:
    """Return made-up rows of a task; texts differ between languages and splits."""
    found = []
    for number in range(count):
        row: dict[str, Any] = {"id": f"{language}-{split}-{number}"}
        text = f"{language} {split} thing {number}"
        if task == "classification":
            row |= {"text": text, "label": LABELS[number % 2]}
        elif task == "multiple_choice":
            row |= {"question": text, "choices": ["one", "two", "six"], "answer": number % 3}
        else:
            row |= {"text": text, "summary": f"thing {number}"}
        found.append(row)
    return found


TASKS: Mapping[str, Mapping[str, Any]] = {
    "classification": {"type": "classification", "labels": list(LABELS)},
    "multiple_choice": {"type": "multiple_choice"},
    "generation": {"type": "generation", "max_new_tokens": 6},
}


def make_project(
    folder: Path,
    base: Path,
    tasks: Iterable[str] = ("classification",),
    languages: Iterable[str] = LANGUAGES,
    **sections: Any,
) -> Path:
    """Write a project with its data and return its file."""
    for task in tasks:
        for language in languages:
            for split, count in (("train", 6), ("dev", 4), ("test", 4)):
                path = folder / "data" / task / language / f"{split}.jsonl"
                write_rows(path, rows(task, language, split, count))
    content = {
        "base": str(base),
        "languages": list(languages),
        "tasks": {
            task: {**TASKS[task], "data": f"data/{task}/{{language}}/{{split}}.jsonl"}
            for task in tasks
        },
        "adapter": {"r": 2, "lora_alpha": 4},
        "train": {
            "num_train_epochs": 1,
            "per_device_train_batch_size": 2,
            "learning_rate": 0.01,
            "max_length": 64,
        },
        "evaluate": {"resamples": 100},
        **sections,
    }
    path = folder / "langmerge.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def add_routed(results: dict[str, Any]) -> None:
    """Add to results the scores of routing that identifies every row's language."""
    own = [score for score in results["scores"] if score["model"] == "individual"]
    for score in own:
        routing = {
            "languages": {score["language"]: score["n"]},
            "adapter_bytes": 2_500_000,
            "switch_seconds": 0.03,
            "identify_seconds": 0.001,
            "identifier": "lingua 2",
        }
        results["scores"].append({**score, "model": "routed", "routing": routing})
