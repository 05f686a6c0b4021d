"""langmerge projects made from the packs: a folder each, and one store that all share."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from forms import PROMPTS, Form

from langmerge.project import PROJECT_FILE, STORE_FOLDER
from langmerge.sharing import link_store

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from packs import pack_rows, write_rows

_TYPES: dict[str, dict[str, Any]] = {
    "topic": {"type": "classification"},
    "sentiment": {"type": "classification"},
    "reasoning": {"type": "multiple_choice"},
    "summarization": {"type": "generation", "max_new_tokens": 32},
}


@dataclass(frozen=True)
class Study:
    """Where everything is: the data packs, the base model, the projects and the raw results."""

    form_name: str
    form: Form
    packs: Path
    base: Path
    work: Path
    raw: Path

    def path(self, name: str) -> Path:
        """Return where a project's file is."""
        return self.work / name / PROJECT_FILE

    def labels(self, task: str) -> list[str]:
        """Return a task's labels, the same for all of its languages; empty where it has none."""
        found: set[str] = set()
        if _TYPES[task]["type"] == "classification":
            for folder in sorted((self.packs / task).iterdir()):
                found |= {r["label"] for r in pack_rows(self.packs, task, folder.name, "train")}
        return sorted(found)

    def task_settings(self, task: str, data: str) -> dict[str, Any]:
        """Return a task's part of a project file; `data` is the folder of its rows."""
        labels = self.labels(task)
        return {
            **_TYPES[task],
            **({"labels": labels} if labels else {}),
            "prompt": PROMPTS[task],
            "data": f"{data}/{{language}}/{{split}}.jsonl",
        }

    def project(
        self,
        name: str,
        task: str,
        languages: tuple[str, ...],
        *,
        seeds: tuple[int, ...] | None = None,
        init: str = "shared",
        combined: bool = False,
        limits: dict[str, int] | None = None,
        without: tuple[str, str] | None = None,
        training: Mapping[str, Any] | None = None,
        sizes: Mapping[str, int] | None = None,
    ) -> Path:
        """Write a project with its rows and return its file.

        Args:
            name: of its folder.
            task: the task.
            languages: its languages.
            seeds: by default the form's first.
            init: what adapters start from.
            combined: whether the combined model is trained, too.
            limits: training rows by language, where fewer than the form's.
            without: a language, and the label that its training rows lack.
            training: settings in place of the form's.
            sizes: rows of a split, where others than the form's.
        """
        folder = self.path(name).parent
        folder.mkdir(parents=True, exist_ok=True)
        link_store(self.work / STORE_FOLDER, self.path(name))
        form = self.form
        data = f"data/{name if limits or without or sizes else 'all'}/{task}"
        own = {"train": form.train[task], "dev": form.dev[task], "test": form.test[task]}
        for language in languages:
            for split, size in {**own, **(sizes or {})}.items():
                rows = pack_rows(self.packs, task, language, split)
                if split == "train" and without and without[0] == language:
                    rows = [row for row in rows if row["label"] != without[1]]
                limit = (limits or {}).get(language, size) if split == "train" else size
                write_rows(self.work / data / language / f"{split}.jsonl", rows[: min(size, limit)])
        settings = {
            "base": str(self.base.resolve()),
            "languages": list(languages),
            "tasks": {task: self.task_settings(task, f"../{data}")},
            "adapter": {**self.form.adapter, **({} if init == "shared" else {"init": init})},
            "train": {**self.form.training, **(training or {})},
            "compare": ["combined"] if combined else [],
            "evaluate": {"batch_tokens": self.form.evaluation_tokens},
            "seeds": list(seeds or self.form.seeds[:1]),
        }
        path = self.path(name)
        path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        return path
