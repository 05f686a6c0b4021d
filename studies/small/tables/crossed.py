"""Over languages, over tasks, and over both."""

from __future__ import annotations

from intervals import draw
from results import Raw

from tables.common import difference_of, table

_MERGES = ("over languages", "over tasks", "over both")


def crossed(raw: Raw) -> str:
    """Return merges of the same adapters over languages, over tasks, and over both."""
    lines, differences = [], []
    for task in raw.tasks:
        for seed in raw.seeds(task, "crossed")[:1]:
            record = raw.record(task, "crossed", seed)
            languages = record["facts"]["languages"]
            # Over tasks there is a merge for each language, asked in it alone.
            answers = {
                name: {
                    code: record["test"][model][code]
                    for code in languages
                    for model in (name, f"{name}: {code}")
                    if code in record["test"].get(model, {})
                }
                for name in ("own", *_MERGES)
            }
            if any(of.keys() != set(languages) for of in answers.values()):
                continue
            models = {
                name: {seed: {code: raw.sample(task, code, of[code]) for code in languages}}
                for name, of in answers.items()
            }
            for code in languages:
                values = [of[seed][code][0].value for of in models.values()]
                lines.append([task, code, *(f"{value:.1f}" for value in values)])
            drawn = draw(models)
            differences.append([task, *(difference_of(drawn, name, "own") for name in _MERGES)])
    if not lines:
        return ""
    scores = table(["task", "language", "own adapter", *_MERGES], lines)
    minus_own = table(["task", *_MERGES], differences)
    told = "Minus the own adapters, mean of the languages (95%)"
    return f"{scores}\n\n{told}:\n\n{minus_own}"
