"""Quality over cost: what each model's training took, and which models none other beats in both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

from langmerge.durations import time_text, time_unit
from langmerge.report.document import Estimate, Figure
from langmerge.report.drawing import WIDTH, Drawing, Item, Line, Scale, Text, shortened
from langmerge.report.figures.models import marker, style_of
from langmerge.report.figures.plane import (
    FLOOR,
    HEIGHT,
    LEFT,
    NAMES,
    TOP,
    bars,
    frame,
)

_KEY_ROW = 18.0


class Priced(NamedTuple):
    """A model's mean over languages and what it costs, in device-seconds."""

    quality: Estimate
    seconds: float


def front(models: Mapping[str, Priced]) -> list[str]:
    """Return the models that none is both cheaper and better than, from cheap to dear."""
    order = sorted(models, key=lambda m: (models[m].seconds, -(models[m].quality.value or 0)))
    best: list[str] = []
    for model in order:
        value = models[model].quality.value
        if value is not None and (not best or value > (models[best[-1]].quality.value or 0)):
            best.append(model)
    return best


def cost_quality(name: str, title: str, models: Mapping[str, Priced], subject: str) -> Figure:
    """Return the plot of some models, with a line through the best.

    Args:
        name: of the figure.
        title: what is paid for.
        models: the models, with their prices.
        subject: the model the report is about.
    """
    known = {model: each for model, each in models.items() if each.quality.value is not None}
    divisor, unit = time_unit(max((each.seconds for each in known.values()), default=0.0))
    bounds = [
        bound
        for each in known.values()
        for bound in (each.quality.low, each.quality.value, each.quality.high)
        if bound is not None
    ]
    x = Scale.around(
        [each.seconds / divisor for each in known.values()], LEFT, WIDTH - NAMES, zero=True
    )
    y = Scale.around(bounds, FLOOR, TOP)
    items: list[Item] = [*frame(title, f"device time, {unit}", x, y)]
    items.extend(_steps(known, divisor, x, y))
    for model, each in known.items():
        value = each.quality.value or 0.0
        place = x(each.seconds / divisor), y(value)
        items.extend(bars(each.quality, place[0], y, style_of(model)))
        about = f"{model}: {each.quality.text} for {time_text(each.seconds)}"
        items.append(marker(model, subject, *place, about))
    items.extend(_key(known, subject))
    said = "; ".join(
        f"{model} {each.quality.text} for {time_text(each.seconds)}"
        for model, each in known.items()
    )
    best = ", ".join(front(known))
    return Figure(
        name, title, f"{said}. Not beaten in both: {best}.", Drawing(WIDTH, HEIGHT, tuple(items))
    )


def _key(models: Mapping[str, Priced], subject: str) -> Iterator[Item]:
    """Yield the models' markers and names, the best at the top, as they stand in the plot."""
    order = sorted(models, key=lambda model: -(models[model].quality.value or 0.0))
    left = WIDTH - NAMES + 20
    for row, model in enumerate(order):
        y = TOP + 8 + _KEY_ROW * row
        yield marker(model, subject, left, y)
        text = shortened(model, WIDTH - left - 10, 11)
        yield Text(left + 10, y + 4, text, "start", "ink", 11, model == subject)


def _steps(models: Mapping[str, Priced], divisor: float, x: Scale, y: Scale) -> Iterator[Item]:
    best = [models[model] for model in front(models)]
    corners = []
    for earlier, later in pairwise(best):
        level = y(earlier.quality.value or 0)
        corners += [(x(earlier.seconds / divisor), level), (x(later.seconds / divisor), level)]
    if corners:
        corners.append((corners[-1][0], y(best[-1].quality.value or 0)))
        yield Line(tuple(corners), "muted", 1.0, dashed=True)
