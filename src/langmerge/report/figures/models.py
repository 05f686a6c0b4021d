"""How models look in every figure: a shape and a colour each."""

from __future__ import annotations

from langmerge.plan.graph import (
    ANCESTOR,
    BASE,
    BEST_SINGLE,
    COMBINED,
    COMBINED_CONTINUED,
    INDIVIDUAL,
    ROUTED,
)
from langmerge.report.drawing import Marker, Shape, Style

_LOOKS: dict[str, tuple[Shape, Style]] = {
    BASE: ("triangle", "base"),
    INDIVIDUAL: ("diamond", "individual"),
    ROUTED: ("diamond", "single"),
    BEST_SINGLE: ("down", "single"),
    COMBINED: ("square", "combined"),
    COMBINED_CONTINUED: ("square", "single"),
    ANCESTOR: ("triangle", "combined"),
}


def marker(model: str, subject: str, x: float, y: float, title: str = "") -> Marker:
    """Return a model's marker; of merges, the one the report is about is filled."""
    shape, style = _LOOKS.get(model, ("circle" if model == subject else "ring", "merged"))
    return Marker(x, y, shape, style, title)


def style_of(model: str) -> Style:
    """Return a model's style."""
    return _LOOKS.get(model, ("circle", "merged"))[1]
