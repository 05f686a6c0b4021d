"""Few rows for one language among full ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from intervals import draw
from results import Raw

from tables.common import points, table

_WITHOUT = "merged without it"


CURVE_MODELS = {
    "individual": "own adapter",
    _WITHOUT: "TIES without it",
    "merged:equal": "TIES",
    "merged:by size": "TIES, weights by rows",
    "merged:by gain": "TIES, weights by gain",
    "merged:by norm": "TIES, weights by norm",
    "merged:protected": "TIES, protected",
    "merged:donors": "TIES with two donors",
    "merged:chosen": "chosen for the others",
    "combined": "combined",
}


def curves(raw: Raw) -> str:
    """Return scores of each low-resource language, and of the others, by its rows."""
    records = curve_records(raw)
    parts = []
    for language in dict.fromkeys(record["facts"]["language"] for record in records):
        own = [record for record in records if record["facts"]["language"] == language]
        lines = [
            [
                label,
                *(_curve_cell(raw, record, model) for record in own),
                _against_without(raw, own[-1], model, [language]),
                _against_without(raw, own[-1], model, _others(own[-1])),
            ]
            for model, label in CURVE_MODELS.items()
            if any(language in record["test"].get(model, {}) for record in own)
        ]
        counts = [f"{record['facts']['count']:,} rows" for record in own]
        most = f"with {counts[-1]} minus TIES without it (95%)"
        head = ["model", *counts, most, "likewise, the others"]
        told = f"**{language}**: its score / the mean of the others"
        parts.append(f"{told}\n\n{table(head, lines, right=True)}")
    return "\n\n".join(parts)


def curve_records(raw: Raw) -> list[dict[str, Any]]:
    """Return the records of the learning curves, by language and rows."""
    paths = (raw.folder / "reasoning").glob("curve-*.json")
    records = [json.loads(path.read_text("utf-8")) for path in paths]
    return sorted(
        (r for r in records if r["facts"]),
        key=lambda r: (r["facts"]["language"], r["facts"]["count"]),
    )


def _curve_cell(raw: Raw, record: Mapping[str, Any], model: str) -> str:
    language, answers = record["facts"]["language"], record["test"].get(model, {})
    if language not in answers:
        return ""
    values = {code: raw.value("reasoning", code, of) for code, of in answers.items()}
    own = f"{values.pop(language):.1f}"
    return f"{own} / {np.mean([*values.values()]):.1f}" if values else own


def _others(record: Mapping[str, Any]) -> list[str]:
    return [c for c in record["test"][_WITHOUT] if c != record["facts"]["language"]]


def _against_without(
    raw: Raw, record: Mapping[str, Any], model: str, languages: Sequence[str]
) -> str:
    """Compare a model with the merge that lacks the low-resource language."""
    answers = {name: record["test"].get(name, {}) for name in (model, _WITHOUT)}
    if model == _WITHOUT or any(c not in of for of in answers.values() for c in languages):
        return ""
    drawn = draw(
        {
            name: {0: {code: raw.sample("reasoning", code, of[code]) for code in languages}}
            for name, of in answers.items()
        }
    )
    return points(drawn[model].mean.minus(drawn[_WITHOUT].mean))
