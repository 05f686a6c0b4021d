"""Signs of the entries that trimming keeps: where adapters pull the same way, and where not.

The only quantity here that factors do not give: entries are computed in the tiles that merging
uses, and trimmed by the step that merging uses, so that memory grows with neither the model nor
its modules.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from langmerge.analysis.factored import Changes, Factored
from langmerge.analysis.matrices import Matrix, Number, ratio, ratios
from langmerge.merging.steps.keep_largest import keep_largest
from langmerge.merging.vectors import TaskVector, tiles
from langmerge.metrics.base import Floats


@dataclass(frozen=True)
class Signs:
    """Agreement of signs after trimming.

    Attributes:
        density: share of each module's entries that is kept of every adapter.
        agreement: of every two adapters, the share of equal signs among the entries both keep;
            0.5 by chance. None where there is no such entry.
        conflict: among the entries that two or more adapters keep, the share whose signs are not
            all equal; None where there is no such entry.
        conflict_by_chance: what it would be if the signs were thrown coins.
        contested: the share of all entries that two or more adapters keep.
    """

    density: float
    agreement: Matrix
    conflict: Number
    conflict_by_chance: Number
    contested: Number


@dataclass(frozen=True)
class SignCounts:
    """How many entries there are of each kind; counts of modules add up.

    Attributes:
        both: entries that two adapters both keep [n, n].
        balance: of those, the equal signs minus the opposite ones [n, n].
        kept_by: entries that exactly k adapters keep [n + 1].
        conflicts: entries with both signs among the adapters that keep them.
    """

    both: Floats
    balance: Floats
    kept_by: Floats
    conflicts: float

    @classmethod
    def nothing(cls, n: int) -> SignCounts:
        """Return the counts of `n` adapters over no entry."""
        return cls(np.zeros((n, n)), np.zeros((n, n)), np.zeros(n + 1), 0.0)

    def __add__(self, other: SignCounts) -> SignCounts:
        return SignCounts(
            self.both + other.both,
            self.balance + other.balance,
            self.kept_by + other.kept_by,
            self.conflicts + other.conflicts,
        )


def count_signs(changes: Changes, density: float) -> SignCounts:
    """Count the signs of one module's changes, each trimmed to `density`.

    An entry that is 0 counts as not kept, and so does every entry of a missing change.
    """
    counts = SignCounts.nothing(len(changes))
    vectors = [None if change is None else _task_vector(change) for change in changes]
    shape = next(vector.shape for vector in vectors if vector is not None)
    thin = [None if vector is None else keep_largest(density)(vector) for vector in vectors]
    for tile in tiles(shape, torch.device("cpu")):
        signs = torch.zeros(len(vectors), *tile.shape)
        for out, vector, step in zip(signs, vectors, thin, strict=True):
            if vector is not None and step is not None:
                step(vector.tile(tile, out=out), tile).sign_()
        counts += _count_tile(signs.flatten(1))
    return counts


def signs(counts: SignCounts, density: float) -> Signs:
    """Return the shares that the counts of all modules make."""
    several = np.arange(2, len(counts.kept_by))
    contested = counts.kept_by[2:]
    # k coins fall alike in 2 of 2^k ways.
    by_chance = float((contested * (1 - 2.0 ** (1 - several))).sum())
    return Signs(
        density=density,
        agreement=ratios((counts.both + counts.balance) / 2, counts.both),
        conflict=ratio(counts.conflicts, contested.sum()),
        conflict_by_chance=ratio(by_chance, contested.sum()),
        contested=ratio(contested.sum(), counts.kept_by.sum()),
    )


def _task_vector(change: Factored) -> TaskVector:
    return TaskVector(b=change.b.float(), a=change.a.float())


def _count_tile(signs: Tensor) -> SignCounts:
    """Count one tile's signs, [n, entries] of -1, 0 and 1.

    Sums of at most 2^17 such entries are exact in float32.
    """
    kept = signs.abs()
    times_kept = kept.sum(0)
    return SignCounts(
        both=_as_floats(kept @ kept.T),
        balance=_as_floats(signs @ signs.T),
        kept_by=_as_floats(torch.bincount(times_kept.long(), minlength=len(signs) + 1)),
        conflicts=float((signs.sum(0).abs() < times_kept).sum()),
    )


def _as_floats(counts: Tensor) -> Floats:
    return np.asarray(counts.double().numpy(), dtype=np.float64)
