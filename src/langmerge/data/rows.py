"""The internal form of data: whatever a file looks like, a task sees `Row`s in a `Split`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from langmerge.canonical import canonical_json


@dataclass(frozen=True, slots=True)
class Row:
    """One example of one language.

    Attributes:
        id: unique inside its split.
        group: rows about the same thing share it; statistics resample groups. Defaults to `id`.
        fields: the named texts a prompt template may use.
        target: the text to be produced: a summary, a label, the text of the right choice.
        choices: the candidate answers of this row; empty where the task has none of its own.
        answer: index of `target` in `choices`; None where `choices` is empty.
        messages: (role, content) turns before the target, for conversational data; else empty.
    """

    id: str
    group: str
    fields: Mapping[str, str]
    target: str
    choices: tuple[str, ...] = ()
    answer: int | None = None
    messages: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the row as a JSON object; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Row:
        """Rebuild a row from `to_json`'s object."""
        return cls(
            id=record["id"],
            group=record["group"],
            fields=dict(record["fields"]),
            target=record["target"],
            choices=tuple(record["choices"]),
            answer=record["answer"],
            messages=tuple((role, content) for role, content in record["messages"]),
        )


@dataclass(frozen=True)
class Split:
    """The rows of one split of one language, sorted by id so that file order means nothing."""

    rows: tuple[Row, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the rows' canonical JSON lines: the identity retraining depends on."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(canonical_json(row.to_json()).encode())
            digest.update(b"\n")
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.rows)
