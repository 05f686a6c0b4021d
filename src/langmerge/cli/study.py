"""`langmerge study`: a grid of projects, a part at a time, with one report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from langmerge.cli._console import JsonOption, err, out, show_error, show_json
from langmerge.cli.results import show_table
from langmerge.errors import JobsFailed


def study(
    file: Annotated[Path, typer.Argument(help="The study file.")],
    minutes: Annotated[
        float | None, typer.Option(min=0.0, help="Stop after so long; the next call goes on.")
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Write the report of what is done, and do nothing.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Go through a grid of models, variants, languages, tasks and seeds; write one report."""
    from langmerge.study.cells import plan_study
    from langmerge.study.config import load_study
    from langmerge.study.report import records, tables, write_report

    loaded = load_study(file)
    failed = {}
    left = None
    if not report:
        from langmerge.study.run import run_study

        plan = plan_study(loaded)
        with err.status("", spinner="dots") as status:
            done = run_study(plan, minutes, lambda what: status.update(Text(what)))
        failed, left = dict(done.failed), done.left
        for name, problem in failed.items():
            show_error(f"{name}: {problem}")
    path = write_report(loaded.folder)
    found = records(loaded.folder)
    if json:
        show_json({"report": str(path), "groups": found, "left": left, "failed": failed})
    else:
        for table in tables(found):
            show_table(table)
        out.print(Text(f"Wrote {path}."), soft_wrap=True)
        if left:
            out.print(f"{left} cells or crossings are not done; the same command goes on.")
    if failed:
        raise JobsFailed(f"{len(failed)} cells or crossings failed; the others are kept")
