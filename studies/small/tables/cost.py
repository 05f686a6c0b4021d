"""What training, updating and serving cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from forms import FROM_COMBINED
from results import Raw

from tables.common import languages_of, table


def cost(raw: Raw) -> str:
    """Return the initial cost and what updates cost, against the combined model."""
    parts = []
    head = ["task", "all adapters", "the longest", "combined"]
    if lines := _training_lines(raw, raw.first, "combined"):
        saved = [*head, "saved with a device each"]
        parts.append(f"Initial training:\n\n{table(saved, lines, right=True)}")
    if lines := _training_lines(raw, FROM_COMBINED, "ancestor"):
        saved = [*head, "an update's training saves"]
        told = "Training from the combined model, which is trained first"
        parts.append(f"{told}:\n\n{table(saved, lines, right=True)}")
    if lines := [line for task in raw.tasks if (line := _serving_line(raw, task))]:
        head = ["task", "adapters in memory", "switching", "identifying a text", "right"]
        told = "Serving routed adapters instead (a merge needs none of it)"
        parts.append(f"{told}:\n\n{table(head, lines, right=True)}")
    for name, told in (("upkeep", ""), (f"upkeep-{FROM_COMBINED}", ", from the combined model")):
        if lines := _update_lines(raw, name):
            head = ["update", "mode", "merged: all-in", "saves", "ceiling", "merged", "combined",
                    "continued"]  # fmt: skip
            parts.append(f"Updates (topic{told}):\n\n{table(head, lines, right=True)}")
    return "\n\n".join(parts)


def _training_lines(raw: Raw, part: str, combined: str) -> list[list[str]]:
    """Return what all adapters of a part took with its first seed, against a combined model."""
    lines = []
    for task in raw.tasks:
        seeds = raw.seeds(task, part)
        costs = raw.record(task, part, seeds[0])["facts"].get("costs", {}) if seeds else {}
        own = [_seconds(costs[code]) for code in languages_of(raw, task) if costs.get(code)]
        if own and costs.get(combined):
            whole = _seconds(costs[combined])
            lines.append(
                [task, *(f"{s:.0f} s" for s in (sum(own), max(own), whole)),
                 f"{1 - max(own) / whole:.0%}"]
            )  # fmt: skip
    return lines


def _serving_line(raw: Raw, task: str) -> list[str]:
    """Return what routing by language takes, and how many rows' language is found; or nothing."""
    routing = raw.record(task, raw.first, raw.seeds(task)[0])["facts"].get("routing", {})
    languages = languages_of(raw, task)
    if not languages or not routing.keys() >= set(languages):
        return []
    taken = [routing[code] for code in languages]
    rows = sum(sum(of["languages"].values()) for of in taken)
    right = sum(routing[code]["languages"].get(code, 0) for code in languages)
    return [
        task,
        f"{len(languages)}, {max(of['adapter_bytes'] for of in taken) / 1e6:.1f} MB",
        f"{1000 * np.mean([of['switch_seconds'] for of in taken]):.0f} ms",
        f"{1000 * np.mean([of['identify_seconds'] for of in taken]):.1f} ms",
        f"{right / rows:.0%}",
    ]


def _seconds(cost: Mapping[str, Any]) -> float:
    """Return the time of a training over all parts of a run, without loading the base."""
    return float(cost.get("training_seconds", cost["seconds"]))


def _update_lines(raw: Raw, name: str) -> list[list[str]]:
    """Return what the updates of a raw file cost and came to; or nothing."""
    path = raw.folder / f"{name}.json"
    rows = json.loads(path.read_text("utf-8"))["rows"] if path.exists() else []
    return [_update_line(row) for row in rows if row["update"] != "beginning"]


def _update_line(row: Mapping[str, Any]) -> list[str]:
    saving = row.get("saving against combined")
    of, continued = row["scores"], "combined-continued"
    merged = next((values for model, values in of.items() if model.startswith("merged:")), None)
    return [
        row["update"],
        row["mode"],
        f"{row['update_seconds']:.0f} s",
        "" if saving is None else f"{saving:.0%}",
        f"{row['ceiling']:.0%}" if "ceiling" in row else "",
        "" if merged is None else f"{merged[0]:.1f}",
        f"{of['combined'][0]:.1f}" if "combined" in of else "",
        f"{of[continued][0]:.1f}" if continued in of else "",
    ]
