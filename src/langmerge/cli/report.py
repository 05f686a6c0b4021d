"""`langmerge report`: the last run as one page to decide by."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from langmerge.cli._console import DEFAULT_PROJECT, ProjectOption, err, out, show_warnings

_FOLDER = "report"


def report(
    project: ProjectOption = DEFAULT_PROJECT,
    out_: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the report.", show_default="report, by the project"),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Also write every figure as PNG and SVG into this folder.")
    ] = None,
    no_texts: Annotated[
        bool, typer.Option("--no-texts", help="Leave out examples: no text of the data in it.")
    ] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write the last run's report: one HTML page that needs no network, Markdown and CSV."""
    from langmerge.report import gather, write

    with err.status("gathering", spinner="dots") as status:
        found = gather(project, lambda what: status.update(Text(what)), texts=not no_texts)
    written = write(found, out_ or found.project.folder / _FOLDER, images)
    out.print(
        Text(f"Wrote {written.page}, with the same as Markdown and CSV beside it."), soft_wrap=True
    )
    if images is not None:
        out.print(Text(f"Wrote the figures to {images}."), soft_wrap=True)
    if written.without_font:
        show_warnings([_fonts_missing(written.without_font)])
    if open_:
        webbrowser.open(written.page.resolve().as_uri())


def _fonts_missing(characters: tuple[str, ...]) -> str:
    shown = "".join(characters[:20])
    return (
        f"no installed font has {len(characters)} of the figures' characters ({shown}), which show "
        "as boxes; install one, such as fonts-noto-cjk on Debian, and run this again"
    )
