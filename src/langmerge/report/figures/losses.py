"""Losses over the steps of training: one line for each adapter, dev losses as points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from langmerge.plan.graph import COMBINED, INDIVIDUAL
from langmerge.report.document import Figure
from langmerge.report.drawing import WIDTH, Drawing, Item, Line, Marker, Scale
from langmerge.report.figures.models import style_of
from langmerge.report.figures.plane import FLOOR, HEIGHT, LEFT, NAMES, TOP, Named, frame, names
from langmerge.train.record import TrainingRecord

_POINTS = 40
"""Of a line, at most: each is the mean of the steps since the one before."""


def losses(name: str, title: str, trainings: Mapping[str, TrainingRecord]) -> Figure:
    """Return the figure of a task's trainings.

    Args:
        name: of the figure.
        title: the task.
        trainings: what is kept of each, by language or model.
    """
    lines = {who: _smoothed(record.losses) for who, record in trainings.items()}
    devs = [dev.loss for record in trainings.values() for dev in record.dev_losses]
    steps = [step for line in lines.values() for step, _ in line]
    values = [loss for line in lines.values() for _, loss in line]
    x = Scale.around(steps, LEFT, WIDTH - NAMES, zero=True)
    y = Scale.around([*values, *devs], FLOOR, TOP, zero=True)
    items: list[Item] = [*frame(title, "step", x, y)]
    named = []
    for who, line in lines.items():
        style = style_of(COMBINED if who == COMBINED else INDIVIDUAL)
        path = tuple((x(step), y(loss)) for step, loss in line)
        items.append(Line(path, style, 1.5))
        for dev in trainings[who].dev_losses:
            said = f"{who}: dev loss {dev.loss:.3f} after step {dev.step}"
            items.append(Marker(x(dev.step), y(dev.loss), "ring", style, said, 3.5))
        named.append(Named(who, *path[-1]))
    items.extend(names(named, WIDTH - NAMES + 10))
    said = "; ".join(_in_words(who, line, trainings[who]) for who, line in lines.items())
    drawing = Drawing(WIDTH, HEIGHT, tuple(items))
    return Figure(name, f"{title}: loss over the steps", f"{said}.", drawing)


def _smoothed(values: Sequence[float]) -> list[tuple[int, float]]:
    """Return at most `_POINTS` points: the last step of a stretch, and the stretch's mean."""
    size = -(-len(values) // _POINTS)
    stretches = [values[start : start + size] for start in range(0, len(values), size)]
    return [(index * size + len(of), fmean(of)) for index, of in enumerate(stretches)]


def _in_words(who: str, line: Sequence[tuple[int, float]], record: TrainingRecord) -> str:
    words = f"{who}: {line[0][1]:.3f} to {line[-1][1]:.3f} in {line[-1][0]} steps"
    if record.dev_losses:
        best = min(record.dev_losses, key=lambda dev: dev.loss)
        words += f", lowest on dev {best.loss:.3f} after step {best.step}"
    return words
