"""What the verbs share: consoles, options, JSON output and progress."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from langmerge.project import PROJECT_FILE

_PIPE_WIDTH = 1000
"""A pipe or file has no edge at which a table would have to be cut."""

out = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
"""Results go to standard output; progress and errors to standard error."""

err = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _PIPE_WIDTH)

ProjectOption = Annotated[
    Path, typer.Option("--project", help="The project file.", show_default=PROJECT_FILE)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

TrackOption = Annotated[
    str | None,
    typer.Option(
        "--track",
        envvar="LANGMERGE_TRACK",
        help="Record this in mlflow, wandb or trackio, or in none.",
        show_default="tracking: of the project file",
    ),
]

DEFAULT_PROJECT = Path(PROJECT_FILE)


def show_error(message: str, page: str | None = None) -> None:
    """Print an error and where to read on; text from files is shown as it is, never as markup."""
    err.print(Text("error: ", style="bold red") + Text(_shown(message)), soft_wrap=True)
    if page is not None:
        err.print(Text("see: ", style="dim") + Text(page, style="dim"), soft_wrap=True)


def show_json(value: Any) -> None:
    """Print a value as indented JSON."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def show_warnings(warnings: list[str]) -> None:
    """Print warnings, one per line."""
    for warning in warnings:
        err.print(Text("warning: ", style="yellow") + Text(_shown(warning)), soft_wrap=True)


def _shown(message: str) -> str:
    """Return a message without what a terminal would obey: it may quote any file's text."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in message)
