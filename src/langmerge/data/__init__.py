"""Data in the shapes people have, turned into one internal form."""

from langmerge.data.changes import (
    RowChanges,
    changes_between,
    row_digest,
    rows_to_learn,
    share_of_rows,
)
from langmerge.data.checks import (
    Finding,
    Overlap,
    check_language_splits,
    compare_labels,
    overlap,
)
from langmerge.data.hub import HubSource
from langmerge.data.reading import read_rows, read_split, write_rows
from langmerge.data.rows import Row, Split
from langmerge.data.shapes import SHAPES, Shape
from langmerge.data.sources import FileSource, Source, records
from langmerge.data.spec import RowSpec

__all__ = [
    "SHAPES",
    "FileSource",
    "Finding",
    "HubSource",
    "Overlap",
    "Row",
    "RowChanges",
    "RowSpec",
    "Shape",
    "Source",
    "Split",
    "changes_between",
    "check_language_splits",
    "compare_labels",
    "overlap",
    "read_rows",
    "read_split",
    "records",
    "row_digest",
    "rows_to_learn",
    "share_of_rows",
    "write_rows",
]
