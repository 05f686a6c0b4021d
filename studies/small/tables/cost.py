"""What training, updating and serving cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from forms import FROM_COMBINED
from results import Raw

from tables.common import first_facts, languages_of, table


def cost(raw: Raw) -> str:
    """Return the initial cost and what updates cost, against the combined model."""
    parts = []
    if lines := [line for task in raw.tasks if (line := _initial_line(raw, task))]:
        head = [
            "task", "the ancestor", "all adapters", "the longest", "combined",
            "saved with a device each", "with one device",
        ]  # fmt: skip
        parts.append(f"Initial training:\n\n{table(head, lines, right=True)}")
    if lines := [line for task in raw.tasks if (line := _from_combined_line(raw, task))]:
        head = ["task", "combined", "all adapters", "the longest", "an update's training saves"]
        told = "Training from the combined model, which is trained first"
        parts.append(f"{told}:\n\n{table(head, lines, right=True)}")
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


def _initial_line(raw: Raw, task: str) -> list[str]:
    """Return what all of a task's first training took, against the combined model's; or nothing."""
    own, others = _trainings(raw, task, raw.first)
    if not own or "combined" not in others:
        return []
    combined, before = others["combined"], others.get("ancestor", 0.0)
    saved = [f"{1 - (before + seconds) / combined:.0%}" for seconds in (max(own), sum(own))]
    cells = [f"{seconds:.0f} s" if seconds else "" for seconds in (before, sum(own), max(own))]
    return [task, *cells, f"{combined:.0f} s", *saved]


def _from_combined_line(raw: Raw, task: str) -> list[str]:
    """Return what the adapters took that go on from the combined model, against it; or nothing."""
    own, others = _trainings(raw, task, FROM_COMBINED)
    if not own or "ancestor" not in others:
        return []
    combined = others["ancestor"]
    cells = [f"{seconds:.0f} s" for seconds in (combined, sum(own), max(own))]
    return [task, *cells, f"{1 - max(own) / combined:.0%}"]


def _trainings(raw: Raw, task: str, part: str) -> tuple[list[float], dict[str, float]]:
    """Return the seconds of a part's first seed: of each language's adapter, and of the others."""
    costs = first_facts(raw, task, part).get("costs", {})
    seconds = {name: _seconds(cost) for name, cost in costs.items() if cost}
    own = [seconds.pop(code) for code in languages_of(raw, task) if code in seconds]
    return own, seconds


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
