"""`langmerge analyze`: adapters compared as vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import Progress
from rich.text import Text
from rich.tree import Tree

from langmerge.cli._console import JsonOption, err, out, show_json
from langmerge.cli.results import show_table
from langmerge.errors import AdapterError, UserError
from langmerge.tables import TextTable

if TYPE_CHECKING:
    from langmerge.analysis import Analysis


def analyze(  # noqa: PLR0917 - a verb's options, given by name
    adapters: Annotated[
        list[str],
        typer.Argument(help="Adapters' folders, named as the folder or by NAME=FOLDER."),
    ],
    merged: Annotated[
        Path | None, typer.Option(help="A merged adapter's folder: what it keeps of each.")
    ] = None,
    ancestor: Annotated[
        Path | None,
        typer.Option(help="The adapter that all of them started from: differences to it compare."),
    ] = None,
    density: Annotated[
        float, typer.Option(help="Share of entries kept before signs are compared; 0: no signs.")
    ] = 0.2,
    donors: Annotated[
        str | None,
        typer.Option(help="A small language among them: which of the others to merge it with."),
    ] = None,
    gain: Annotated[
        list[str] | None,
        typer.Option(help="With --donors: NAME=POINTS, what adding it brought on dev."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compare adapters of one base: cosines, signs, subspaces, ranks, clusters."""
    if not 0 <= density <= 1:
        raise AdapterError(f"--density is {density:g}, expected a number from 0 to 1")
    if gain and donors is None:
        raise UserError("--gain goes with --donors LANGUAGE")
    folders, gains = named(adapters), _gains(gain or ())

    from langmerge.analysis import analyze as compare

    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("comparing modules", total=None)
        analysis = compare(
            folders,
            merged=merged,
            ancestor=ancestor,
            density=density or None,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    if donors is not None:
        _show_donors(analysis, donors, gains, json)
    elif json:
        show_json(analysis.to_json())
    else:
        show_analysis(analysis)


def named(adapters: Sequence[str]) -> dict[str, Path]:
    """Return the folders by name: the given one of `NAME=FOLDER`, or the folder's own.

    Raises:
        AdapterError: if two have the same name.
    """
    folders: dict[str, Path] = {}
    for text in adapters:
        name, equals, folder = text.partition("=")
        path = Path(text) if not equals or Path(text).is_dir() else Path(folder)
        name = name if equals and path != Path(text) else path.resolve().name
        if name in folders:
            raise AdapterError(
                f"{path}: named '{name}' like {folders[name]}; name both, as in "
                f"{name}-1={folders[name]} {name}-2={path}"
            )
        folders[name] = path
    return folders


def _gains(given: Iterable[str]) -> dict[str, float]:
    gains = {}
    for text in given:
        name, _, points = text.rpartition("=")
        try:
            gains[name] = float(points)
        except ValueError:
            raise UserError(f"--gain {text}: expected NAME=POINTS, such as fr=1.5") from None
    return gains


def _show_donors(analysis: Analysis, language: str, gains: Mapping[str, float], json: bool) -> None:
    from langmerge.analysis import donors as find
    from langmerge.analysis.tables import donor_table

    found = find(analysis, language, gains)
    if json:
        show_json([asdict(donor) for donor in found])
    else:
        show_table(escaped(donor_table(language, found)))


def show_analysis(analysis: Analysis) -> None:
    """Print the tables and the dendrogram."""
    from langmerge.analysis.tables import tables

    for table in tables(analysis):
        show_table(escaped(table))
    out.print(dendrogram(analysis))


def dendrogram(analysis: Analysis) -> Tree:
    """Return the clusters as a tree, the last join at its root, adapters as leaves."""
    n = len(analysis.names)

    def grow(parent: Tree, cluster: int) -> None:
        if cluster < n:
            parent.add(Text(analysis.names[cluster]))
            return
        join = analysis.joins[cluster - n]
        branch = parent.add(Text(f"cosine {1 - join.distance:.3f}", style="dim"))
        grow(branch, join.left)
        grow(branch, join.right)

    tree = Tree(Text("clusters, by mean cosine", style="bold"))
    grow(tree, 2 * n - 2)
    return tree


def escaped(table: TextTable) -> TextTable:
    """Return a table whose names, which come from files and folders, are shown as they are."""
    return replace(
        table,
        title=escape(table.title),
        header=tuple(map(escape, table.header)),
        rows=tuple(tuple(map(escape, row)) for row in table.rows),
    )
