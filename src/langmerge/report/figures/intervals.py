"""Dots with intervals: every model of one task on one language, one panel per language.

Dots and not bars: a bar's length says nothing where zero means nothing, and hides the interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from langmerge.report.document import Estimate, Figure
from langmerge.report.drawing import (
    WIDTH,
    Drawing,
    Item,
    Line,
    Scale,
    Text,
    shortened,
    text_width,
    tick_text,
)
from langmerge.report.figures.models import marker, style_of

_ROW = 22.0
_TOP = 30.0
_BOTTOM = 24.0
_RIGHT = 40.0
_WIDEST_LABEL = 132.0


def panels(
    task: str,
    columns: Mapping[str, Mapping[str, Estimate]],
    models: Sequence[str],
    subject: str,
    metric: str,
) -> tuple[Figure, ...]:
    """Return one panel for every column, all on one scale.

    Args:
        task: the task's name.
        columns: by language, or `mean`: every model's value.
        models: in the order of the rows.
        subject: the model whose value is drawn through the panel.
        metric: what is measured.
    """
    numbers = [
        number
        for column in columns.values()
        for found in column.values()
        for number in (found.value, found.low, found.high)
        if number is not None
    ]
    left = min(1.08 * text_width(models), _WIDEST_LABEL) + 14
    scale = Scale.around(numbers, left, WIDTH - _RIGHT - 8)
    return tuple(
        Figure(
            name=f"{task}-{name}",
            title=f"{task}, {name}: {metric}",
            description=_words(column, models),
            drawing=_panel(name, column, models, subject, scale),
        )
        for name, column in columns.items()
    )


def _panel(
    name: str, column: Mapping[str, Estimate], models: Sequence[str], subject: str, scale: Scale
) -> Drawing:
    height = _TOP + _ROW * len(models) + _BOTTOM
    floor = height - _BOTTOM
    items: list[Item] = [Text(0, 16, name, size=13, bold=True)]
    for tick in scale.ticks:
        x = scale(tick)
        items.append(Line(((x, _TOP - 6), (x, floor)), "grid"))
        items.append(Text(x, height - 8, tick_text(tick, scale.ticks), "middle", "muted", 11))
    about = column.get(subject)
    if about is not None and about.value is not None:
        x = scale(about.value)
        items.append(Line(((x, _TOP - 6), (x, floor)), "merged", dashed=True))
    for row, model in enumerate(models):
        y = _TOP + _ROW * (row + 0.5)
        label = shortened(model, _WIDEST_LABEL)
        items.append(Text(0, y + 4, label, bold=model == subject))
        items.extend(_row(model, column.get(model, Estimate(None)), subject, y, scale))
    return Drawing(WIDTH, height, tuple(items))


def _row(model: str, found: Estimate, subject: str, y: float, scale: Scale) -> list[Item]:
    items: list[Item] = []
    bold = model == subject
    if found.value is not None:
        if found.low is not None and found.high is not None:
            ends = (scale(found.low), y), (scale(found.high), y)
            items.append(Line(ends, style_of(model), 2.0))
        title = f"{model}: {found.text} {found.interval}".strip()
        items.append(marker(model, subject, scale(found.value), y, title))
    items.append(Text(WIDTH, y + 4, found.text, "end", "ink", bold=bold))
    return items


def _words(column: Mapping[str, Estimate], models: Sequence[str]) -> str:
    said = [
        f"{model} {column[model].text}"
        + (f" ({column[model].interval})" if column[model].interval else "")
        for model in models
        if model in column
    ]
    return "; ".join(said) + "." if said else "No results."
