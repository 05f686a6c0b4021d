"""`langmerge adopt`: an adapter trained elsewhere becomes a language's own, or the ancestor."""

from __future__ import annotations

from pathlib import Path
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


def adopt(  # noqa: PLR0917 - a verb's options, given by name
    language: Annotated[str, typer.Argument(help="The language it was trained on; or `ancestor`.")],
    folder: Annotated[Path, typer.Argument(help="The adapter's folder.")],
    task: Annotated[str | None, typer.Option(help="The task; the project's only one.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of which run; the first.")] = None,
    project: ProjectOption = DEFAULT_PROJECT,
    json: JsonOption = False,
) -> None:
    """Take in an adapter that PEFT, TRL, axolotl or LLaMA-Factory trained, or a combined model."""
    from langmerge.upkeep.adoption import adopt as take_in
    from langmerge.workspace import open_workspace

    found = take_in(open_workspace(project), language, folder, task=task, seed=seed)
    if json:
        show_json(
            {
                "jobs": [job.id for job in found.jobs],
                "digest": found.digest,
                "modules": found.modules,
                "ranks": list(found.ranks),
                "warnings": list(found.warnings),
            }
        )
        return
    show_warnings(list(found.warnings))
    ranks = "-".join(map(str, sorted({found.ranks[0], found.ranks[-1]})))
    jobs = ", ".join(job.id for job in found.jobs)
    out.print(
        f"Adopted {folder} as {jobs}: {found.modules} modules, rank {ranks}. Next: langmerge plan",
        soft_wrap=True,
    )
