"""The command line: one verb per file, and one place that turns errors into exit codes.

Exit codes: 0 done, 1 a bug, 2 the user's mistake, 3 a gate refused, 4 some jobs failed.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from langmerge.cli._console import show_error
from langmerge.cli.adopt import adopt
from langmerge.cli.analyze import analyze
from langmerge.cli.check import check
from langmerge.cli.cost import cost
from langmerge.cli.diff import diff
from langmerge.cli.evaluate import evaluate
from langmerge.cli.export import export
from langmerge.cli.forecast import forecast
from langmerge.cli.gc import gc
from langmerge.cli.history import history
from langmerge.cli.init import init
from langmerge.cli.inspect import inspect
from langmerge.cli.merge import merge
from langmerge.cli.plan import plan
from langmerge.cli.predict import predict
from langmerge.cli.quickstart import quickstart
from langmerge.cli.recipes import recipes
from langmerge.cli.release import release
from langmerge.cli.report import report
from langmerge.cli.results import results
from langmerge.cli.rollback import rollback
from langmerge.cli.run import run
from langmerge.cli.score import score
from langmerge.cli.serve import serve
from langmerge.cli.study import study
from langmerge.cli.sweep import sweep
from langmerge.cli.verify import verify
from langmerge.errors import LangmergeError
from langmerge.guide import page_for

app = typer.Typer(
    name="langmerge",
    help="Train one LoRA adapter per language, merge them into one multilingual model, "
    "and keep it up language by language.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for verb in (
    quickstart,
    init,
    recipes,
    check,
    plan,
    run,
    results,
    report,
    sweep,
    study,
    predict,
    serve,
    evaluate,
    export,
    merge,
    inspect,
    analyze,
    score,
    diff,
    release,
    history,
    rollback,
    adopt,
    cost,
    forecast,
    verify,
    gc,
):
    app.command()(verb)


def _show_versions(wanted: bool) -> None:
    if wanted:
        from langmerge.versions import installed_extras, installed_versions

        for name, version in installed_versions().items():
            typer.echo(f"{name} {version}")
        typer.echo(f"extras {', '.join(installed_extras()) or 'none'}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_versions,
            is_eager=True,
            help="Show the versions of langmerge and of what results depend on.",
        ),
    ] = False,
) -> None:
    """Options of `langmerge` itself."""


def main() -> None:
    """Run the command line; a user's mistake ends in one message, a bug in a traceback."""
    # Progress bars of libraries would run through ours.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        app()
    except LangmergeError as error:
        show_error(str(error), page_for(error))
        sys.exit(error.exit_code)
