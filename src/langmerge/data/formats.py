"""File formats: each reader yields (location, raw record) and names the line of what is wrong.

Text is read as bytes, line by line, and decoded here: only so can a message name the line that is
not UTF-8.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from langmerge.data.messages import first_line, listed, shown
from langmerge.errors import DataError, MissingExtraError

Format = Literal["jsonl", "json", "csv", "tsv", "parquet"]
Records = Iterator[tuple[str, Mapping[str, Any]]]

_BOM = "\ufeff"
_EXPECTED_LINES = "expected one JSON object a line; where the file is one list, set format: json"
_EXPECTED_LIST = "expected one list of objects; where each line is an object, set format: jsonl"


def read_jsonl(path: Path) -> Records:
    """Yield one record per line of JSON Lines; blank lines are skipped.

    Raises:
        DataError: a line is not UTF-8, not JSON, or not an object.
    """
    for number, line in _text_lines(path):
        if line.isspace():
            continue
        value = _parsed(line.rstrip("\r\n"), path, number, _EXPECTED_LINES)
        location = f"{path}:{number}"
        if not isinstance(value, dict):
            raise DataError(f"{location}: found {shown(value)}, {_EXPECTED_LINES}")
        yield location, value


def read_json(path: Path) -> Records:
    """Yield the objects of one JSON list.

    Raises:
        DataError: the file is not UTF-8, not JSON, or not a list of objects.
    """
    text = "".join(line for _, line in _text_lines(path))
    if not text.strip():
        return
    items = _parsed(text, path, 1, _EXPECTED_LIST)
    if not isinstance(items, list):
        raise DataError(f"{path}: found {shown(items)}, {_EXPECTED_LIST}")
    for number, item in enumerate(items, 1):
        location = f"{path}: item {number}"
        if not isinstance(item, dict):
            raise DataError(f"{location}: found {shown(item)}, expected an object {{...}}")
        yield location, item


def read_csv(path: Path) -> Records:
    """Yield the rows of a comma-separated file with a header, cells as text; see `_separated`."""
    return _separated(path, ",")


def read_tsv(path: Path) -> Records:
    """Yield the rows of a tab-separated file with a header, cells as text; see `_separated`."""
    return _separated(path, "\t")


def read_parquet(path: Path) -> Records:
    """Yield the rows of a Parquet file, batch by batch.

    Raises:
        DataError: it is no Parquet file.
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "data", f"Reading {path}") from error
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for record in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", record
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            f"{path}: cannot be read as Parquet ({first_line(error)}); "
            "write the file again, or name its real format"
        ) from error


READERS: Mapping[Format, Callable[[Path], Records]] = {
    "jsonl": read_jsonl,
    "json": read_json,
    "csv": read_csv,
    "tsv": read_tsv,
    "parquet": read_parquet,
}


def _text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number, line with its end), decoded, without a byte order mark."""
    for number, line in _byte_lines(path):
        if b"\0" in line:
            raise DataError(
                f"{path}:{number}: found a NUL byte, expected UTF-8 text; the file is binary or "
                "UTF-16: save it as UTF-8, or name its real format"
            )
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}:{number}: byte {error.start + 1} of the line (0x{line[error.start]:02x}) "
                "is not UTF-8; save the file as UTF-8"
            ) from error
        yield number, text.removeprefix(_BOM) if number == 1 else text


def _byte_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from enumerate(file, 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: cannot be read ({first_line(error)}); "
            "check that it is whole and that you may read it"
        ) from error


def _parsed(text: str, path: Path, line: int, expected: str) -> Any:
    """Return the JSON value of `text`, which begins on line `line` of `path`."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}:{line + error.lineno - 1}: invalid JSON at column {error.colno} "
            f"({error.msg}); {expected}"
        ) from error
    except (ValueError, RecursionError) as error:  # a number too long, lists too deep
        raise DataError(
            f"{path}:{line}: JSON beyond what can be read ({first_line(error)}); {expected}"
        ) from error


def _separated(path: Path, delimiter: str) -> Records:
    """Yield the rows of a separated file as header name -> cell; blank rows are skipped.

    Raises:
        DataError: the file is not UTF-8, the header is unfit, a row has another number of cells
            than the header, or a quoted cell is broken.
    """
    header: list[str] | None = None
    for location, cells in _rows_of_cells(path, delimiter):
        if header is None:
            header = _checked_header(cells, delimiter, location)
        elif len(cells) == len(header):
            yield location, dict(zip(header, cells, strict=True))
        else:
            raise DataError(
                f"{location}: found {len(cells)} cells, expected {len(header)} as in the header; "
                "put cells that hold a separator or a line end in double quotes"
            )


def _rows_of_cells(path: Path, delimiter: str) -> Iterator[tuple[str, list[str]]]:
    """Yield (location of the row's first line, cells)."""
    lines = (line for _, line in _text_lines(path))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        location = f"{path}:{reader.line_num + 1}"
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{location}: broken cell in the row that begins here ({error}); "
                'close every quoted cell, write a quote inside one as "", '
                f"and keep texts of over {csv.field_size_limit()} characters in JSON Lines"
            ) from error
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield location, cells


def _checked_header(header: list[str], delimiter: str, location: str) -> list[str]:
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise DataError(
            f"{location}: the header names {listed(repeated)} more than once; rename the columns"
        )
    others = [mark for mark in (",", ";", "\t") if mark != delimiter and mark in header[0]]
    if len(header) == 1 and others:
        raise DataError(
            f"{location}: the header is one cell, {shown(header[0])}, expected cells separated by "
            f"{delimiter!r}; the file seems to use {others[0]!r}: save it as CSV or TSV"
        )
    return header
