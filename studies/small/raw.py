"""Raw results: small JSON files that hold every test answer, and what is needed to measure them.

`rows/TASK-LANGUAGE-COUNT.json` has the groups and right answers of that many test rows;
`PART/NAME.json` has models' answers to them, dev scores, recipes and costs.
"""

from __future__ import annotations

import json
import os
import platform
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any


class Record:
    """One raw file, written anew after every addition, whole or not at all."""

    def __init__(self, path: Path) -> None:
        """Read what an earlier part of the run has written."""
        self.path = path
        self.content: dict[str, Any] = {"dev": {}, "test": {}, "recipes": {}, "facts": {}}
        if path.exists():
            self.content = json.loads(path.read_text("utf-8"))

    def has(self, split: str, model: str, language: str) -> bool:
        """Whether a model's answers in a language are there."""
        return language in self.content[split].get(model, {})

    def put(self, split: str, model: str, language: str, value: Any) -> None:
        """Keep a model's dev score, or its answers to the test rows."""
        self.content[split].setdefault(model, {})[language] = value
        self.write()

    def note(self, **facts: Any) -> None:
        """Keep facts of another kind."""
        self.content["facts"].update(facts)
        self.write()

    def write(self) -> None:
        """Write the file."""
        self.content["machine"] = machine()
        write_json(self.path, self.content)


def rows_path(folder: Path, task: str, language: str, count: int) -> Path:
    """Return where a form's raw results have the groups and right answers of test rows."""
    return folder / "rows" / f"{task}-{language}-{count}.json"


def write_json(path: Path, content: Any) -> None:
    """Write a file under another name, then put it in place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(path)


def machine() -> dict[str, Any]:
    """Return what the results were made with."""
    import torch

    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("langmerge", "torch", "transformers")},
    }
