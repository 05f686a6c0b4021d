"""Which stored objects were read whole, and what their files looked like then.

Reading every byte of every object before each run would be slow, and trusting names and sizes would
miss a changed byte. So an object is read once, and the look of its files (size, times of last
change of content and of anything, inode) is noted in `STORE/verified.jsonl`; as long as they look
the same, it counts as read.

What this trusts: the file system, which changes one of the four whenever it changes a file. Times
are only compared for equality, so clocks may jump. What it cannot see is a disk that returns other
bytes than were written; `langmerge verify` and `release` read everything each time.

Lines are appended, the last one for a digest counts, and a line that is not readable counts as
none: without this file, everything is right and the next run slower.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterable
from functools import cached_property
from pathlib import Path

from langmerge.canonical import parse_json
from langmerge.files import write_atomically

Look = dict[str, list[int]]
"""File name in the object -> size, mtime and ctime in nanoseconds, inode."""


class Seals:
    """The looks of objects that were read whole; nothing is read or written before it is asked."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def holds(self, digest: str, folder: Path) -> bool:
        """Return whether an object looks as it did when it was read whole."""
        known = self._looks.get(digest)
        return known is not None and look_of(folder, known) == known

    def add(self, digest: str, look: Look) -> None:
        """Note the look of an object, taken before it was read."""
        if self._looks.get(digest) != look:
            self._looks[digest] = look
            self._append({digest: look})

    def drop(self, digest: str) -> None:
        """Note that an object is not whole, whatever it looks like."""
        if self._looks.pop(digest, None) is not None:
            self._append({digest: None})

    def keep_only(self, digests: Collection[str]) -> None:
        """Forget all other objects.

        Raises:
            StorageError: if the file cannot be written.
        """
        kept = {digest: look for digest, look in self._looks.items() if digest in digests}
        if len(kept) < len(self._looks):
            self._looks = kept
            lines = (json.dumps({digest: look}) + "\n" for digest, look in kept.items())
            write_atomically(self._path, "".join(lines))

    @cached_property
    def _looks(self) -> dict[str, Look]:
        found: dict[str, Look | None] = {}
        with contextlib.suppress(OSError):
            for line in self._path.read_bytes().splitlines():
                with contextlib.suppress(ValueError, TypeError):
                    found.update(parse_json(line))
        return {digest: look for digest, look in found.items() if isinstance(look, dict)}

    def _append(self, entry: dict[str, Look | None]) -> None:
        # The newline in front ends a line that a killed process left half.
        line = "\n" + json.dumps(entry) + "\n"
        # On a full disk or in a folder for reading only, the next run reads the object again.
        with contextlib.suppress(OSError), self._path.open("ab", buffering=0) as file:
            file.write(line.encode())


def look_of(folder: Path, names: Iterable[str]) -> Look | None:
    """Return what files look like; None if one is not there."""
    try:
        found = {name: (folder / name).stat() for name in names}
    except (OSError, ValueError):
        return None
    return {name: look_of_file(status) for name, status in found.items()}


def look_of_file(status: os.stat_result) -> list[int]:
    """Return what tells whether a file changed: size, times of last change, inode."""
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
