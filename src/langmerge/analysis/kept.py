"""What of each adapter a merged adapter keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from langmerge.analysis.cosines import cosine
from langmerge.analysis.factored import Changes, Svd
from langmerge.analysis.matrices import Number, ratio
from langmerge.metrics.base import Floats


@dataclass(frozen=True)
class Kept:
    """What of an adapter's change `d` the merged change `m` keeps; None where a norm is 0.

    Attributes:
        cosine: `<d, m> / (|d| |m|)`: the direction. Of n orthogonal adapters of equal norm their
            mean keeps 1 / sqrt(n).
        amount: `<d, m> / |d|^2`: how much of the change is in the merge, by its own measure. Of n
            orthogonal adapters their mean keeps 1 / n, their sum all of it.
        inside: the share of `|d|^2` within the merge's column and row spaces, 0 to 1: what a change
            of these directions could keep at best. It is 1 for an exact linear merge if the ranks
            add up to no more than the module's sides; it tells most of compressed merges.
        inside_by_chance: the same for subspaces of the merge's ranks in random directions.
    """

    cosine: Number
    amount: Number
    inside: Number
    inside_by_chance: Number


@dataclass(frozen=True)
class Inside:
    """Energy within the merge's subspaces, of every adapter [n]; that of modules adds up."""

    energy: Floats
    expected: Floats

    @classmethod
    def nothing(cls, n: int) -> Inside:
        """Return the energies of `n` adapters over no module."""
        return cls(np.zeros(n), np.zeros(n))

    def __add__(self, other: Inside) -> Inside:
        return Inside(self.energy + other.energy, self.expected + other.expected)


def inside(changes: Changes, squared_norms: Floats, merged: Svd | None) -> Inside:
    """Return `|U^T d_i V|^2` of one module, `U` and `V` the merge's singular vectors.

    Random subspaces of dimension k hold k / rows of a change on one side, k / columns on the other.

    Args:
        changes: every adapter's change.
        squared_norms: their squared Frobenius norms [n].
        merged: the merged change; None if it leaves the module as it is, and so keeps nothing.
    """
    found = Inside.nothing(len(changes))
    if merged is None:
        return found
    for i, change in enumerate(changes):
        if change is not None:
            projected = (merged.left.T @ change.b) @ (change.a @ merged.right)
            found.energy[i] = float(projected.square().sum())
            rows, columns = change.shape
            share = merged.values.numel() ** 2 / (rows * columns)
            found.expected[i] = squared_norms[i] * share
    return found


def kept(products: Floats, energies: Inside) -> tuple[Kept, ...]:
    """Return what is kept of every adapter.

    Args:
        products: inner products of the adapters and, last, the merge, over all modules
            [n + 1, n + 1].
        energies: of the adapters, over all modules.
    """
    squares = np.maximum(products.diagonal(), 0.0)
    norms = np.sqrt(squares)
    return tuple(
        Kept(
            cosine=cosine(products[i, -1], norms[i], norms[-1]),
            amount=ratio(products[i, -1], squares[i]),
            inside=_share(energies.energy[i], squares[i]),
            inside_by_chance=_share(energies.expected[i], squares[i]),
        )
        for i in range(len(norms) - 1)
    )


def _share(part: float, whole: float) -> Number:
    found = ratio(part, whole)
    return None if found is None else min(1.0, found)
