"""`langmerge cost`: the bill of every run, and what the updates saved."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from langmerge.cli._console import DEFAULT_PROJECT, JsonOption, ProjectOption, out, show_json
from langmerge.durations import time_text
from langmerge.errors import UserError
from langmerge.plan.graph import Kind
from langmerge.project import load_project
from langmerge.upkeep.bill import SECONDS_PER_HOUR, Bill, RunBill, make_bill, read_ledger


def cost(
    project: ProjectOption = DEFAULT_PROJECT,
    since: Annotated[
        str | None, typer.Option(help="Only runs from this date or time on, UTC: 2026-11-23.")
    ] = None,
    price_per_hour: Annotated[
        float | None,
        typer.Option(min=0, help="Of one device; else cost.price_per_hour."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show what every run cost, and each update against retraining everything."""
    settings = load_project(project)
    bill = make_bill(
        read_ledger(settings.store_folder),
        since=_moment(since),
        price_per_hour=settings.cost.price_per_hour if price_per_hour is None else price_per_hour,
    )
    if json:
        show_json(bill.model_dump(mode="json"))
    else:
        _show(bill)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise UserError(
            f"--since {text}: not a date, expected one such as 2026-11-23 or 2026-11-23T18:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _show(bill: Bill) -> None:
    if bill.runs:
        out.print(_table(bill))
    for note in _notes(bill):
        out.print(Text(note), soft_wrap=True)


def _table(bill: Bill) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("run (UTC)", min_width=10)
    for name in ("makespan", "device", "tokens", *_SHOWN, "combined", "failed"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in bill.runs:
        table.add_row(_name(run), *_numbers(run))
    return table


def _numbers(run: RunBill) -> Iterator[str]:
    yield time_text(run.makespan_seconds)
    yield time_text(run.device_seconds)
    yield f"{_tokens(run) / 1000:.1f}k"
    for kind in _SHOWN:
        yield time_text(run.by_kind[kind].device_seconds)
    yield time_text(run.baseline.device_seconds)
    yield time_text(run.failed.device_seconds)


_JOULES_PER_WATT_HOUR = 3600.0

_SHOWN: tuple[Kind, ...] = ("train", "merge", "evaluate")


def _name(run: RunBill) -> str:
    return f"{run.started.astimezone(timezone.utc):%Y-%m-%d %H:%M} {run.kind}"


def _tokens(run: RunBill) -> int:
    return sum(part.tokens for part in (*run.by_kind.values(), run.baseline, run.failed))


def _notes(bill: Bill) -> Iterator[str]:
    for run in bill.runs:
        yield from _story(run)
    if bill.runs:
        hours = bill.device_seconds / SECONDS_PER_HOUR
        devices = sorted({device for run in bill.runs for device in run.devices})
        price = "" if bill.price is None else f", price {_money(bill.price)}"
        joules = [run.energy_joules for run in bill.runs if run.energy_joules is not None]
        energy = f", {sum(joules) / _JOULES_PER_WATT_HOUR:.1f} Wh" if joules else ""
        yield (
            f"In all: makespan {time_text(bill.makespan_seconds)}, {hours:.4f} device-hours on "
            f"{', '.join(devices) or 'an unknown device'}{price}{energy}. 'combined' is "
            "the baselines: their training and evaluations; 'device' also holds reading data."
        )
    else:
        yield "The ledger has no such attempts; `langmerge run` writes them down."
    if bill.unreadable_lines:
        yield f"Left out: {bill.unreadable_lines} lines of the ledger that are not whole."


def _story(run: RunBill) -> Iterator[str]:
    place = _name(run)
    if run.price is not None:
        hours = run.device_seconds / SECONDS_PER_HOUR
        yield f"{place}: {hours:.4f} device-hours, price {_money(run.price)}."
    if run.kind != "initial" and run.trained:
        yield f"{place}: trained {'; '.join(run.trained)}."
    if run.adopted:
        yield f"{place}: took in {'; '.join(run.adopted)}. What their training cost is not known."
    if (saving := run.saving) is not None:
        compared = "less" if saving.share >= 0 else "more"
        yield (
            f"{place}: {time_text(saving.update_seconds)} of device time all-in, "
            f"{abs(saving.share):.0%} {compared} than "
            f"the {time_text(saving.retraining_seconds)} that "
            f"training and evaluating combined on the same data takes ({saving.basis})."
        )
    for problem in run.problems:
        yield f"{place}: not done: {problem}"


def _money(amount: float) -> str:
    """Return an amount in whole hundredths, or with two digits where that would say nothing."""
    return f"{amount:.2f}" if amount >= 1 else f"{amount:.2g}"
