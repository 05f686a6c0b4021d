"""Checks across splits and languages: leaks, tiny test sets, labels that a language never shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from langmerge.data.messages import listed
from langmerge.data.rows import Row, Split

_FEWEST_TEST_ROWS = 10
_IDS_SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """Something to know before training; an `error` makes the results worthless."""

    severity: Literal["warning", "error"]
    message: str


class Overlap(NamedTuple):
    """A row's id, and the id of a train row that asks the same."""

    id: str
    train_id: str


def overlap(train: Split, other: Split) -> list[Overlap]:
    """Return the rows of `other` whose prompt-side content also stands in `train`.

    Prompts are compared exactly, but for case and white space. A multiple-choice row is told
    apart by its right choice too: "Which of these is true?" asks something new of other choices.
    """
    asked: dict[tuple[object, ...], str] = {}
    for row in train.rows:
        asked.setdefault(_question(row), row.id)
    pairs = ((row.id, asked.get(_question(row))) for row in other.rows)
    return [Overlap(id, train_id) for id, train_id in pairs if train_id is not None]


def check_language_splits(splits: Mapping[str, Split]) -> list[Finding]:
    """Check the splits of one language against each other.

    Args:
        splits: "train", "dev", "gate" and "test" (any may be absent) -> the language's rows.

    Returns:
        Findings on rows of the others that also stand in train, on groups they share with train,
        and on a test split too small to say anything.
    """
    findings = []
    for name in ("dev", "gate", "test"):
        if name in splits and "train" in splits:
            findings += _leaks(splits["train"], splits[name], name)
    if "test" in splits and len(splits["test"]) < _FEWEST_TEST_ROWS:
        findings.append(
            Finding(
                "warning",
                f"test: found {len(splits['test'])} rows, expected at least {_FEWEST_TEST_ROWS}; "
                "its scores will say almost nothing, add rows",
            )
        )
    return findings


def compare_labels(splits: Mapping[str, Split], labels: Sequence[str]) -> list[Finding]:
    """Warn of labels that never occur in some language: merging its adapter then hurts them.

    Args:
        splits: language -> its train split.
        labels: the declared labels.
    """
    return [
        Finding(
            "warning",
            f"{language}: train has no row labelled {listed(absent)}; its adapter learns never to "
            "answer so, and takes that into the merge; add such rows or drop the label",
        )
        for language, split in sorted(splits.items())
        if (absent := _absent_labels(split, labels))
    ]


def _leaks(train: Split, other: Split, name: str) -> list[Finding]:
    findings = []
    if leaked := overlap(train, other):
        every = len(leaked) == len(other)
        findings.append(
            Finding(
                "error" if every else "warning",
                f"{name}: {'all' if every else len(leaked)} of {len(other)} rows also stand in "
                f"train ({listed([row.id for row in leaked], _IDS_SHOWN)}); remove them from one "
                "of the two",
            )
        )
    if shared := sorted(_named_groups(train) & _named_groups(other)):
        findings.append(
            Finding(
                "warning",
                f"{name}: {len(shared)} groups also stand in train "
                f"({listed(shared, _IDS_SHOWN)}); keep each group in one split",
            )
        )
    return findings


def _question(row: Row) -> tuple[object, ...]:
    """Return what a row asks, folded: equal for rows that ask the same."""
    fields = sorted((name, _folded(text)) for name, text in row.fields.items())
    messages = ((role, _folded(content)) for role, content in row.messages)
    return *fields, *messages, _folded(row.target) if row.choices else None


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _named_groups(split: Split) -> set[str]:
    """Return the groups given in the data: ids that happen to be the same are no groups."""
    return {row.group for row in split.rows if row.group != row.id}


def _absent_labels(split: Split, labels: Sequence[str]) -> list[str]:
    present = {row.target for row in split.rows}
    return [label for label in labels if label not in present]
