"""`langmerge recipes`: the public data sets that `langmerge init --recipe` turns into projects."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from langmerge.cli._console import JsonOption, out, show_json


def recipes(
    name: Annotated[str | None, typer.Argument(help="Show one recipe whole.")] = None,
    json: JsonOption = False,
) -> None:
    """List ready data recipes: what they are, their languages, licences and sizes."""
    from langmerge.recipes import RECIPES, recipe_named

    if name is not None:
        recipe = recipe_named(name)
        if json:
            show_json(recipe.to_json())
            return
        shown = {
            "what": recipe.title,
            "task": f"{recipe.task} ({recipe.task_name})",
            "languages": ", ".join(recipe.languages),
            "licence": recipe.licence,
            "size": recipe.size,
            "splits": recipe.leakage,
            "columns": recipe.schema,
            "page": recipe.page,
            **{f"--set {key}=": f"{o.help} ({o.default})" for key, o in recipe.options.items()},
        }
        table = Table(box=None, show_header=False, pad_edge=False)
        for label, value in shown.items():
            table.add_row(Text(label, style="bold"), Text(value))
        out.print(table)
        first = ",".join(list(recipe.languages)[:2])
        out.print(f"langmerge init DIR --recipe {name} --languages {first}", soft_wrap=True)
        return
    if json:
        show_json([recipe.to_json() for recipe in RECIPES.values()])
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("recipe", "task", "languages", "licence", "size"):
        table.add_column(column)
    for recipe in RECIPES.values():
        codes = list(recipe.languages)
        listed = ", ".join(codes[:6]) + (f" and {len(codes) - 6} more" if len(codes) > 6 else "")
        cells = (recipe.name, recipe.task, listed, recipe.licence, recipe.size)
        table.add_row(*map(Text, cells))
    out.print(table)
