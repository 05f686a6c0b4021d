"""Data sets of the Hugging Face hub, and whatever else `datasets` loads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langmerge.data.formats import Records
from langmerge.data.messages import first_line
from langmerge.errors import DataError, MissingExtraError


@dataclass(frozen=True)
class HubSource:
    """One split of a data set that `datasets.load_dataset` can load without running its code.

    Attributes:
        path: a data set of the hub, a local folder, or a loader's name such as `json`.
        name: the configuration, often a language.
        split: the split, also as a slice such as `train[:1000]`.
        revision: a branch, tag or commit; pin a commit, or the data may change underneath.
        data_files: the files (or patterns) to read for this split; empty for the set's own.
    """

    path: str
    name: str | None = None
    split: str = "train"
    revision: str | None = None
    data_files: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "/".join(part for part in (self.path, self.name, self.split) if part)


def read_hub(source: HubSource) -> Records:
    """Yield (location, raw record), class labels by name.

    A class label's number counts the data set's own list of names, which may be ordered unlike
    the project's: the name is the only safe reading.

    Raises:
        DataError: the data set cannot be found or loaded.
        MissingExtraError: `datasets` is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("datasets", "data", f"Loading {source}") from error
    # A plain list of files would always be called `train`.
    files = {source.split.partition("[")[0]: list(source.data_files)}
    try:
        loaded = datasets.load_dataset(
            source.path,
            source.name,
            split=source.split,
            revision=source.revision,
            data_files=files if source.data_files else None,
        )
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"{source}: the data set cannot be loaded ({first_line(error)}); "
            "check path, name, split, revision, data_files and the network"
        ) from error
    labels = {
        column: feature.names
        for column, feature in loaded.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
    for number, record in enumerate(loaded, 1):
        named = {column: _label(record[column], names) for column, names in labels.items()}
        yield f"{source}: row {number}", {**record, **named}


def _label(value: Any, names: list[str]) -> Any:
    """Return the name of a class label; -1 (hidden) and None stay for the shape to report."""
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value
