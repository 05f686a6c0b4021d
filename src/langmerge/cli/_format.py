"""Numbers as text, the same in all verbs."""

from __future__ import annotations

from langmerge.upkeep.bill import SECONDS_PER_HOUR


def time_span(seconds: float) -> str:
    """Return a time span as text that is never broken over lines."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 2 * SECONDS_PER_HOUR:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / SECONDS_PER_HOUR:.1f} h"
