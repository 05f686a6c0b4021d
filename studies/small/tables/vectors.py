"""Language vectors: how far languages' changes go the same way, by what they start from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from results import Raw

from tables.common import beside, models_of, table


def vectors(raw: Raw) -> str:
    """Return cosines and signs of the first seed's adapters, and what their merge is worth."""
    lines = []
    for task in raw.tasks:
        for init, of in raw.record(task, "vectors", 0)["facts"].items():
            cosines, agreement = _pairs(of["cosines"]), _pairs(of["agreement"])
            first = {
                name: {seed: run for seed, run in runs.items() if seed == 0}
                for name, runs in models_of(raw, task, init).items()
            }
            lines.append(
                [
                    task,
                    init,
                    f"{np.mean(cosines):.2f} ({min(cosines):.2f} to {max(cosines):.2f})",
                    f"{np.mean(agreement):.0%}",
                    f"{of['conflict']:.0%}",
                    f"{of['conflict_by_chance']:.0%}",
                    beside(first, "merged:ties-1", "individual"),
                ]
            )
    head = [
        "task", "init", "cosine of two languages (range)", "equal signs", "entries in conflict",
        "by chance", "TIES minus the individual adapters (95%)",
    ]  # fmt: skip
    return table(head, lines) if lines else ""


def _pairs(matrix: Sequence[Sequence[float]]) -> list[float]:
    """Return a symmetric matrix' entries above its diagonal."""
    return [x for i, row in enumerate(matrix) for x in row[i + 1 :]]
