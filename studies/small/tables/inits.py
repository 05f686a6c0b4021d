"""What adapters start from."""

from __future__ import annotations

from intervals import draw
from results import Raw

from tables.common import difference_of, models_of, of_seed, table

_COMBINED = ("combined", "combined-tuned")


def inits(raw: Raw) -> str:
    """Return what adapters start from: scores of the first seed, by initialization."""
    lines = []
    for task in raw.tasks:
        first = raw.seeds(task)[0]
        for part in dict.fromkeys((raw.first, "shared", "separate", "ancestor")):
            models = models_of(raw, task, part)
            others = models_of(raw, task)
            models |= {name: others[name] for name in _COMBINED if name in others}
            models = of_seed(models, first)
            if not models or not (picked := raw.record(task, part, first)["facts"].get("chosen")):
                continue
            drawn = draw(models)
            cells = []
            for name in (f"merged:{picked['mean']}", "merged:ties-1", "merged:mean", "ancestor"):
                value = f"{drawn[name].mean.observed:.1f}" if name in drawn else ""
                cells.append(value)
            ours = f"merged:{picked['mean']}"
            against = [difference_of(drawn, ours, combined) for combined in _COMBINED]
            lines.append([task, part, f"`{picked['mean']}`", *cells, *against])
    if not any(line[1] != raw.first for line in lines):
        return ""
    head = [
        "task", "init", "chosen on dev", "chosen", "TIES", "mean", "ancestor alone",
        "chosen minus combined (95%)", "minus combined tuned (95%)",
    ]  # fmt: skip
    return table(head, lines)
