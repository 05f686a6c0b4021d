"""The figures of docs/findings.md, as SVG that is the same whenever it is drawn again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt
import numpy as np
from intervals import Value, draw
from results import Raw
from tables.calibrated import without_learned
from tables.common import MARGIN, models_of
from tables.curves import CURVE_MODELS, curve_records
from tables.from_combined import differences_from

Drawn = dict[str, list[tuple[Path, str]]]


def draw_all(raw: Raw, folder: Path) -> Drawn:
    """Draw what there are results for; returns paths and descriptions by block."""
    mpl.rcParams.update({"svg.hashsalt": "langmerge", "svg.fonttype": "none", "font.size": 9})
    folder.mkdir(parents=True, exist_ok=True)
    found: Drawn = {}
    figures = {
        "verdict": _differences,
        "from-combined": _from_combined,
        "curves": _curves,
    }
    for name, figure in figures.items():
        if (drawn := figure(raw)) is not None:
            alt, shape = drawn
            path = folder / f"findings-{name}.svg"
            shape.savefig(path, metadata={"Date": None})
            plt.close(shape)
            found[name] = [(path, alt)]
    return found


def _differences(raw: Raw) -> tuple[str, Any] | None:
    """Merged minus combined with its interval, for every recipe on test."""
    shown = [task for task in raw.tasks if "combined" in models_of(raw, task)]
    if not shown:
        return None
    figure, axes = _beside_each_other(shown, 4)
    for task, axis in zip(shown, axes, strict=True):
        drawn = draw(without_learned(models_of(raw, task)))
        names = [n for n in drawn if n.startswith("merged:")]
        names.sort(key=lambda name: drawn[name].mean.observed)
        found = {
            name.removeprefix("merged:"): drawn[name].mean.minus(drawn["combined"].mean)
            for name in names
        }
        _points(axis, task, found)
    return "Merged minus combined on test, with 95% intervals; dashed: -1.5 points", figure


def _from_combined(raw: Raw) -> tuple[str, Any] | None:
    """The merge of what went on from the combined model, minus that and each alternative."""
    found = {task: differences_from(raw, task) for task in raw.tasks}
    shown = [task for task, differences in found.items() if differences]
    if not shown:
        return None
    figure, axes = _beside_each_other(shown, 2.2)
    for task, axis in zip(shown, axes, strict=True):
        _points(axis, task, dict(reversed(found[task].items())))
    told = "The merge from the combined model minus other models, with 95% intervals"
    return f"{told}; dashed: -1.5 points", figure


def _beside_each_other(shown: Sequence[str], height: float) -> tuple[Any, Any]:
    figure, axes = plt.subplots(
        1, len(shown), figsize=(3.2 * len(shown), height), squeeze=False, layout="constrained"
    )
    return figure, axes[0]


def _points(axis: Any, task: str, differences: Mapping[str, Value]) -> None:
    """Draw differences with their intervals, the first at the bottom."""
    for place, difference in enumerate(differences.values()):
        found = difference.interval()
        axis.plot([found.low, found.high], [place, place], color="#4878a8")
        axis.plot(found.value, place, "o", color="#4878a8", markersize=4)
    axis.axvline(0, color="#888888", linewidth=0.8)
    axis.axvline(MARGIN, color="#b04040", linewidth=0.8, linestyle="--")
    axis.set_yticks(range(len(differences)), list(differences))
    axis.set_ylim(-0.6, len(differences) - 0.4)
    axis.set_title(task)
    axis.set_xlabel("points")


def _curves(raw: Raw) -> tuple[str, Any] | None:
    """Scores of a low-resource language by its rows."""
    records = curve_records(raw)
    if not records:
        return None
    languages = list(dict.fromkeys(record["facts"]["language"] for record in records))
    figure, axes = plt.subplots(
        1,
        len(languages),
        figsize=(3.4 * len(languages) + 1.8, 3.2),
        squeeze=False,
        layout="constrained",
    )
    for language, axis in zip(languages, axes[0], strict=True):
        own = [record for record in records if record["facts"]["language"] == language]
        for model, label in CURVE_MODELS.items():
            points = [
                (r["facts"]["count"], raw.value("reasoning", language, r["test"][model][language]))
                for r in own
                if language in r["test"].get(model, {})
            ]
            if points:
                axis.plot(*np.array(points).T, "o-", markersize=3, linewidth=1, label=label)
        axis.set_xscale("log")
        counts = sorted({record["facts"]["count"] for record in own})
        axis.set_xticks(counts, [f"{count:,}" for count in counts])
        axis.set_xticks([], minor=True)
        axis.set_title(language)
        axis.set_xlabel("training rows")
    axes[0][0].set_ylabel("accuracy")
    figure.legend(*axes[0][0].get_legend_handles_labels(), fontsize=7, loc="outside right center")
    return "Accuracy of a low-resource language by its training rows", figure
