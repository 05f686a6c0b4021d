"""Which shape a file has, told by its columns; and the columns a project names."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from langmerge.data.choices import CHOICE_COLUMNS
from langmerge.data.messages import listed, no_column, shown
from langmerge.data.shapes import SHAPES, Shape
from langmerge.data.spec import RowSpec
from langmerge.errors import DataError, did_you_mean

_KEY_COLUMNS = ("id", "group")


def recognize(columns: Collection[str], spec: RowSpec, location: str) -> Shape:
    """Return the first shape of `spec.shapes` whose columns are all there.

    Args:
        columns: the names a record has, after renaming.
        spec: which shapes are accepted.
        location: where the record stands, for the message.

    Raises:
        DataError: no accepted shape fits; the message says what each of them needs.
    """
    accepted = [SHAPES[name] for name in spec.shapes]
    for shape in accepted:
        if not shape.missing(columns):
            return shape
    needs = "; ".join(f"{shape.name} needs {_needs(shape)}" for shape in accepted)

    def unexplained(shape: Shape) -> float:
        return list(_likely_columns(shape, columns).values()).count("") / len(shape.needs)

    likely = _likely_columns(min(accepted, key=unexplained), columns)
    pairs = ", ".join(f"{name}: {column or '...'}" for name, column in likely.items())
    raise DataError(
        f"{location}: the columns {listed(columns)} fit no accepted shape ({needs}); "
        f"rename columns in the file, or say which is which with columns: {{{pairs}}}"
    )


def check_columns(columns: Collection[str], spec: RowSpec, location: str) -> None:
    """Check what `spec` says about columns against the file's own `columns`.

    Raises:
        DataError: `spec.columns` renames to a name that nothing reads, or names a column that the
            file does not have; or the file has no `spec.language_column`.
    """
    read = {name for shape in spec.shapes for name in (*SHAPES[shape].needs, *SHAPES[shape].gives)}
    read |= {*_KEY_COLUMNS, *spec.fields}
    if "choices" in read:
        read |= {name for series in CHOICE_COLUMNS for name in series}
    if spec.language_column:
        read.add(spec.language_column)
    for name, column in spec.columns.items():
        if name not in read:
            raise DataError(
                f"{location}: columns: nothing reads the name '{name}' (for {shown(column)}); "
                f"use a name this task reads{did_you_mean(name, sorted(read))}"
            )
        if column not in columns:
            raise no_column(column, columns, f"{location}: columns: {name}")
    language = spec.language_column
    if language and language not in columns and language not in spec.columns:
        raise no_column(language, columns, f"{location}: language_column")


def _needs(shape: Shape) -> str:
    series = " or ".join(f"{names[0]}, {names[1]}, ..." for names in CHOICE_COLUMNS)
    return ", ".join(
        f"choices (or {series})" if name == "choices" else name for name in shape.needs
    )


def _likely_columns(shape: Shape, columns: Collection[str]) -> dict[str, str]:
    """Return each column the shape needs and lacks -> the column that looks like it, or ""."""
    free = {column.casefold(): column for column in columns if column not in shape.needs}
    near = {name: difflib.get_close_matches(name, free, n=1) for name in shape.missing(columns)}
    return {name: free[found[0]] if found else "" for name, found in near.items()}
