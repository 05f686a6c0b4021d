"""`langmerge export`: a model of the project as files that other tools load."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from langmerge.cli._console import DEFAULT_PROJECT, ProjectOption, out, show_warnings
from langmerge.errors import ProjectError

_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "langmerge_recipe.json")


def export(  # noqa: PLR0917 - a verb's options, given by name
    folder: Annotated[Path, typer.Argument(help="The folder to write; must not exist yet.")],
    task: Annotated[str | None, typer.Option(help="The task; the project's only one.")] = None,
    model: Annotated[str | None, typer.Option(help="individual, combined, merged:RECIPE.")] = None,
    language: Annotated[str | None, typer.Option(help="Whose adapter, for individual.")] = None,
    checkpoint: Annotated[
        bool, typer.Option("--checkpoint", help="A full model, not a PEFT adapter.")
    ] = False,
    project: ProjectOption = DEFAULT_PROJECT,
) -> None:
    """Write the merged model as a PEFT adapter, or as a checkpoint plain transformers loads."""
    from langmerge.files import new_folder
    from langmerge.selection import select

    if folder.exists():
        raise ProjectError(f"{folder}: already there, left as it is; choose another folder")
    selection = select(project, task=task, language=language, model=model, any_language=True)
    if selection.stale:
        show_warnings([f"{model} was trained on older data than the project has"])
    if selection.adapter is None:
        raise ProjectError("--model base: the base is there already; export a model made of it")
    with new_folder(folder) as unfinished:
        if checkpoint:
            from langmerge.adapter import Adapter
            from langmerge.model import load_base, save_merged_checkpoint

            base = load_base(selection.workspace.base, device="cpu")
            save_merged_checkpoint(base, Adapter.load(selection.adapter), unfinished)
        else:
            for name in _ADAPTER_FILES:
                if (selection.adapter / name).exists():
                    shutil.copyfile(selection.adapter / name, unfinished / name)
    out.print(f"Wrote {folder}: {'a full checkpoint' if checkpoint else 'a PEFT adapter'}.")
