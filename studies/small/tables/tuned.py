"""The combined model, searched, and merges of adapters trained by what was found."""

from __future__ import annotations

from itertools import product

import numpy as np
from forms import HALF, HALF_SHARE
from intervals import Value, mean_of
from results import Raw

from tables.common import MARGIN, beside, drawn_alike, models_of, points, table, verdict_on

_TRAINED = {
    "tuned": "by the setting",
    HALF: f"gently, ancestor of {HALF_SHARE:.0%}",
}


def tuned(raw: Raw) -> str:
    """Return the combined model's dev scores with other settings, and what came of the best."""
    lines, names = [], []
    for task in raw.tasks:
        record = raw.record(task, raw.first, raw.seeds(task)[0])
        trials = {
            model.removeprefix("combined:"): float(np.mean([*scores.values()]))
            for model, scores in record["dev"].items()
            if model.startswith("combined:")
        }
        if "tuned" in record["facts"]:
            names = names or [*trials]
            cells = [f"{trials[name]:.1f}" if name in trials else "" for name in names]
            lines.append([task, *cells, record["facts"]["tuned"]])
    if not lines:
        return ""
    by_setting = table(["task", *names, "chosen"], lines)
    return "\n\n".join(part for part in (by_setting, _merged_by_the_best(raw)) if part)


def _merged_by_the_best(raw: Raw) -> str:
    """Return merges of adapters trained by the combined model's best setting, against it."""
    lines = []
    differences: dict[str, list[Value]] = {variant: [] for variant in _TRAINED}
    for task, variant in product(raw.tasks, _TRAINED):
        if not (seeds := raw.seeds(task, variant)):
            continue
        ours, facts = models_of(raw, task, variant), raw.record(task, variant, seeds[0])["facts"]
        theirs = models_of(raw, task).get("combined-tuned", {})
        name = f"merged:{facts.get('chosen')}"
        drawn = drawn_alike({name: ours.get(name, {}), "tuned": theirs})
        if not drawn:
            continue
        difference = drawn[name].mean.minus(drawn["tuned"].mean)
        differences[variant].append(difference)
        individual = drawn_alike({"individual": ours.get("individual", {})})
        lines.append(
            [
                task,
                _TRAINED[variant],
                str(len(ours[name].keys() & theirs.keys())),
                f"{individual['individual'].mean.observed:.1f}" if individual else "",
                f"`{facts['chosen']}`",
                f"{drawn[name].mean.observed:.1f}",
                f"{drawn['tuned'].mean.observed:.1f}",
                points(difference),
                verdict_on(difference),
                beside(ours, name, "ancestor"),
            ]
        )
    if not lines:
        return ""
    for variant, of_tasks in differences.items():
        if len(of_tasks) == len(raw.tasks) > 1:
            over = mean_of(of_tasks)
            told = [points(over), verdict_on(over), ""]
            lines.append(["mean of the tasks", _TRAINED[variant], *[""] * 5, *told])
    head = [
        "task", "adapters", "seeds", "individual", "recipe", "merged", "combined, tuned",
        "difference (95%)", f"one-sided bound; above {MARGIN:g}?",
        "minus its ancestor alone (95%)",
    ]  # fmt: skip
    return f"Adapters trained by the chosen setting, too:\n\n{table(head, lines)}"
