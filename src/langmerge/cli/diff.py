"""`langmerge diff`: the last run's merged model against the current release."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from langmerge.cli._console import (
    DEFAULT_PROJECT,
    JsonOption,
    ProjectOption,
    out,
    show_json,
    show_warnings,
)
from langmerge.cli.results import show_table
from langmerge.tables import TextTable

if TYPE_CHECKING:
    from langmerge.upkeep.gate import Compared, GateResult
    from langmerge.upkeep.release import Assessment

_NAMED_ROWS = 5


def diff(project: ProjectOption = DEFAULT_PROJECT, json: JsonOption = False) -> None:
    """Compare the merged model with the current release, language by language; release nothing."""
    found = assess_project(project)
    if json:
        show_json(found.to_json())
        return
    show_assessment(found)
    if found.is_released:
        out.print("This very model is released already.")
    elif found.gate.passed:
        out.print("The gate lets it pass: `langmerge release`.")
    else:
        out.print("The gate would refuse it (exit code 3).")


def assess_project(project: Path) -> Assessment:
    """Return what would be released beside what is."""
    from langmerge.upkeep.release import assess
    from langmerge.workspace import open_workspace

    return assess(open_workspace(project))


def show_assessment(found: Assessment) -> None:
    """Print what changed, a table for every task, and what the gate has to say."""
    if found.current is None:
        out.print("There is no release yet: nothing to compare with.")
        return
    out.print(f"Against release {found.current.name} ({found.current.created}):")
    for change in found.changes or ["no adapter, recipe or base changed"]:
        out.print(f"  {change}", markup=False)
    for task in dict.fromkeys(compared.task for compared in found.gate.compared):
        show_table(_table(found.gate, task))
    show_warnings(found.gate.reasons("warn"))
    for reason in found.gate.reasons("refuse"):
        out.print(f"refused: {reason}", style="bold red", markup=False)


def _table(gate: GateResult, task: str) -> TextTable:
    compared = [found for found in gate.compared if found.task == task]
    splits = " and ".join(sorted({found.split for found in compared}))
    return TextTable(
        title=f"{task}: {compared[0].metric} on {splits}",
        header=(
            "language", "release", "candidate", "difference", f"{100 * gate.confidence:g}%",
            "p", "shows", "rows", "outcome",
        ),
        rows=tuple(_row(found) for found in compared),
        notes=(
            "Paired on the same rows. p: adjusted for all comparisons (Holm). "
            "shows: the smallest true difference that these rows show in 80% of cases.",
            *(note for found in compared for note in _left_out(found)),
        ),
    )  # fmt: skip


def _row(found: Compared) -> tuple[str, ...]:
    bounds = "-"
    if found.low is not None and found.high is not None:
        bounds = f"{found.low:+.1f} to {found.high:+.1f}"
    return (
        found.language,
        _number(found.release, ".1f"),
        _number(found.candidate, ".1f"),
        _number(found.difference, "+.1f"),
        bounds,
        _number(found.p_value, ".3f"),
        _number(found.detectable, ".1f"),
        str(found.n),
        found.outcome,
    )


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _left_out(found: Compared) -> Iterator[str]:
    """Yield which rows are not the same for both, and so were not compared."""
    for word, rows in (
        ("new", found.new_rows),
        ("gone", found.gone_rows),
        ("changed", found.changed_rows),
    ):
        if rows:
            more = ", ..." if len(rows) > _NAMED_ROWS else ""
            named = ", ".join(rows[:_NAMED_ROWS])
            yield f"{found.language}: left out as {word} ({len(rows)}): {named}{more}"
