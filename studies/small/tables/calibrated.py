"""Merges whose weights were learned on dev rows."""

from __future__ import annotations

from typing import Any

from intervals import draw
from results import Raw

from tables.common import MARGIN, against, chosen_of, dev_mean, minus, models_of, table, verdict_on

CALIBRATED = "merged:calibrated"


LEARNED = (CALIBRATED, f"{CALIBRATED}-bands", "aligned")
"""What has a table of its own: dev rows were what it learned from."""


def calibrated(raw: Raw) -> str:
    """Return merges whose weights were learned on dev rows, and the short training on them."""
    lines = []
    for task in raw.tasks:
        models, chosen = models_of(raw, task), f"merged:{chosen_of(raw, task).get('mean')}"
        ours = models.get(CALIBRATED)
        if ours and chosen in models and "combined" in models:
            seeds, mean = len(ours), draw({CALIBRATED: ours})[CALIBRATED].mean.observed
            lines.append(
                [
                    task, str(seeds),
                    f"{dev_mean(raw, task, CALIBRATED, chosen):.1f} / "
                    f"{dev_mean(raw, task, chosen, CALIBRATED):.1f}",
                    f"{mean:.1f}",
                    against(raw, task, CALIBRATED, chosen),
                    against(raw, task, CALIBRATED, "combined"),
                    verdict_on(minus(raw, task, CALIBRATED, "combined")),
                    against(raw, task, CALIBRATED, "combined-tuned"),
                    against(raw, task, f"{CALIBRATED}-bands", CALIBRATED),
                    against(raw, task, "aligned", CALIBRATED),
                ]
            )  # fmt: skip
    head = [
        "task", "seeds", "dev: calibrated / chosen", "calibrated", "minus chosen (95%)",
        "minus combined (95%)", f"one-sided bound; above {MARGIN:g}?",
        "minus combined tuned (95%)", "three bands minus one (95%), first seed",
        "aligned minus calibrated (95%), first seed",
    ]  # fmt: skip
    return table(head, lines) if lines else ""


def without_learned(models: dict[str, Any]) -> dict[str, Any]:
    """Leave out merges that learned from dev rows, which not all seeds may have."""
    return {name: runs for name, runs in models.items() if name not in LEARNED}
