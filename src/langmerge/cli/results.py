"""`langmerge results`: the table of the last run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from langmerge.cli._console import DEFAULT_PROJECT, JsonOption, ProjectOption, out, show_json
from langmerge.results import Results, load_results
from langmerge.tables import TextTable, matrix_table, score_table


def results(
    project: ProjectOption = DEFAULT_PROJECT,
    json: JsonOption = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
) -> None:
    """Show the scores of the last run again."""
    if json:
        show_json(load_results(project).model_dump())
    elif markdown:
        found = load_results(project)
        for table in _tables(found):
            typer.echo(table.to_markdown() + "\n")
    else:
        show_results(project)


def show_results(project: Path) -> None:
    """Print the table of every task."""
    found = load_results(project)
    for table in _tables(found):
        show_table(table)


def _tables(found: Results) -> Iterator[TextTable]:
    for task in found.primary_metrics:
        yield score_table(found, task)
        if (matrix := matrix_table(found, task)) is not None:
            yield matrix


def show_table(table: TextTable) -> None:
    """Print a table with its notes."""
    shown = Table(
        title=table.title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    shown.add_column(table.header[0], no_wrap=True)
    for name in table.header[1:]:
        shown.add_column(name, justify="right", no_wrap=True)
    for row in table.rows:
        shown.add_row(*row)
    out.print(shown)
    for note in table.notes:
        out.print(Text(note, style="dim"))
