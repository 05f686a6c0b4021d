"""Records of a data set of the Hub, turned into the columns of langmerge's shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from langmerge.canonical import digest_of
from langmerge.data.hub import HubSource, read_hub
from langmerge.errors import DataError, did_you_mean
from langmerge.recipes.recipe import Fetched, HubTable, Origin, Recipe, Record
from langmerge.tasks.templates import fill, template_fields


def fetch_table(recipe: Recipe, language: str, origin: Origin) -> Iterator[Fetched]:
    """Yield the rows of one language of a data set of the Hub, or of a local copy of it.

    Raises:
        DataError: if it cannot be loaded, or has not the columns that the recipe knows.
        MissingExtraError: if `datasets` is not installed.
    """
    table = recipe.hub
    assert table is not None
    for part in recipe.parts:
        source = source_of(table, recipe.languages[language], part, origin)
        for location, record in read_hub(source):
            if table.language and record.get(table.language) != recipe.languages[language]:
                continue
            for each in _exploded(record, table.explode):
                if (row := to_row(table, each, location)) is not None:
                    group = _group(table, each, row)
                    if table.group_within_part:
                        group = f"{part}-{group}"
                    yield Fetched(part, group, row)


def source_of(table: HubTable, configuration: str, part: str, origin: Origin) -> HubSource:
    """Return where one split of one configuration is read from."""
    path = table.path if origin.folder is None else str(origin.folder)
    revision = None if origin.folder is not None else origin.revision or table.revision
    if table.files is None:
        name = None if table.language else configuration
        return HubSource(path, name, part, revision)
    files = table.files.format(configuration=configuration, split=part)
    return HubSource(path, None, part, revision, (files,))


def to_row(table: HubTable, record: Record, location: str) -> dict[str, Any] | None:
    """Return a record in the columns of a shape; None if it lacks a text or a label.

    Raises:
        DataError: if it has not the columns that the recipe knows.
    """
    row: dict[str, Any] = {}
    for name, column in table.fields.items():
        value = _value(record, column, location)
        value = table.values.get(name, {}).get(str(value), value)
        if value is None or not str(value).strip():
            return None
        row[name] = value
    if table.choices:
        choices = [_value(record, column, location) for column in table.choices]
        if any(choice is None or not str(choice).strip() for choice in choices):
            return None
        row["choices"] = [str(choice) for choice in choices]
        row["answer"] = int(row["answer"]) - table.first_answer
    elif isinstance(row.get("choices"), Mapping):  # ARC's form: texts, and labels that name them
        labels = list(row["choices"]["label"])
        if row["answer"] not in labels:
            return None
        row["answer"] = labels.index(row["answer"])
        row["choices"] = list(row["choices"]["text"])
    return row


def _value(record: Record, column: str, location: str) -> Any:
    """Return a column's value, or a template's with several columns' values in it."""
    if "{" not in column:
        return _column(record, column, location)
    values = {name: _column(record, name, location) for name in template_fields(column)}
    if any(value is None for value in values.values()):
        return None
    return fill(column, {name: str(value).strip() for name, value in values.items()})


def _column(record: Record, name: str, location: str) -> Any:
    if name not in record:
        raise DataError(
            f"{location}: no column '{name}'{did_you_mean(name, record)} (there are "
            f"{', '.join(record)}); the data set changed since the recipe was written: give an "
            "older commit with --revision"
        )
    return record[name]


def _exploded(record: Record, column: str | None) -> Iterator[Record]:
    """Yield a record, or each of the records nested in it; its other columns stay beside them."""
    if column is None:
        yield record
        return
    nested = record[column]
    outer = {name: value for name, value in record.items() if name != column}
    if isinstance(nested, Mapping):  # a list of records is often stored as a record of lists
        names = list(nested)
        nested = [
            dict(zip(names, values, strict=True)) for values in zip(*nested.values(), strict=True)
        ]
    for each in nested or ():
        yield {**outer, **each}


def _group(table: HubTable, record: Record, row: Mapping[str, Any]) -> str:
    """Return what a row is about; without such a column, the digest of what it asks."""
    for name in table.group:
        if (value := record.get(name)) is not None and str(value).strip():
            return str(value).strip()
    asked = {key: value for key, value in row.items() if key not in ("label", "answer", "summary")}
    return f"text-{digest_of(asked)[:16]}"
