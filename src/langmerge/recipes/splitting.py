"""Which split a row goes to: the same for a group in every language, in whatever order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from langmerge.canonical import digest_of
from langmerge.data.config import SplitName
from langmerge.recipes.recipe import Fetched, Shares

_STRICTEST: tuple[SplitName, ...] = ("test", "gate", "dev", "train")
"""A group that a data set has in several of its splits stays in the first of these only."""


def split_of(group: str, shares: Shares, salt: str) -> SplitName:
    """Return the split of a group, drawn by a hash of its name.

    Args:
        group: what a row is about.
        shares: of each split; they add up to 1.
        salt: the recipe's name, so that recipes draw apart.
    """
    digest = hashlib.sha256(f"{salt}\0{group}".encode()).digest()
    point = int.from_bytes(digest[:8], "big") / 2**64
    for split, share in shares.items():
        if point < share:
            return split
        point -= share
    return list(shares)[-1]


def assign(
    fetched: Mapping[str, Iterable[Fetched]], parts: Mapping[str, Shares], salt: str
) -> dict[str, dict[SplitName, list[Fetched]]]:
    """Return the rows of every language by split, so that no group of any language is in two.

    Rows that ask the same as an earlier row of their language are left out: copies straddle splits.

    Args:
        fetched: by language.
        parts: the data set's splits -> the shares of ours.
        salt: the recipe's name.
    """
    rows = {language: list(of) for language, of in fetched.items()}
    found: dict[str, set[SplitName]] = {}
    for of in rows.values():
        for row in of:
            found.setdefault(row.group, set()).add(split_of(row.group, parts[row.part], salt))
    strictest = {
        group: next(split for split in _STRICTEST if split in splits)
        for group, splits in found.items()
    }
    return {language: _by_split(of, strictest, parts, salt) for language, of in rows.items()}


def _by_split(
    rows: Iterable[Fetched],
    strictest: Mapping[str, SplitName],
    parts: Mapping[str, Shares],
    salt: str,
) -> dict[SplitName, list[Fetched]]:
    chosen: dict[SplitName, list[Fetched]] = {split: [] for split in ("train", "dev", "test")}
    ordered = sorted(rows, key=lambda row: _STRICTEST.index(strictest[row.group]))
    seen: set[str] = set()
    for row in ordered:
        split = split_of(row.group, parts[row.part], salt)
        question = _question(row)
        if split == strictest[row.group] and question not in seen:
            seen.add(question)
            chosen.setdefault(split, []).append(row)
    return chosen


def _question(row: Fetched) -> str:
    """Return what a row asks, up to case and white space, as `langmerge check` compares rows."""
    texts = {
        name: " ".join(str(value).casefold().split())
        for name, value in row.row.items()
        if name not in ("label", "answer", "summary", "choices")
    }
    right = row.row["choices"][row.row["answer"]] if "choices" in row.row else ""
    return digest_of([texts, str(right).casefold()])


def thinned(rows: Iterable[Fetched], most: int | None, salt: str) -> list[Fetched]:
    """Return at most so many rows, in an order drawn by a hash of their groups.

    Languages with parallel content so keep the same groups.
    """

    def order(row: Fetched) -> tuple[str, str]:
        return hashlib.sha256(f"{salt}\0{row.group}".encode()).hexdigest(), _question(row)

    return sorted(rows, key=order)[:most]
