"""`langmerge merge`: adapters into one adapter, or into the model they adapt."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from langmerge.cli._console import err, out, show_warnings
from langmerge.errors import MergeError
from langmerge.yaml_text import parse_yaml


def merge(  # noqa: PLR0917 - a verb's options, given by name
    adapters: Annotated[list[Path] | None, typer.Argument(help="Folders of PEFT adapters.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The folder to write.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="See --list; ties by default.")] = None,
    density: Annotated[float | None, typer.Option(help="Share of entries that is kept.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="One number per adapter, such as 1,1,2.")
    ] = None,
    lambda_: Annotated[float | None, typer.Option("--lambda", help="Factor on the merge.")] = None,
    space: Annotated[str | None, typer.Option(help="dense, svd or core.")] = None,
    rank: Annotated[str | None, typer.Option(help="full, a number, or energy:0.99.")] = None,
    seed: Annotated[int | None, typer.Option(help="What random masks are drawn from.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="Take the defaults of mergekit or knots.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other parameter of the method, as NAME=VALUE."),
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="The base checkpoint's folder, for --into-model.")
    ] = None,
    into_model: Annotated[
        bool, typer.Option("--into-model", help="Write a full checkpoint, not an adapter.")
    ] = False,
    ancestor: Annotated[
        Path | None,
        typer.Option(help="The adapter that all of them started from; differences to it merge."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where to merge: cpu, or cuda.")] = "cpu",
    recipe: Annotated[
        Path | None, typer.Option(help="A recipe in YAML, ours or mergekit's.")
    ] = None,
    show_methods: Annotated[
        bool, typer.Option("--list", help="List the methods with their parameters.")
    ] = False,
) -> None:
    """Merge LoRA adapters of one base model."""
    from langmerge.merging.recipe_file import MergeOrder, read_recipe

    if show_methods:
        _show_methods()
        return
    given = {
        "density": density,
        "weights": _numbers(weights),
        "lambda": lambda_,
        "space": space,
        "rank": rank,
        "seed": seed,
        "profile": profile,
        **_settings(settings or []),
    }
    order = read_recipe(recipe) if recipe is not None else MergeOrder()
    show_warnings(list(order.notes))
    carry_out(
        order.changed(
            adapters=tuple(adapters or ()),
            method=method,
            options={key: value for key, value in given.items() if value is not None},
            output=output,
            base=base,
            into_model=into_model or None,
            ancestor=ancestor,
        ),
        device,
    )


def carry_out(order: Any, device: str = "cpu") -> None:
    """Merge as a recipe file and the command line say, and tell what was written."""
    from langmerge import merging
    from langmerge.merging.preflight import check_target

    order = order.checked()
    check_target(order.output)
    report = merging.inspect_adapters(order.adapters, order.ancestor)
    show_warnings(list(report.warnings))
    if report.problems:
        raise MergeError(report.problems[0])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with _bar("merging") as on_progress:
            shared = {"on_progress": on_progress, "device": device, "ancestor": order.ancestor}
            arguments = {"method": order.method} | shared | order.options
            if order.into_model:
                merging.into_model(order.adapters, order.base, order.output, **arguments)
            else:
                merged = merging.merge(order.adapters, **arguments)
                merged.save(order.output)
    told = [str(w.message) for w in caught if w.category.__name__ == "MergeWarning"]
    show_warnings([text for text in told if text not in report.warnings])
    kind = "full checkpoint" if order.into_model else "PEFT adapter"
    out.print(
        f"Wrote {order.output}: {order.method} of {len(order.adapters)} adapters, a {kind}.",
        markup=False,
        soft_wrap=True,
    )


def _numbers(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise MergeError(f"--weights is '{text}', expected numbers such as 1,1,2") from None


def _settings(texts: list[str]) -> dict[str, Any]:
    """Read NAME=VALUE pairs; values are written as in YAML."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise MergeError(f"--set is '{text}', expected NAME=VALUE such as trim=model")
        try:
            found[name] = parse_yaml(value)[0]
        except yaml.YAMLError:
            found[name] = value
    return found


def _show_methods() -> None:
    from langmerge.merging import methods

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("method", "parameters", "what it does"):
        table.add_column(column)
    for info in methods():
        names = ", ".join((info.name, *info.aliases))
        defaults = " ".join(f"{p.key}={p.default}" for p in info.parameters)
        table.add_row(Text(names), Text(defaults), Text(f"{info.summary} ({info.source})"))
    out.print(table)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal; yield the function that moves it."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
