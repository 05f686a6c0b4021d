"""Tables as CSV: the numbers themselves, intervals and p-values in columns of their own."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from langmerge.report.document import Cell, Estimate, Quantity, Table

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets take for the beginning of a formula."""


def to_csv(table: Table) -> str:
    """Return a table as CSV (RFC 4180); a column of estimates becomes five."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    is_estimate = [
        any(isinstance(row[column], Estimate) for row in table.rows)
        for column in range(len(table.header))
    ]
    writer.writerow(
        name
        for column, wide in zip(table.header, is_estimate, strict=True)
        for name in _names(column, wide)
    )
    for row in table.rows:
        writer.writerow(
            value
            for cell, wide in zip(row, is_estimate, strict=True)
            for value in _values(cell, wide)
        )
    return file.getvalue()


def _names(column: str, wide: bool) -> Iterator[str]:
    yield _text(column)
    if wide:
        yield from (f"{column} {part}" for part in ("low", "high", "p adjusted", "mark"))


def _values(cell: Cell, wide: bool) -> Iterator[str]:
    if isinstance(cell, Estimate):
        yield from map(_number, (cell.value, cell.low, cell.high, cell.p_value))
        yield cell.mark
        return
    yield _number(cell.value) if isinstance(cell, Quantity) else _text(cell)
    if wide:
        yield from ("", "", "", "")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def _text(text: str) -> str:
    """Return text that no spreadsheet runs."""
    return f"'{text}" if text.startswith(_FORMULA) else text
