"""`langmerge quickstart`: from nothing to a merged, measured and updated model."""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from langmerge.cli._console import out
from langmerge.cli.results import show_results
from langmerge.cli.run import finish, run_project
from langmerge.engine import Run

RECIPE = "ties"


class _TaskName(str, Enum):
    sentiment = "sentiment"
    reasoning = "reasoning"
    summarization = "summarization"


_EXAMPLES = {
    _TaskName.sentiment: '"Une très bonne surprise."',
    _TaskName.reasoning: '"Quelle est la capitale de la France ?" --choice Paris --choice Rome',
    _TaskName.summarization: '"La piscine ouvrira deux semaines plus tard à cause de travaux."',
}


def quickstart(
    task: Annotated[_TaskName, typer.Option(help="Which embedded data set.")] = _TaskName.sentiment,
    out_folder: Annotated[Path, typer.Option("--out", help="Where the project is made.")] = Path(
        "langmerge-quickstart"
    ),
) -> None:
    """Make a real project in five languages, run it, update one language, run it again."""
    from langmerge.quickstart.embedded import UPDATED_LANGUAGE, add_update_rows
    from langmerge.quickstart.embedded import write_quickstart_project as write_project
    from langmerge.quickstart.gemma import TERMS, prepare_gemma
    from langmerge.quickstart.upkeep import describe_update

    start = time.monotonic()
    out.print(TERMS, soft_wrap=True)
    _step("1. The base model")
    base = prepare_gemma()
    out.print(f"Gemma 3 270M, converted to {base}", soft_wrap=True)

    _step("2. The project")
    project = write_project(out_folder, task.value, base)
    out.print(f"{project}, data in {project.parent / 'data'}", soft_wrap=True)

    _step("3. One adapter per language, the combined baseline, a merge, an evaluation")
    _show(project, run_project(project), task.value)

    _step(f"4. Maintenance: new rows for '{UPDATED_LANGUAGE}'")
    added = add_update_rows(project.parent, task.value)
    out.print(f"{added} rows added to data/{UPDATED_LANGUAGE}/train.jsonl.")
    update = run_project(project)
    _show(project, update, task.value)
    for line in describe_update(update):
        out.print(line, soft_wrap=True)

    _step("Done")
    out.print(
        f"{time.monotonic() - start:.0f} s in all. Next: "
        f"langmerge predict --project {project} --language fr {_EXAMPLES[task]}",
        soft_wrap=True,
    )


def _show(project: Path, run: Run, task: str) -> None:
    from langmerge.quickstart.verdict import verdict
    from langmerge.results import load_results

    show_results(project)
    finish(run)
    out.print(verdict(load_results(project), task, RECIPE), soft_wrap=True)


def _step(title: str) -> None:
    out.print()
    out.print(title, style="bold")
