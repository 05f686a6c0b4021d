"""Shared by the data tests: writing a file, reading it, and the message of what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from langmerge.data import FileSource, Row, RowSpec, read_split
from langmerge.errors import DataError


class Folder:
    """A temporary folder to put data files in."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, content: str | bytes) -> FileSource:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return FileSource(path)

    def rows(self, name: str, content: str | bytes, spec: RowSpec) -> tuple[Row, ...]:
        return read_split(self.write(name, content), spec).rows

    def problem(self, name: str, content: str | bytes, spec: RowSpec) -> str:
        """Return the message of reading a bad file, the folder cut off."""
        source = self.write(name, content)
        return problem(lambda: read_split(source, spec)).replace(f"{self.path}/", "")


def problem(action: Callable[[], object]) -> str:
    with pytest.raises(DataError) as caught:
        result = action()
        if isinstance(result, Iterable):
            list(result)
    message = str(caught.value)
    assert "\n" not in message, "a message is one line"
    return message


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)
