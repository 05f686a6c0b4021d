"""`langmerge inspect`: what adapters are, whether they merge, and what would go wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from langmerge.cli._console import JsonOption, err, out, show_error, show_json, show_warnings
from langmerge.errors import MergeError


def inspect(
    adapters: Annotated[list[Path], typer.Argument(help="Folders of PEFT adapters.")],
    json: JsonOption = False,
) -> None:
    """Check adapters before a merge, from their configurations and headers alone."""
    from langmerge.merging import inspect_adapters

    report = inspect_adapters(adapters)
    if json:
        show_json(report.to_json())
    else:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in ("adapter", "base", "modules", "rank", "scale", "numbers", "MiB"):
            table.add_column(column, justify="left" if column in ("adapter", "base") else "right")
        for found in report.adapters:
            table.add_row(
                Text(str(Path(found.source).parent)),
                Text(found.base_model or "-"),
                str(found.modules),
                _several(found.ranks),
                _several(found.scales),
                f"{found.parameters:,}",
                f"{found.size / 2**20:.1f}",
            )
        if report.adapters:
            out.print(table)
    show_warnings(list(report.warnings))
    if report.problems:
        for problem in report.problems[:-1]:
            show_error(problem)
        raise MergeError(report.problems[-1])
    if not json:
        err.print("They can be merged.", style="green")


def _several(values: tuple[float, ...]) -> str:
    """Return one value, or the range of several."""
    shown = sorted({f"{value:g}" for value in (values[0], values[-1])}, key=float)
    return "-".join(shown)
