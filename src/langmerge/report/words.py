"""Numbers and dates as the report writes them."""

from __future__ import annotations

from datetime import datetime, timezone


def signed(value: float) -> str:
    """Return a difference in points with its sign: `+1.5`, `−0.3`."""
    return f"{value:+.1f}".replace("-", "−")


def p_text(p_value: float) -> str:
    """Return a p-value with the digits that matter."""
    if p_value < 0.0001:
        return "<0.0001"
    return f"{p_value:.4f}" if p_value < 0.1 else f"{p_value:.2f}"


def moment_text(moment: datetime) -> str:
    """Return a moment in UTC: `2026-11-24 02:10`."""
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M}"


def listed(parts: list[str]) -> str:
    """Return parts as `a, b and c`."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else ""


def limited(parts: list[str], most: int = 5) -> str:
    """Return some parts, and how many more there are."""
    more = f" and {len(parts) - most} more" if len(parts) > most else ""
    return f"{', '.join(parts[:most])}{more}"
