"""`langmerge check`: validate project and data, and show rows as the model sees them."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from langmerge.cli._console import (
    DEFAULT_PROJECT,
    ProjectOption,
    err,
    out,
    show_error,
    show_warnings,
)
from langmerge.errors import AdapterError, DataError


def check(
    project: ProjectOption = DEFAULT_PROJECT,
    examples: Annotated[int, typer.Option(help="Rows to show of each task and language.")] = 1,
) -> None:
    """Validate the project and its data; show what is supervised and what is cut."""
    from langmerge.check import check_data, check_modules, training_set
    from langmerge.workspace import open_workspace

    workspace = open_workspace(project)
    report = check_data(workspace.project)
    show_warnings(report.warnings)
    errors = list(report.errors)

    from langmerge.encoding import Encoder
    from langmerge.model import load_skeleton

    skeleton = load_skeleton(workspace.base)
    tokenizer = skeleton.tokenizer
    try:
        show_warnings(check_modules(workspace.project, skeleton))
    except AdapterError as error:
        errors.append(str(error))
    table = Table(title="training data", title_justify="left")
    for column in ("task", "language", "rows", "dev", "test", "tokens/row", "cut", "cut away"):
        table.add_column(column, justify="left" if column in ("task", "language") else "right")
    shown = []
    for (task, language), splits in report.splits.items():
        encoder = Encoder(tokenizer, workspace.project.train_for(language).max_length)
        try:
            found = training_set(workspace.project, task, language, splits["train"], encoder)
        except DataError as error:
            errors.append(str(error))
            continue
        sizes = {name: str(len(split)) for name, split in splits.items()}
        table.add_row(
            task, language, sizes["train"], sizes.get("dev", "-"), sizes["test"],
            f"{found.tokens / max(len(found.examples), 1):.0f}",
            str(found.cut.cut), str(found.cut.cut_wholly),
        )  # fmt: skip
        for example in found.examples[:examples]:
            prompt = encoder.decode(example.prompt_ids)
            shown.append(
                _as_seen(f"{task}/{language}", prompt, encoder.decode(example.completion_ids))
            )
    out.print(table)
    if shown:
        out.print("\nAs the model sees them; [bold green]supervised[/] text is what it learns:")
    for text in shown:
        out.print(text)
    if errors:
        for message in errors[:-1]:
            show_error(message)
        raise DataError(errors[-1])
    err.print("The project is in order.", style="green")


def _as_seen(place: str, prompt: str, completion: str) -> Text:
    return Text.assemble(
        (f"\n{place}\n", "dim"), prompt, (completion or "(cut away)", "bold green reverse")
    )
