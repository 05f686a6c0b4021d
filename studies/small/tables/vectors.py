"""Language vectors: how far languages' changes go the same way, by what they start from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from forms import VECTORS
from results import Raw

from tables.common import beside, models_of, of_seed, table


def vectors(raw: Raw) -> str:
    """Return cosines and signs of the first seed's adapters, and what their merge is worth."""
    lines = []
    for task in raw.tasks:
        seed = raw.seeds(task)[0]
        for init, of in raw.record(task, VECTORS, seed)["facts"].items():
            cosines, agreement = _pairs(of["cosines"]), _pairs(of["agreement"])
            first = of_seed(models_of(raw, task, init), seed)
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
