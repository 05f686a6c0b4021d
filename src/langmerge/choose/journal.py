"""What candidates answered, line by line: a killed sweep goes on, a repeated one costs nothing.

`STORE/sweeps/KEY.jsonl`, one file for each set of base, adapters, rows and prompts. A line holds
the answers of one candidate to some rows of every unit, with a digest of itself; a line that a kill
cut short, or that changed, counts as never written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langmerge.canonical import digest_of, parse_json
from langmerge.files import writing

Answers = dict[str, list[Any]]
"""By unit: an answer for each of the first rows."""


@dataclass
class Entry:
    """What is known of a candidate.

    Attributes:
        answers: its answers, by unit.
        seconds: what they took.
        size: entries of the merged adapter.
    """

    answers: Answers = field(default_factory=dict)
    seconds: float = 0.0
    size: int | None = None

    def add(self, answers: Mapping[str, Sequence[Any]], seconds: float, size: int | None) -> None:
        """Take note of answers to the next rows."""
        for unit, found in answers.items():
            self.answers.setdefault(unit, []).extend(found)
        self.seconds += seconds
        self.size = size if self.size is None else self.size


class Journal:
    """The journal of one set of base, adapters and rows.

    Args:
        path: its file; None keeps everything in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._entries: dict[str, Entry] = {}
        for line in _lines(path):
            entry = self.of(line["candidate"])
            if line["from"] == {unit: len(entry.answers.get(unit, ())) for unit in line["answers"]}:
                entry.add(line["answers"], line["seconds"], line["size"])

    def of(self, candidate: str) -> Entry:
        """Return what is known of a candidate, by its key."""
        return self._entries.setdefault(candidate, Entry())

    def add(
        self,
        candidate: str,
        about: str,
        answers: Mapping[str, Sequence[Any]],
        *,
        seconds: float,
        size: int | None,
    ) -> None:
        """Keep a candidate's answers to the rows after those it has answered.

        Raises:
            StorageError: if the file cannot be written.
        """
        entry, seconds = self.of(candidate), round(seconds, 3)
        line = {
            "candidate": candidate,
            "about": about,
            "from": {unit: len(entry.answers.get(unit, ())) for unit in answers},
            "answers": answers,
            "seconds": seconds,
            "size": size,
        }
        entry.add(answers, seconds, size)
        if self._path is None:
            return
        text = json.dumps({**line, "digest": digest_of(line)}, ensure_ascii=False)
        with writing(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+") as file:
                # What a kill cut short ends here.
                whole = file.tell() == 0 or os.pread(file.fileno(), 1, file.tell() - 1) == b"\n"
                file.write((text if whole else f"\n{text}").encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())


def _lines(path: Path | None) -> list[dict[str, Any]]:
    if path is None or not path.exists():
        return []
    found = []
    for text in path.read_bytes().splitlines():
        try:
            line = parse_json(text)
            if line.pop("digest") == digest_of(line):
                found.append(line)
        except (ValueError, KeyError, AttributeError, TypeError):
            continue
    return found
