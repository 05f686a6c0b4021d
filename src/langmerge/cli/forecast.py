"""`langmerge forecast`: how long it will take, before anything has run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from langmerge.cli._console import JsonOption, show_json
from langmerge.cli.results import show_table
from langmerge.durations import time_text
from langmerge.forecast import DEVICES, Forecast, Workload, device_named
from langmerge.forecast import forecast as forecast_of
from langmerge.tables import TextTable

_SECONDS_PER_HOUR = 3600


def forecast(
    *,
    languages: Annotated[int, typer.Option(min=1, help="How many languages.")] = 5,
    rows: Annotated[int, typer.Option(min=1, help="Training rows of a language.")] = 3000,
    tokens: Annotated[float, typer.Option(min=1, help="Tokens of a row.")] = 60,
    parameters: Annotated[
        float, typer.Option(min=1e-3, help="Of the base model, in billions.")
    ] = 8.0,
    layers: Annotated[int, typer.Option(min=1, help="Of the base model.")] = 32,
    epochs: Annotated[float, typer.Option(min=0, help="Over the training rows.")] = 3.0,
    batch: Annotated[int, typer.Option(min=1, help="Rows of a language in a step.")] = 8,
    test_rows: Annotated[int, typer.Option(min=0, help="Test rows of a language.")] = 500,
    answer_tokens: Annotated[
        int, typer.Option(min=0, help="Of a generated answer; 0 where choices are scored.")
    ] = 0,
    device: Annotated[str, typer.Option(help=f"One of: {', '.join(DEVICES)}.")] = "h100",
    price_per_hour: Annotated[
        float | None, typer.Option(min=0, help="Of one device, in any currency.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say how long training and upkeep will take on one device, and what that costs."""
    work = Workload(
        languages, rows, tokens, parameters * 1e9, layers, epochs, batch, test_rows, answer_tokens
    )
    found = forecast_of(work, device_named(device))
    if json:
        show_json({"workload": asdict(work), "device": device, "seconds": _seconds(found)})
    else:
        show_table(_table(found, work, device, price_per_hour))


def _seconds(found: Forecast) -> dict[str, float]:
    derived = ("initial", "initial_combined", "update")
    whole = {**asdict(found), **{name: getattr(found, name) for name in derived}}
    return {name: round(seconds, 3) for name, seconds in whole.items()}


def _table(found: Forecast, work: Workload, device: str, price: float | None) -> TextTable:
    def row(name: str, seconds: float) -> tuple[str, ...]:
        cost = () if price is None else (f"{seconds / _SECONDS_PER_HOUR * price:.2f}",)
        return (name, time_text(seconds), *cost)

    wide = work.batch * work.languages
    return TextTable(
        title=f"{work.languages} languages x {work.rows:,} rows on one {device}",
        header=("what", "time", *(() if price is None else ("price",))),
        rows=(
            row("training, all languages in one step", found.grouped),
            row("training, one after the other", found.sequential),
            row(f"combined model, batch {work.batch}", found.combined),
            row(f"combined model, batch {wide}", found.combined_wide),
            row("one merge", found.merging),
            row("evaluating one model on every language", found.evaluating),
            row("loading the base, once a process", found.loading),
            row("first release, all in", found.initial),
            row("first combined model, all in", found.initial_combined),
            row("update of one language, all in", found.update),
        ),
        notes=(
            f"An update saves {100 * found.saved:.0f}% of training the combined model again.",
            "From a device's measured rate and floor, within about a third; "
            "`langmerge plan` estimates a project from its own runs.",
        ),
    )
