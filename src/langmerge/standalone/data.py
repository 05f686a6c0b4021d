"""The rows a model is evaluated on: a file, or one per language, read as a project reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from langmerge.data import FileSource, Split, read_split
from langmerge.errors import DataError
from langmerge.tasks import Task

_LANGUAGE = "{language}"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")

UNDETERMINED = "und"
"""The language of data where none is named (BCP 47)."""


def languages_of(pattern: str, given: Sequence[str]) -> tuple[str, ...]:
    """Return the languages of the data: those given, or those that files are there for.

    Args:
        pattern: a path, with `{language}` in it where every language has a file of its own.
        given: codes; may be none.

    Raises:
        DataError: if a code could lead out of its folder, is repeated, or no file is there.
    """
    for language in given:
        if not _PLAIN.fullmatch(language):
            raise DataError(
                f"--language {language}: not a code; use letters, digits, '-', '_' and '.'"
            )
    if len(set(given)) < len(given):
        raise DataError(f"--language: {', '.join(given)} repeats a language; name each once")
    if given or _LANGUAGE not in pattern:
        return tuple(given) or (UNDETERMINED,)
    before, _, after = pattern.partition(_LANGUAGE)
    found = sorted(language for language in _fitting(before, after) if _PLAIN.fullmatch(language))
    if not found:
        raise DataError(
            f"--data {pattern}: no file fits; check the path, or name the languages by --language"
        )
    return tuple(found)


def _fitting(before: str, after: str) -> list[str]:
    """Return what may stand between two parts of a path, so that a file is there."""
    stem, tail = before.rpartition("/")[2], after.partition("/")[0]
    folder = Path(before[: len(before) - len(stem)] or ".").expanduser()
    fitting = [
        entry.name[len(stem) : len(entry.name) - len(tail)]
        for entry in folder.glob("*")
        if entry.name.startswith(stem)
        and entry.name.endswith(tail)
        and len(entry.name) > len(stem) + len(tail)
    ]
    return [name for name in fitting if _path(before + _LANGUAGE + after, name).is_file()]


def read_data(task: Task, languages: Sequence[str]) -> dict[str, Split]:
    """Return the rows of every language, from the `test` of the task's data.

    Raises:
        DataError: naming file, row and field of what is wrong.
    """
    return {language: _read(task, language) for language in languages}


def _read(task: Task, language: str) -> Split:
    config = task.data
    spec = task.row_spec(language, config.columns, config.language_column)
    return read_split(FileSource(_path(config.test or "", language), config.format), spec)


def _path(pattern: str, language: str) -> Path:
    return Path(pattern.replace(_LANGUAGE, language)).expanduser()


def data_settings(
    pattern: str,
    languages: Sequence[str],
    language_column: str | None,
    columns: Mapping[str, str],
) -> dict[str, object]:
    """Return the `data:` section of a task that has test rows only.

    Raises:
        DataError: if one file would serve several languages and no column tells them apart.
    """
    if len(languages) > 1 and _LANGUAGE not in pattern and language_column is None:
        raise DataError(
            f"--data {pattern}: one file for {len(languages)} languages; write {_LANGUAGE} where "
            "their files differ, or name the column that tells them apart by --language-column"
        )
    # A task's data have a train split, which nothing here reads.
    return {
        "train": pattern,
        "test": pattern,
        "columns": dict(columns),
        "language_column": language_column,
    }
