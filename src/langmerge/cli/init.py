"""`langmerge init`: a commented project to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from langmerge.cli._console import out
from langmerge.errors import ProjectError
from langmerge.project import PROJECT_FILE


def init(
    folder: Annotated[Path, typer.Argument(help="The folder to write into; made if missing.")],
) -> None:
    """Write a commented langmerge.yaml with sample rows, one task of each type."""
    from langmerge.quickstart.sample import write_sample_project

    if (folder / PROJECT_FILE).exists():
        raise ProjectError(
            f"{folder / PROJECT_FILE}: already there, left as it is; choose another folder"
        )
    written = write_sample_project(folder)
    out.print(f"Wrote {folder / PROJECT_FILE} and {len(written) - 1} sample data files.")
    out.print(
        "Next: put your rows in data/, set base: to a model, then "
        f"langmerge check --project {folder / PROJECT_FILE}",
        soft_wrap=True,
    )
