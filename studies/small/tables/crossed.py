"""Over languages, over tasks, and over both."""

from __future__ import annotations

from results import Raw

from tables.common import table


def crossed(raw: Raw) -> str:
    """Return merges of the same adapters over languages, over tasks, and over both."""
    lines = []
    for task in raw.tasks:
        for seed in raw.seeds(task, "crossed")[:1]:
            record = raw.record(task, "crossed", seed)
            for code in record["facts"]["languages"]:
                models = ("own", "over languages", f"over tasks: {code}", "over both")
                answers = [record["test"].get(model, {}) for model in models]
                if all(code in of for of in answers):
                    values = [raw.value(task, code, of[code]) for of in answers]
                    lines.append([task, code, *(f"{value:.1f}" for value in values)])
    head = ["task", "language", "own adapter", "over languages", "over tasks", "over both"]
    return table(head, lines) if lines else ""
