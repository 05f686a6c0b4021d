"""One raw record under langmerge's names, and the errors that point back into its file."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from langmerge.data.messages import shown
from langmerge.errors import DataError, did_you_mean


def normalize_text(text: str) -> str:
    """Return `text` in Unicode form NFC with line feeds as line ends, otherwise untouched."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))


@dataclass(frozen=True)
class Record:
    """One raw record: its values under langmerge's names, and where it stands.

    Attributes:
        location: the file and line (or row), as messages name it.
        values: the file's column names and langmerge's names for them -> raw values.
        columns: langmerge's name -> the file's column, so that messages can name both.
    """

    location: str
    values: Mapping[str, Any]
    columns: Mapping[str, str] = field(default_factory=dict)

    def error(self, name: str, problem: str) -> DataError:
        """Return (not raise) the error for the field `name`, such as `choices[2]`."""
        column = self.columns.get(name.partition("[")[0])
        alias = f" (column {column!r})" if column else ""
        return DataError(f"{self.location}: field '{name}'{alias}: {problem}")

    def text(self, name: str) -> str:
        """Return the text of a required field.

        Raises:
            DataError: it is missing, blank or not text.
        """
        if name not in self.values:
            raise self.error(
                name,
                f"not in this row, which has {', '.join(map(repr, self.values))}"
                f"{did_you_mean(name, self.values) or '; add it or remove the row'}",
            )
        return self.required_text(self.values[name], name)

    def optional_text(self, name: str) -> str:
        """Return the text of an optional field; empty where there is none.

        Raises:
            DataError: it is not text.
        """
        return self.any_text(self.values.get(name), name)

    def key(self, name: str) -> str:
        """Return an id, group or language, without surrounding space; empty where there is none.

        Raises:
            DataError: it is neither text nor a whole number.
        """
        return self.optional_text(name).strip()

    def nested(self, name: str) -> Any:
        """Return a field that holds a list or object, decoded where a cell holds it as JSON.

        Raises:
            DataError: it is text that is not JSON.
        """
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise self.error(
                name, f'found {shown(value)}, expected a JSON list such as ["a", "b"]'
            ) from error

    def required_text(self, value: Any, name: str) -> str:
        """Return `value`, found at `name`, as text that is not blank.

        Raises:
            DataError: it is missing, blank or not text.
        """
        text = self.any_text(value, name)
        if not text.strip():
            raise self.error(name, "found nothing, expected text; fill it in or remove the row")
        return text

    def any_text(self, value: Any, name: str) -> str:
        """Return `value`, found at `name`, as normalized text; None is empty text.

        Whole numbers become text, because CSV cannot tell `5` from `"5"`. Fractions do not: their
        spelling differs between formats, and a row must not depend on the format of its file.

        Raises:
            DataError: it is not text, or holds half of a surrogate pair.
        """
        if value is None:
            return ""
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise self.error(name, f"found {shown(value)}, expected text; write it as text")
        text = normalize_text(value)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise self.error(
                name,
                f"found half of a surrogate pair (U+{ord(text[error.start]):04X}), expected text; "
                "write the whole character",
            ) from error
        return text
