"""Spans of time as text, the same in the terminal and in the report."""

from __future__ import annotations

_UNITS = ((7200.0, 3600.0, "h"), (120.0, 60.0, "min"), (float("-inf"), 1.0, "s"))
"""From how many seconds on a unit is used, its seconds, its name."""


def time_unit(seconds: float) -> tuple[float, str]:
    """Return how many seconds the fitting unit has, and its name."""
    return next((size, name) for least, size, name in _UNITS if seconds >= least)


def time_text(seconds: float) -> str:
    """Return a span of time: `7.1 s`, `12.3 min`, `4.0 h`."""
    size, name = time_unit(seconds)
    return f"{seconds / size:.1f} {name}"
