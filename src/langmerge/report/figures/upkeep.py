"""Upkeep over time: what every run took, and how the releases scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from langmerge.durations import time_text, time_unit
from langmerge.report.document import Figure
from langmerge.report.drawing import (
    WIDTH,
    Anchor,
    Box,
    Drawing,
    Item,
    Line,
    Marker,
    Scale,
    Shape,
    Style,
    Text,
    shortened,
    tick_text,
)
from langmerge.report.figures.plane import FLOOR, HEIGHT, LEFT, NAMES, TOP, Named, frame, names
from langmerge.report.words import moment_text
from langmerge.upkeep.bill import RunBill
from langmerge.upkeep.releases import Release

MOST_RUNS = 12

_ROW = 38.0
_TOP = 48.0
_LETTERS: dict[str, tuple[str, Style]] = {
    "data": ("data", "base"),
    "train": ("train", "merged"),
    "merge": ("merge", "single"),
    "evaluate": ("evaluate", "individual"),
    "combined": ("combined", "combined"),
    "failed": ("failed", "muted"),
}
_STRENGTH = 0.45
"""So that letters on the boxes are readable in both themes."""

_WIDTH_OF_LETTER = 13.0


def shares(run: RunBill) -> dict[str, float]:
    """Return a run's device-seconds by kind of work; the combined model's stand apart."""
    return {
        **{kind: cost.device_seconds for kind, cost in run.by_kind.items()},
        "combined": run.baseline.device_seconds,
        "failed": run.failed.device_seconds,
    }


def timeline(runs: Sequence[RunBill]) -> Figure:
    """Return the device time of the last runs, by kind of work, oldest first."""
    shown = runs[-MOST_RUNS:]
    divisor, unit = time_unit(max((run.device_seconds for run in shown), default=0.0))
    right = WIDTH - 62
    x = Scale.around([run.device_seconds / divisor for run in shown], 0.0, right, zero=True)
    height = _TOP + _ROW * len(shown) + 40
    items: list[Item] = [Text(0, 16, "Device time of every run", size=13, bold=True)]
    items.extend(_legend())
    floor = height - 40
    for tick in x.ticks:
        items.append(Line(((x(tick), floor), (x(tick), floor + 4)), "muted"))
        anchor: Anchor = "start" if tick == x.ticks[0] else "middle"
        label = tick_text(tick, x.ticks)
        items.append(Text(x(tick), floor + 16, label, anchor, "muted", 11))
    items.append(Text(right / 2, height - 6, unit, "middle", "muted", 11))
    items.append(Line(((0.0, floor), (right, floor)), "muted"))
    for row, run in enumerate(shown):
        items.extend(_run(run, _TOP + _ROW * row, x, divisor))
    said = "; ".join(
        f"{moment_text(run.started)} {run.kind}, {time_text(run.device_seconds)}" for run in shown
    )
    return Figure(
        "upkeep-runs", "Device time of every run", f"{said}.", Drawing(WIDTH, height, tuple(items))
    )


def _legend() -> list[Item]:
    items: list[Item] = []
    place = 0.0
    for kind, (name, style) in _LETTERS.items():
        items.append(Box(place, 28, 13, 13, style, _STRENGTH))
        items.append(Text(place + 6.5, 38.5, kind[0].upper(), "middle", "ink", 10))
        items.append(Text(place + 16, 38.5, name, "start", "muted", 10))
        place += 21 + 6.3 * len(name)
    return items


def _run(run: RunBill, top: float, x: Scale, divisor: float) -> list[Item]:
    note = f"{moment_text(run.started)}  {run.kind}"
    items: list[Item] = [Text(0, top + 14, shortened(note, WIDTH - 70), size=11)]
    place = 0.0
    for kind, seconds in shares(run).items():
        width = x(seconds / divisor) - x(0.0)
        if width > 0:
            title = f"{kind}: {time_text(seconds)}"
            items.append(Box(place, top + 19, width, 14, _LETTERS[kind][1], _STRENGTH, title))
            if width > _WIDTH_OF_LETTER:
                letter = kind[0].upper()
                items.append(Text(place + width / 2, top + 30, letter, "middle", "ink", 10))
        place += width
    items.append(Text(place + 6, top + 30, time_text(run.device_seconds), "start", "ink", 11))
    return items


def release_scores(
    task: str, releases: Sequence[Release], means: Mapping[str, float], current: str | None
) -> Figure:
    """Return a task's mean test score release by release.

    Args:
        task: the task's name.
        releases: oldest first; those that have the task.
        means: the mean over languages, by the release's name.
        current: the name of the release that is served.
    """
    shown = [release for release in releases if release.name in means][-MOST_RUNS:]
    scale_x = Scale.around([release.number for release in shown], LEFT, WIDTH - NAMES)
    x = Scale(
        scale_x.low, scale_x.high, scale_x.start, scale_x.end,
        tuple(float(release.number) for release in shown),
    )  # fmt: skip
    y = Scale.around([means[release.name] for release in shown], FLOOR, TOP)
    title = f"{task}: mean on test by release"
    texts = [str(release.number) for release in shown]
    items: list[Item] = [*frame(title, "release", x, y, texts)]
    path = tuple((x(release.number), y(means[release.name])) for release in shown)
    items.append(Line(path, "merged", 1.5))
    for release, place in zip(shown, path, strict=True):
        about = f"{release.name}: {means[release.name]:.1f}"
        shape: Shape = "circle" if release.name == current else "ring"
        items.append(Marker(*place, shape, "merged", about))
    served = [
        Named("served", *place, bold=True)
        for release, place in zip(shown, path, strict=True)
        if release.name == current
    ]
    items.extend(names(served, WIDTH - NAMES + 10))
    said = "; ".join(f"{release.name} {means[release.name]:.1f}" for release in shown)
    return Figure(f"releases-{task}", title, f"{said}.", Drawing(WIDTH, HEIGHT, tuple(items)))
