"""What a task and a project say about the files of one language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RowSpec:
    """How raw records become rows.

    Attributes:
        shapes: names in `SHAPES` that the task accepts, in order of preference.
        labels: the declared labels of a classification task; empty elsewhere.
        fields: the names the prompt template uses; those the shape does not give itself are read
            from columns of the same name.
        columns: langmerge's name -> the file's column, where the two differ.
        language_column: the column that holds the language, in a file of several languages.
        language: the language to keep, as the language column spells it.
    """

    shapes: tuple[str, ...]
    labels: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    language_column: str | None = None
    language: str = ""
