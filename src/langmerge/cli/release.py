"""`langmerge release`: let the gate judge the last run's merged model, then serve it."""

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
from langmerge.cli.diff import show_assessment


def release(
    message: Annotated[str, typer.Option("--message", "-m", help="Why, for the history.")] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Release what the gate refuses; that is recorded.")
    ] = False,
    track: TrackOption = None,
    project: ProjectOption = DEFAULT_PROJECT,
) -> None:
    """Release the merged model unless a language became worse; `released/TASK` then leads to it."""
    from langmerge.tracking.publishing import publishing
    from langmerge.upkeep.release import assess
    from langmerge.upkeep.release import release as release_assessed
    from langmerge.upkeep.serving import RELEASED_FOLDER
    from langmerge.workspace import open_workspace

    workspace = open_workspace(project)
    found = assess(workspace)
    show_assessment(found)
    publish = publishing(workspace.project, track, show_warnings)
    made = release_assessed(workspace, found, message, force)
    publish(made)
    place = workspace.project.folder / RELEASED_FOLDER
    if found.is_released:
        out.print(Text(f"Nothing to release: {made.name} is this very model, in {place}."))
    else:
        forced = ", though the gate refuses it" if made.forced else ""
        out.print(Text(f"Released {made.name}{forced}: {place}."))
