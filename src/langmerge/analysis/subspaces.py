"""Overlap of the subspaces that adapters read from and write to: their principal angles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from langmerge.analysis.matrices import Matrix, ratios
from langmerge.metrics.base import Floats


@dataclass(frozen=True)
class Overlap:
    """Mean squared cosine of the principal angles between subspaces, over all modules' angles.

    Attributes:
        mean_squared_cosine: of every two adapters, 0 (orthogonal) to 1 (one holds the other); None
            where they have no module in common.
        by_chance: what subspaces of these dimensions in random directions would have.
    """

    mean_squared_cosine: Matrix
    by_chance: Matrix


@dataclass(frozen=True)
class Angles:
    """Sums over the principal angles of every two subspaces [n, n]; those of modules add up.

    Attributes:
        squared_cosines: of the angles.
        expected: the same, expected of random subspaces.
        count: how many angles there are.
    """

    squared_cosines: Floats
    expected: Floats
    count: Floats

    @classmethod
    def nothing(cls, n: int) -> Angles:
        """Return the sums of `n` adapters over no module."""
        return cls(np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n)))

    def __add__(self, other: Angles) -> Angles:
        return Angles(
            self.squared_cosines + other.squared_cosines,
            self.expected + other.expected,
            self.count + other.count,
        )


def angles(bases: Sequence[Tensor | None]) -> Angles:
    """Return the sums over the principal angles of one module's subspaces.

    The cosines are the singular values of `U_i^T U_j` (Björck and Golub 1973), so the sum of their
    squares is its squared Frobenius norm. For random subspaces of dimensions k and l of n
    dimensions that is k l / n on average, since a random unit vector has k / n of its square in
    any k dimensions.

    Args:
        bases: every adapter's orthonormal basis, `[n, rank]` float64; None if it has no change.
    """
    sums = Angles.nothing(len(bases))
    for i, first in enumerate(bases):
        for j, second in enumerate(bases[: i + 1]):
            if first is None or second is None:
                continue
            k, l = first.shape[1], second.shape[1]  # noqa: E741 - dimensions, as in the formula
            squares = float((first.T @ second).square().sum())
            for at in ((i, j), (j, i)):
                sums.squared_cosines[at] = squares
                sums.expected[at] = k * l / first.shape[0]
                sums.count[at] = min(k, l)
    return sums


def overlap(sums: Angles) -> Overlap:
    """Return the means over all modules' angles."""
    return Overlap(
        mean_squared_cosine=ratios(sums.squared_cosines, sums.count),
        by_chance=ratios(sums.expected, sums.count),
    )
