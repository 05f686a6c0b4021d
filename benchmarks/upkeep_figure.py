"""Draw what `upkeep.py` measured, and print its table.

python benchmarks/upkeep_figure.py benchmarks/results/upkeep.json docs/images/upkeep.svg
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from langmerge.plan.graph import COMBINED, COMBINED_CONTINUED

MERGED = "merged:ties"
STYLES = {  # colours told apart by everybody, and by their marks too
    MERGED: ("#0072B2", "o", "one adapter retrained, merged"),
    COMBINED: ("#D55E00", "s", "combined, from scratch"),
    COMBINED_CONTINUED: ("#009E73", "^", "combined, continued"),
}
Row = dict[str, Any]


def main() -> None:
    """Write the figure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("figure", type=Path)
    options = parser.parse_args()
    rows = json.loads(options.results.read_text(encoding="utf-8"))["rows"]
    measured = [row for row in rows if row["mode"] == "scratch"]
    draw(measured, options.figure)
    for line in table(measured):
        print(line)


def seconds(row: Row, model: str) -> float:
    """Return what making a model and evaluating it took in an update."""
    parts = row["seconds"]
    if model == MERGED:
        return float(row["update_seconds"])
    return float(parts.get(f"train {model}", 0) + parts.get(f"evaluate {model}", 0))


def draw(rows: list[Row], path: Path) -> None:
    """Draw cumulated time and quality over the updates."""
    updates = list(range(len(rows)))
    figure, (time, quality) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for model, (colour, mark, label) in STYLES.items():
        spent = list(itertools.accumulate(seconds(row, model) for row in rows[1:]))
        time.plot(updates, [0, *(s / 60 for s in spent)], color=colour, marker=mark, label=label)
        scores = [row["scores"][model] for row in rows]
        values = [score[0] for score in scores]
        quality.plot(updates, values, color=colour, marker=mark, label=label)
        quality.fill_between(
            updates, [s[1] for s in scores], [s[2] for s in scores], color=colour, alpha=0.12
        )
    time.set(title="Device time of all updates so far, in minutes", xlabel="update")
    quality.set(title="Mean macro-F1 on test, with 95% intervals", xlabel="update")
    quality.axvline(6, color="grey", linestyle=":", linewidth=1)
    quality.annotate("a language added", (6, 1), xycoords=("data", "axes fraction"),
                     xytext=(4, -12), textcoords="offset points", fontsize=8)  # fmt: skip
    time.legend(frameon=False)
    for axes in (time, quality):
        axes.set_xticks(updates)
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def table(rows: list[Row]) -> list[str]:
    """Return the measurements as a Markdown table."""
    lines = [
        "| update | train one | merge | evaluate | all-in | combined anew | saved | ceiling "
        "| continued | macro-F1: merged | combined | continued |",
        "|---|" + "---:|" * 11,
    ]
    for row in rows[1:]:
        parts = row["seconds"]
        numbers = [
            parts["train adapters"], parts["merge"], parts[f"evaluate {MERGED}"],
            seconds(row, MERGED), seconds(row, COMBINED),
        ]  # fmt: skip
        shares = [row[f"saving against {COMBINED}"], row["ceiling"]]
        scores = [row["scores"][model][0] for model in STYLES]
        lines.append(
            f"| {row['update']} | "
            + " | ".join(f"{number:.1f} s" for number in numbers)
            + " | "
            + " | ".join(f"{share:.0%}" for share in shares)
            + f" | {seconds(row, COMBINED_CONTINUED):.1f} s | "
            + " | ".join(f"{score:.1f}" for score in scores)
            + " |"
        )
    whole = {model: sum(seconds(row, model) for row in rows[1:]) for model in STYLES}
    lines.append("")
    lines.append(
        f"All updates: {whole[MERGED]:.0f} s against {whole[COMBINED]:.0f} s from scratch "
        f"({1 - whole[MERGED] / whole[COMBINED]:.0%} saved) and {whole[COMBINED_CONTINUED]:.0f} s "
        f"continued ({1 - whole[MERGED] / whole[COMBINED_CONTINUED]:.0%} saved)."
    )
    return lines


if __name__ == "__main__":
    main()
