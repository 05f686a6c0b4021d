"""`langmerge rollback`: serve an earlier release again."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from langmerge.cli._console import (
    DEFAULT_PROJECT,
    ProjectOption,
    TrackOption,
    out,
    show_warnings,
)


def rollback(
    release: Annotated[
        str | None, typer.Argument(help="Its name or number; the one before the current.")
    ] = None,
    track: TrackOption = None,
    project: ProjectOption = DEFAULT_PROJECT,
) -> None:
    """Serve an earlier release again, if everything it needs is still whole; nothing is undone."""
    from langmerge.project import load_project
    from langmerge.tracking.publishing import publishing
    from langmerge.upkeep.release import rollback as roll_back
    from langmerge.workspace import open_store

    loaded = load_project(project)
    publish = publishing(loaded, track, show_warnings)
    found = roll_back(loaded, open_store(loaded), release)
    publish(found)
    out.print(Text(f"Release {found.name} is served again; its model answers as it did."))
