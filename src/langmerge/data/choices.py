"""The choices and the right answer of a multiple-choice record, in the spellings people use."""

from __future__ import annotations

import itertools
import string
from collections.abc import Collection, Mapping
from typing import Any

from langmerge.data.messages import listed, shown
from langmerge.data.record import Record

# One column per choice, for CSV: choice_a, choice_b, ... or A, B, ...
CHOICE_COLUMNS = (
    tuple(f"choice_{letter}" for letter in string.ascii_lowercase),
    tuple(string.ascii_uppercase),
)


def choice_columns(columns: Collection[str]) -> tuple[str, ...]:
    """Return the columns that hold one choice each, in order; empty where there are not two."""
    series = (tuple(itertools.takewhile(columns.__contains__, names)) for names in CHOICE_COLUMNS)
    return next((found for found in series if len(found) > 1), ())


def read_choices(record: Record) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the texts of the choices, and the names the record gives them (mostly none).

    Raises:
        DataError: they are no list, fewer than two, or one is blank or not text.
    """
    columns = choice_columns(record.values.keys())
    if columns and "choices" not in record.values:
        return _separate_choices(record, columns), ()
    value = record.nested("choices")
    texts: Any = value.get("text") if isinstance(value, Mapping) else value
    names: Any = (value.get("label") if isinstance(value, Mapping) else None) or []
    if not isinstance(texts, list) or not isinstance(names, list) or len(texts) < 2:
        raise record.error(
            "choices",
            f"found {shown(value)}, expected a list of at least two texts, "
            'or {"text": [...], "label": [...]}',
        )
    if names and len(names) != len(texts):
        raise record.error(
            "choices", f"found {len(texts)} texts and {len(names)} labels, expected as many of each"
        )
    return (
        tuple(record.required_text(text, f"choices[{i}]") for i, text in enumerate(texts)),
        tuple(record.required_text(name, f"choices[{i}].label") for i, name in enumerate(names)),
    )


def read_answer(record: Record, choices: tuple[str, ...], names: tuple[str, ...] = ()) -> int:
    """Return the index of the right choice, given as an index, a letter, a name or its text.

    Raises:
        DataError: no choice or more than one fits, or another choice has the same text.
    """
    found = record.text("answer").strip()
    readings = _readings(found, record.values.get("answer"), choices, names)
    if not readings:
        raise record.error("answer", f"found {shown(found)}, expected {_expected(choices, names)}")
    if len(readings) > 1:
        meanings = " and ".join(f"choice {i} ({shown(choices[i])})" for i in sorted(readings))
        raise record.error(
            "answer",
            f"found {shown(found)}, which may mean {meanings}; "
            "write it as an index, a letter or a text, whichever fits one choice only",
        )
    (answer,) = readings
    if choices.count(choices[answer]) > 1:
        raise record.error(
            "choices",
            f"the right choice {shown(choices[answer])} stands there twice; change the other one",
        )
    return answer


def _separate_choices(record: Record, columns: tuple[str, ...]) -> tuple[str, ...]:
    # Rows may differ in their number of choices: columns after a row's last choice are blank.
    last = max((i for i, column in enumerate(columns) if record.key(column)), default=0)
    return tuple(record.text(column) for column in columns[: max(last + 1, 2)])


def _readings(
    found: str, value: object, choices: tuple[str, ...], names: tuple[str, ...]
) -> set[int]:
    """Return the index of every choice that the answer may mean."""
    same_text = {i for i, choice in enumerate(choices) if choice.strip() == found}
    if names:
        return same_text | {i for i, name in enumerate(names) if name.strip() == found}
    letters = string.ascii_uppercase
    by_index = {i for i in range(len(choices)) if found.upper() in (str(i), letters[i : i + 1])}
    return by_index if isinstance(value, int) else by_index | same_text


def _expected(choices: tuple[str, ...], names: tuple[str, ...]) -> str:
    if names:
        return f"one of the labels {listed(names)}, or the text of a choice"
    last = len(choices) - 1
    letter = string.ascii_uppercase[min(last, 25)]
    return f"an index from 0 to {last}, a letter from A to {letter}, or the text of a choice"
