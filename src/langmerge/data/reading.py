"""From a source to the rows of a split, and rows to and from langmerge's own JSON Lines."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from langmerge.canonical import canonical_json, digest_of
from langmerge.data.columns import check_columns, recognize
from langmerge.data.formats import read_jsonl
from langmerge.data.messages import first_line, listed, shown
from langmerge.data.record import Record
from langmerge.data.rows import Row, Split
from langmerge.data.shapes import Content, build_content
from langmerge.data.sources import Source, records
from langmerge.data.spec import RowSpec
from langmerge.errors import DataError, StorageError, did_you_mean


def read_split(source: Source, spec: RowSpec) -> Split:
    """Read all rows of one language from `source`.

    The shape is recognized on the first record of the language. The split, and so its digest, does
    not depend on the file's name and format, nor on the order of its rows and columns.

    Args:
        source: a file or a data set of the hub.
        spec: the shapes the task accepts, and what the project says about columns and language.

    Raises:
        DataError: the source, a row or a field is wrong, two rows have the same id, or no row is
            of the language.
        MissingExtraError: the source needs a package that is not installed.
    """
    rows: dict[str, Row] = {}
    locations: dict[str, str] = {}
    copies: Counter[str] = Counter()
    for record, content in _contents(source, spec):
        group = record.key("group")
        id = record.key("id") or _content_id(content, group, copies)
        if id in rows:
            raise record.error(
                "id", f"found {shown(id)}, which {locations[id]} has too; give each row its own id"
            )
        rows[id] = content.as_row(id, group or id)
        locations[id] = record.location
    return Split(tuple(rows[id] for id in sorted(rows)))


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as langmerge's own JSON Lines; `read_rows` is the inverse.

    Raises:
        StorageError: the file cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{canonical_json(row.to_json())}\n" for row in rows)
        unfinished.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({first_line(error)}); check the folder and the free space"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def read_rows(path: Path) -> tuple[Row, ...]:
    """Read what `write_rows` wrote.

    Raises:
        DataError: the file is missing, or was not written by `write_rows`.
    """
    rows = []
    for location, record in read_jsonl(path):
        try:
            rows.append(Row.from_json(record))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{location}: found {shown(record)}, expected a row that langmerge wrote; "
                "read other data with read_split"
            ) from error
    return tuple(rows)


def _contents(source: Source, spec: RowSpec) -> Iterator[tuple[Record, Content]]:
    shape = None
    for record in _of_language(source, spec):
        shape = shape or recognize(record.values.keys(), spec, record.location)
        yield record, build_content(shape, record, spec)


def _of_language(source: Source, spec: RowSpec) -> Iterator[Record]:
    """Yield the records of `spec.language`; all of them where no column holds the language."""
    if spec.language_column is None:
        yield from _named_records(source, spec)
        return
    found: set[str] = set()
    for record in _named_records(source, spec):
        language = record.key(spec.language_column)
        if language == spec.language:
            yield record
        found.add(language)
    if spec.language not in found:
        raise DataError(
            f"{source}: no row has {spec.language_column} {spec.language!r}; "
            f"its languages are {listed(sorted(found))}{did_you_mean(spec.language, found)}"
        )


def _named_records(source: Source, spec: RowSpec) -> Iterator[Record]:
    """Yield records under langmerge's names; the file's own names stay usable beside them."""
    for number, (location, raw) in enumerate(records(source)):
        if number == 0:
            check_columns(raw.keys(), spec, location)
        named = {name: raw.get(column) for name, column in spec.columns.items()}
        yield Record(location, {**raw, **named}, spec.columns)


def _content_id(content: Content, group: str, copies: Counter[str]) -> str:
    """Return an id that follows from the content alone; copies of a row are numbered from 2."""
    id = f"row-{digest_of({**asdict(content), 'group': group})[:16]}"
    copies[id] += 1
    return id if copies[id] == 1 else f"{id}-{copies[id]}"
