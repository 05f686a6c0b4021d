"""Where records come from: a file, or a data set of the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from langmerge.data.formats import READERS, Format, Records
from langmerge.data.hub import HubSource, read_hub
from langmerge.data.messages import first_line
from langmerge.errors import DataError, did_you_mean

__all__ = ["FileSource", "HubSource", "Source", "records"]

_SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}


@dataclass(frozen=True)
class FileSource:
    """A local file; without `format`, its suffix says (`.gz` may follow that of a text format)."""

    path: Path
    format: Format | None = None

    def __str__(self) -> str:
        return str(self.path)


Source = FileSource | HubSource


def records(source: Source) -> Records:
    """Yield (location, raw record) for each record of `source`, in its order.

    A location is `data/de/train.jsonl:17` for text, by physical line, and
    `data/de/train.parquet: row 17` where there are no lines.

    Raises:
        DataError: the source is missing, empty, unreadable or malformed.
        MissingExtraError: the source needs a package that is not installed.
    """
    empty = True
    for located in read_hub(source) if isinstance(source, HubSource) else _read_file(source):
        empty = False
        yield located
    if empty:
        raise DataError(f"{source}: found no rows, expected at least one; add rows to it")


def _read_file(source: FileSource) -> Records:
    try:
        if not source.path.is_file():
            raise missing_file(source.path)
    except OSError as error:
        raise DataError(
            f"{source}: cannot be read ({first_line(error)}); check that you may read its folder"
        ) from error
    return READERS[_format_of(source)](source.path)


def _format_of(source: FileSource) -> Format:
    path = source.path
    compressed = path.suffix == ".gz"
    suffix = Path(path.stem).suffix if compressed else path.suffix
    found = source.format or _SUFFIXES.get(suffix.lower())
    if found is None:
        raise DataError(
            f"{path}: no format goes with the suffix '{suffix}'; "
            f"set format: {' | '.join(READERS)}{did_you_mean(suffix, _SUFFIXES)}"
        )
    if compressed and found == "parquet":
        raise DataError(f"{path}: Parquet inside gzip is not read; unpack the file with gunzip")
    return found


def missing_file(path: Path) -> DataError:
    """Return (not raise) the error for a path that is no file, naming the nearest that is."""
    if path.is_dir():
        return DataError(f"{path}: found a folder, expected a file; name a file in it")
    # Climb to the first part that is missing: a misspelt folder is no misspelt file.
    missing = path
    while not missing.parent.is_dir():
        missing = missing.parent
    siblings = sorted(entry.name for entry in missing.parent.iterdir())
    what = "file" if missing == path else "folder"
    return DataError(
        f"{path}: no such {what}: '{missing.name}' is not in {missing.parent}"
        f"{did_you_mean(missing.name, siblings) or '; check the path'}"
    )
