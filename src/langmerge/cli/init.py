"""`langmerge init`: a commented project to start from, or one made of a public data set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from langmerge.cli._console import err, out
from langmerge.errors import ProjectError, UserError
from langmerge.project import PROJECT_FILE


def init(  # noqa: PLR0917 - a verb's options, given by name
    folder: Annotated[Path, typer.Argument(help="The folder to write into; made if missing.")],
    recipe: Annotated[
        str | None, typer.Option(help="Make it of a public data set; see `langmerge recipes`.")
    ] = None,
    languages: Annotated[str, typer.Option(help="With --recipe: en,de,ja.")] = "",
    base: Annotated[
        str | None, typer.Option(help="With --recipe: the base, a path or ORG/NAME@COMMIT.")
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="With --recipe: at most so many training rows a language."),
    ] = None,
    source: Annotated[
        Path | None, typer.Option(help="With --recipe: a local copy of the data set.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="With --recipe: another commit of the data set.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="With --recipe: NAME=VALUE, an option of its own; repeatable."),
    ] = None,
) -> None:
    """Write a commented langmerge.yaml with sample rows, or a project of a public data set."""
    project_file = folder / PROJECT_FILE
    if project_file.exists():
        raise ProjectError(f"{project_file}: already there, left as it is; choose another folder")
    if recipe is not None:
        from langmerge.cache import cache_folder
        from langmerge.recipes import recipe_named
        from langmerge.recipes.recipe import Origin
        from langmerge.recipes.writing import SOURCE_FILE, write_project

        chosen = recipe_named(recipe)
        origin = Origin(
            source, revision, _options(set_ or ()), cache_folder() / "recipes",
            lambda text: err.print(text, soft_wrap=True),
        )  # fmt: skip
        counts = write_project(
            chosen,
            folder,
            [code.strip() for code in languages.split(",") if code.strip()],
            origin,
            base=base or "./base-model",
            rows=rows,
        )
        for language, splits in counts.items():
            out.print(f"{language}: " + ", ".join(f"{n} {split}" for split, n in splits.items()))
        out.print(f"Wrote {project_file}. Licence: {chosen.licence}. Source: {SOURCE_FILE}.")
    else:
        if given := _given(languages, base, rows, source, revision, set_):
            raise UserError(f"{given} goes with --recipe NAME; see `langmerge recipes`")
        from langmerge.quickstart.sample import write_sample_project

        written = write_sample_project(folder)
        out.print(f"Wrote {project_file} and {len(written) - 1} sample data files.")
    steps = ["put your rows in data/"] if recipe is None else []
    steps += [] if base else ["set base: to a model"]
    out.print(
        f"Next: {', '.join([*steps, 'then' if steps else 'check it with'])} "
        f"langmerge check --project {project_file}",
        soft_wrap=True,
    )


def _given(*values: object) -> str:
    """Return the first option that only a recipe understands, if one is given."""
    names = ("--languages", "--base", "--rows", "--source", "--revision", "--set")
    return next((name for name, value in zip(names, values, strict=True) if value), "")


def _options(pairs: Iterable[str]) -> dict[str, str]:
    """Return NAME=VALUE pairs as a mapping.

    Raises:
        UserError: for a pair without an equals sign.
    """
    options = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"--set {pair}: expected NAME=VALUE")
        options[name] = value
    return options
