"""`langmerge gc`: free what the store keeps and nothing needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from langmerge.cli._console import DEFAULT_PROJECT, ProjectOption, out
from langmerge.upkeep.garbage import Garbage, collect_garbage
from langmerge.workspace import open_workspace


def gc(
    project: ProjectOption = DEFAULT_PROJECT,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would be removed.")
    ] = False,
) -> None:
    """Remove stored results that neither the lock, the plan nor a release needs."""
    workspace = open_workspace(project)
    garbage = collect_garbage(workspace, dry_run=dry_run)
    if dry_run and garbage:
        _show(garbage, project.resolve().parent)
    out.print(_summary(garbage, dry_run))
    if url := workspace.store.url:
        out.print(
            f"These are this machine's copies. {url} keeps all: other checkouts may need it; "
            "remove the folder there when the project ends.",
            soft_wrap=True,
        )


def _show(garbage: Sequence[Garbage], folder: Path) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("kind")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("what", no_wrap=True)
    table.add_column("path", no_wrap=True)
    for item in garbage:
        path = _LONG_DIGEST.sub(r"\1…", str(item.path.relative_to(folder)))
        table.add_row(item.kind, _bytes(item.size), item.about, path)
    out.print(table)


def _summary(garbage: Sequence[Garbage], dry_run: bool) -> str:
    if not garbage:
        return "Nothing to remove: the lock, the plan or a release needs all there is."
    counts = [
        f"{count} {names if count > 1 else name}"
        for name, names in _NAMES.items()
        if (count := sum(item.kind == name for item in garbage))
    ]
    size = _bytes(sum(item.size for item in garbage))
    verb = "Would free" if dry_run else "Freed"
    return f"{verb} {size}: {', '.join(counts)}."


_LONG_DIGEST = re.compile(r"([0-9a-f]{12})[0-9a-f]{52}")

_NAMES = {
    "action": "actions",
    "object": "objects",
    "work": "work folders",
    "leftover": "leftovers",
}


def _bytes(size: float) -> str:
    """Return a size in decimal units: `1.5 MB`."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
