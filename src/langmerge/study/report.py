"""A study written up from the records of its cells, without models or data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from langmerge.files import write_atomically
from langmerge.plan.graph import COMBINED, merged
from langmerge.results import Average, Comparison, Results
from langmerge.tables import METRIC_NAMES, TextTable, interval, routing_notes

REPORT_FILE = "report.md"


def write_report(folder: Path) -> Path:
    """Write `report.md` from the records in `FOLDER/cells`; return the file."""
    path = folder / REPORT_FILE
    write_atomically(path, "\n\n".join(_parts(folder)) + "\n")
    return path


def records(folder: Path) -> list[dict[str, Any]]:
    """Return the records of all groups, in the order of their names."""
    found = []
    for path in sorted((folder / "cells").glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if "results" in content:
            found.append(content)
    return found


def _parts(folder: Path) -> Iterator[str]:
    found = records(folder)
    yield f"# {folder.name}"
    yield (
        f"{len(found)} groups (a model, a variant, a set of languages and a task), "
        f"{sum(len(record['seeds']) for record in found)} cells. Made by `langmerge study` from "
        "the files in `cells/`. Scores are on test; intervals resample groups of rows, jointly "
        "over languages. Recipes named `sweep` were chosen on dev."
    )
    for table in tables(found):
        yield table.to_markdown()
    for record in found:
        yield _details(record).to_markdown()
    for path in sorted((folder / "cells").glob("cross--*.json")):
        yield _crossing(json.loads(path.read_text(encoding="utf-8"))).to_markdown()


def tables(found: Sequence[Mapping[str, Any]]) -> Iterator[TextTable]:
    """Yield the tables over all groups."""
    if found:
        yield overview(found)
        yield differences(found)
    # Records of an older version have a recipe, but not how it did on dev.
    if chosen := [record for record in found if record.get("choice")]:
        yield choices(chosen)


def overview(found: Sequence[Mapping[str, Any]]) -> TextTable:
    """Return the means of every group's models: groups down, models across."""
    tests = [_tests(record) for record in found]
    models = list(dict.fromkeys(average.model for of_group in tests for average in of_group))
    rows = []
    for record, of_group in zip(found, tests, strict=True):
        values = {average.model: average.average.value for average in of_group}
        cells = (f"{values[m]:.1f}" if m in values else "-" for m in models)
        rows.append((_name(record), str(len(record["seeds"])), *cells))
    return TextTable("Means over languages and seeds", ("group", "seeds", *models), tuple(rows), ())


def differences(found: Sequence[Mapping[str, Any]], against: str = COMBINED) -> TextTable:
    """Return every merge minus another model, with interval, p-value and retention."""
    rows = []
    for record in found:
        for each in Results.model_validate(record["results"]).comparisons:
            if each.against == against:
                rows.append((_name(record), each.model, *_compared(each)))
    return TextTable(
        f"Merged minus {against}",
        ("group", "merge", "difference", "95%", "p (Holm)", "kept", "by seed"),
        tuple(rows),
        ("Paired on the same rows. p: adjusted over the recipes of a group.",),
    )


def choices(found: Sequence[Mapping[str, Any]]) -> TextTable:
    """Return how the recipes that groups chose on dev did there, and on test."""
    rows = []
    for record in found:
        choice = record["choice"]
        results = Results.model_validate(record["results"])
        metric = results.primary_metrics[record["about"]["task"]]
        tests = [
            score.metrics[metric].value
            for score in results.scores
            if (score.model, score.seed, score.split)
            == (merged(choice["recipe"]), choice["seed"], "test")
        ]
        dev, test = choice["mean"], fmean(tests) if tests else None
        cells = ("-", "-") if test is None else (f"{test:.1f}", f"{dev - test:+.1f}")
        rows.append((_name(record), choice["label"], f"{dev:.1f}", *cells))
    return TextTable(
        "Chosen on dev",
        ("group", "recipe", "dev", "test", "dev - test"),
        tuple(rows),
        ("Means over languages, by the adapters of the seed with which the recipe was chosen.",),
    )


def _compared(each: Comparison) -> tuple[str, ...]:
    p_value = each.p_value if each.p_holm is None else each.p_holm
    bounds = "-" if each.low is None else f"{each.low:+.1f} to {each.high:+.1f}"
    kept = "-" if each.retention is None else f"{each.retention.value:.1f}%"
    spread = each.seed_spread
    by_seed = "-" if spread is None else ", ".join(f"{v:+.1f}" for v in spread.values.values())
    return (f"{each.difference:+.1f}", bounds, f"{p_value:.3f}", kept, by_seed)


def _details(record: Mapping[str, Any]) -> TextTable:
    results = Results.model_validate(record["results"])
    task = record["about"]["task"]
    metric = results.primary_metrics[task]
    rows = []
    for average in _tests(record):
        cells = []
        for code in results.languages:
            values = [
                score.metrics[metric].value
                for score in results.scores
                if (score.model, score.language, score.split) == (average.model, code, "test")
            ]
            cells.append(f"{fmean(values):.1f}" if values else "-")
        mean = average.average
        rows.append((average.model, *cells, f"{mean.value:.1f}", interval(mean)))
    chosen = record.get("recipes") or {}
    notes = [f"{name}: {json.dumps(recipe)}" for name, recipe in chosen.items()]
    notes += routing_notes(results, task)
    trained = sum(job.seconds or 0 for job in results.jobs if job.kind == "train")
    notes.append(f"Seeds {', '.join(map(str, record['seeds']))}; training took {trained:.0f} s.")
    return TextTable(
        f"{_name(record)}: {METRIC_NAMES.get(metric, metric)}",
        ("model", *results.languages, "mean", f"{100 * results.confidence:g}%"),
        tuple(rows),
        tuple(notes),
    )


def _tests(record: Mapping[str, Any]) -> list[Average]:
    averages = Results.model_validate(record["results"]).averages
    tests = [average for average in averages if average.split == "test"]
    return sorted(tests, key=lambda average: average.model.startswith(merged("")))


def _crossing(record: Mapping[str, Any]) -> TextTable:
    tasks = list(next(iter(record["rows"].values()))["tasks"])
    rows = []
    for kind, row in record["rows"].items():
        value, low, high = row["mean"]
        bounds = "-" if low is None else f"{low:.1f}–{high:.1f}"
        against = row.get("minus individual")
        difference = ""
        if against is not None:
            difference = f"{against[0]:+.1f}"
            if against[1] is not None:
                difference += f" ({against[1]:+.1f} to {against[2]:+.1f}, p = {against[3]:.3f})"
        scores = (f"{row['tasks'][task]:.1f}" for task in tasks)
        rows.append((kind, *scores, f"{value:.1f}", bounds, difference))
    about = record["about"]
    return TextTable(
        f"Merging over languages or tasks: {about['model']}, {about['variant']}, "
        f"{about['languages']}",
        ("merged", *tasks, "mean", "95%", "minus individual"),
        tuple(rows),
        (f"Recipe {json.dumps(record['recipe'])}; adapters of seed {record['seed']}.",),
    )


def _name(record: Mapping[str, Any]) -> str:
    about = record["about"]
    parts = [about[key] for key in ("model", "variant", "languages", "task")]
    return " ".join(part for part in parts if part != "own")
