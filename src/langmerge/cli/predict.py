"""`langmerge predict`: the merged model at work."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from langmerge.cli._console import (
    DEFAULT_PROJECT,
    JsonOption,
    ProjectOption,
    out,
    show_json,
    show_warnings,
)


def predict(  # noqa: PLR0917 - a verb's options, given by name
    text: Annotated[
        list[str] | None, typer.Argument(help="Texts; without any, one per line of standard input.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="The texts' language.")] = None,
    task: Annotated[str | None, typer.Option(help="The task; the project's only one.")] = None,
    model: Annotated[
        str | None, typer.Option(help="base, individual, combined, merged:RECIPE.")
    ] = None,
    choices: Annotated[
        list[str] | None, typer.Option("--choice", help="A candidate answer; for multiple choice.")
    ] = None,
    project: ProjectOption = DEFAULT_PROJECT,
    json: JsonOption = False,
) -> None:
    """Answer texts with the merged model (or another of the project's models)."""
    from langmerge.predict import answer
    from langmerge.selection import select

    selection = select(project, task=task, language=language, model=model)
    if selection.stale:
        show_warnings([f"{model} was trained on older data than the project has"])
    texts = text or [line.rstrip("\n") for line in sys.stdin if line.strip()]
    answers = answer(selection, texts, tuple(choices or ()))
    if json:
        show_json([found.to_json() for found in answers])
    else:
        for found in answers:
            out.print(found.line(), markup=False, soft_wrap=True)
