"""What changed between two states of a language's rows, and which rows an update trains on.

Rows are told apart by what a model sees of them; ids and groups may change without a difference.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from langmerge.canonical import digest_of
from langmerge.data.rows import Row

_NOT_SEEN = ("id", "group")


class RowChanges(NamedTuple):
    """How many rows came and went; a changed row did both. Prints as `+212 rows, -3`."""

    added: int
    removed: int

    def __str__(self) -> str:
        return f"+{self.added} rows, -{self.removed}"


def row_digest(row: Row) -> str:
    """Return 32 hex digits that tell a row's content apart, whatever its id and group."""
    return digest_of({k: v for k, v in row.to_json().items() if k not in _NOT_SEEN})[:32]


def changes_between(old: Iterable[Row], new: Iterable[Row]) -> RowChanges:
    """Return how many rows of `new` are not in `old` and the other way round, copies counted."""
    before, after = Counter(map(row_digest, old)), Counter(map(row_digest, new))
    return RowChanges((after - before).total(), (before - after).total())


def rows_to_learn(
    rows: Sequence[Row], known: Collection[str], replay: float, seed: int
) -> tuple[Row, ...]:
    """Return the rows that an adapter does not know yet, and a share of those it does.

    Which known rows are replayed depends on their content and the seed alone: rows added later
    exchange none of them for others.

    Args:
        rows: the language's present rows.
        known: digests (`row_digest`) of the rows the adapter was trained on.
        replay: share of the known rows to be trained on again, 0 to 1; rounded up.
        seed: of the draw.
    """
    digests = [row_digest(row) for row in rows]
    old = sorted({digest for digest in digests if digest in known}, key=partial(_drawn, seed))
    replayed = set(old[: math.ceil(replay * len(old))])
    return tuple(
        row
        for row, digest in zip(rows, digests, strict=True)
        if digest in replayed or digest not in known
    )


def share_of_rows(rows: Sequence[Row], share: float, seed: int) -> tuple[Row, ...]:
    """Return a share of rows, rounded up, in their order; drawn by their content and the seed.

    Args:
        rows: a language's rows.
        share: above 0, to 1; of the rows that differ.
        seed: of the draw.
    """
    digests = [row_digest(row) for row in rows]
    ranked = sorted(set(digests), key=partial(_drawn, seed))
    chosen = set(ranked[: math.ceil(share * len(ranked))])
    return tuple(row for row, digest in zip(rows, digests, strict=True) if digest in chosen)


def _drawn(seed: int, digest: str) -> bytes:
    return hashlib.sha256(f"{seed}:{digest}".encode()).digest()
