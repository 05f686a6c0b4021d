"""`langmerge export`: a model of the project as files that other tools load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from langmerge.cli._console import DEFAULT_PROJECT, ProjectOption, out, show_warnings
from langmerge.errors import ProjectError


def export(  # noqa: PLR0917 - a verb's options, given by name
    folder: Annotated[Path, typer.Argument(help="The folder to write; must not exist yet.")],
    task: Annotated[str | None, typer.Option(help="The task; the project's only one.")] = None,
    model: Annotated[str | None, typer.Option(help="individual, combined, merged:RECIPE.")] = None,
    language: Annotated[str | None, typer.Option(help="Whose adapter, for individual.")] = None,
    checkpoint: Annotated[
        bool, typer.Option("--checkpoint", help="A full model, not a PEFT adapter.")
    ] = False,
    push_to_hub: Annotated[
        str | None,
        typer.Option(metavar="USER/NAME", help="Upload it to the Hugging Face Hub, too."),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="With --push-to-hub: a private repository.")
    ] = False,
    project: ProjectOption = DEFAULT_PROJECT,
) -> None:
    """Write the merged model as a PEFT adapter, or as a checkpoint plain transformers loads."""
    from langmerge.publish.export import export_model
    from langmerge.publish.hub import check_name, push
    from langmerge.selection import select

    if folder.exists():
        raise ProjectError(f"{folder}: already there, left as it is; choose another folder")
    if push_to_hub is not None:
        check_name(push_to_hub)
    selection = select(project, task=task, language=language, model=model, any_language=True)
    name = model or f"merged:{next(iter(selection.workspace.project.merge))}"
    if selection.stale:
        show_warnings([f"{name} was trained on older data than the project has"])
    exported = export_model(
        selection, name, folder, checkpoint=checkpoint, public=push_to_hub is not None
    )
    show_warnings(list(exported.limits))
    out.print(f"Wrote {folder}: {exported.description}.", soft_wrap=True)
    if push_to_hub is not None:
        message = f"{selection.task_name}: {name}, by langmerge"
        url = push(folder, push_to_hub, message=message, private=private)
        out.print(f"Pushed to {url}", soft_wrap=True)
