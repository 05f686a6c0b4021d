"""`langmerge score`: texts of any origin, measured as `langmerge run` measures its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from langmerge.cli._console import JsonOption, out, show_json

if TYPE_CHECKING:
    from langmerge.score import Scored


def score(
    predictions: Annotated[Path, typer.Argument(help="The answers, one a line.")],
    references: Annotated[Path, typer.Argument(help="The right answers, in the same order.")],
    *,
    language: Annotated[str, typer.Option(help="Their language: a code such as ja or pt_BR.")],
    metric: Annotated[
        list[str],
        typer.Option(
            help="rouge, chrf, exact_match, length, copying, language, f1 or accuracy; "
            "may be given several times."
        ),
    ] = ["rouge"],  # noqa: B006 - typer's way to say the default of a list
    sources: Annotated[
        Path | None, typer.Option(help="What the answers were made from; 'copying' needs it.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="For f1 and accuracy: all labels, with commas between."),
    ] = None,
    groups: Annotated[
        Path | None, typer.Option(help="What each line is about, to be resampled together.")
    ] = None,
    segmented: Annotated[
        bool, typer.Option("--segmented", help="Count words, not characters, in ja, zh and th.")
    ] = False,
    confidence: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.95,
    json: JsonOption = False,
) -> None:
    """Measure text files, one item a line: value, interval and signature."""
    from langmerge.score import score_files

    found = score_files(
        predictions,
        references,
        language=language,
        metrics=metric,
        sources=sources,
        labels=labels.split(",") if labels else (),
        groups=groups,
        segmented=segmented,
        confidence=confidence,
    )
    if json:
        show_json(
            [
                {"name": each.name, **asdict(each.interval), "signature": each.signature}
                for each in found
            ]
        )
    else:
        _show(found, confidence)


def _show(found: Sequence[Scored], confidence: float) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("metric")
    table.add_column("value", justify="right")
    table.add_column(f"{100 * confidence:g}%", justify="right")
    table.add_column("signature", overflow="fold")
    for each in found:
        low, high = each.interval.low, each.interval.high
        bounds = "-" if low is None or high is None else f"{low:.1f}–{high:.1f}"
        row = (each.name, f"{each.interval.value:.1f}", bounds, each.signature)
        table.add_row(*map(Text, row))
    out.print(table)
