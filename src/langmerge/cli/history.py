"""`langmerge history`: all releases, the newest first."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from rich.table import Table
from rich.text import Text

from langmerge.cli._console import DEFAULT_PROJECT, JsonOption, ProjectOption, out, show_json


def history(project: ProjectOption = DEFAULT_PROJECT, json: JsonOption = False) -> None:
    """Show the releases with their scores; the current one is marked."""
    from langmerge.project import load_project
    from langmerge.upkeep.releases import Releases
    from langmerge.workspace import open_store

    releases = Releases(open_store(load_project(project)))
    current = releases.current()
    found = [{**made.to_json(), "current": made == current} for made in reversed(releases.all())]
    if json:
        show_json(found)
        return
    if not found:
        out.print("There is no release yet; `langmerge release` makes the first.")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "release", "created", "mean on test", "gate", "message"):
        table.add_column(column)
    for made in found:
        table.add_row(
            "*" if made["current"] else "",
            made["name"],
            made["created"],
            _means(made["scores"]),
            "forced" if made["forced"] else "passed",
            Text(made["message"]),
        )
    out.print(table)


def _means(scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Return every task's mean over its languages: `sentiment 71.2, topic 80.4`."""
    return ", ".join(
        f"{task} {fmean(splits['test'] for splits in languages.values()):.1f}"
        for task, languages in scores.items()
    )
