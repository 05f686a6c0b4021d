"""How error messages show values, names and foreign errors: quoted, short, on one line."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from langmerge.errors import DataError, did_you_mean

_SHOWN_CHARACTERS = 60


def shown(value: Any) -> str:
    """Return `value` as a message shows it: quoted, on one line, shortened."""
    text = repr(value)
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    return f"{text[:_SHOWN_CHARACTERS]}... ({type(value).__name__})"


def listed(names: Iterable[str], limit: int = 12) -> str:
    """Return quoted names for a message: `'a', 'b' and 3 more`."""
    quoted = [shown(name) for name in names]
    rest = f" and {len(quoted) - limit} more" if len(quoted) > limit else ""
    return ", ".join(quoted[:limit]) + rest


def first_line(error: BaseException) -> str:
    """Return the first line of a foreign error's message, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def no_column(column: str, columns: Collection[str], where: str) -> DataError:
    """Return (not raise) the error for a column that the file does not have."""
    return DataError(
        f"{where}: there is no column {column!r}, expected one of {listed(columns)}"
        f"{did_you_mean(column, columns) or '; mend the name or add the column'}"
    )
