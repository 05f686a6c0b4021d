"""Clusters of languages: average linkage of distances, as a dendrogram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from langmerge.analysis.matrices import Matrix


class Join(NamedTuple):
    """Two clusters become one; a row of scipy's linkage matrix.

    Cluster k < n is adapter k; cluster n + t is what the t-th join made.
    """

    left: int
    right: int
    distance: float
    size: int


def distances(cosines: Matrix) -> list[list[float]]:
    """Return `1 - cosine`, 0 to 2; an undefined cosine counts as 0."""
    return [[1 - (x or 0.0) for x in row] for row in cosines]


def average_linkage(distances: Sequence[Sequence[float]]) -> tuple[Join, ...]:
    """Join the two nearest clusters until one is left (UPGMA; Sokal and Michener 1958).

    Clusters are as far apart as their members are on average. Of equally near pairs the one with
    the lowest numbers is joined first.

    Args:
        distances: of every two, symmetric [n, n].

    Returns:
        n - 1 joins in the form of `scipy.cluster.hierarchy.linkage`, distances never falling.
    """
    n = len(distances)
    members: dict[int, list[int]] = {k: [k] for k in range(n)}
    between = np.asarray(distances, dtype=np.float64)

    def distance(pair: tuple[int, int]) -> float:
        return float(between[np.ix_(members[pair[0]], members[pair[1]])].mean())

    joins: list[Join] = []
    while len(members) > 1:
        pairs = [(x, y) for x in members for y in members if x < y]
        left, right = nearest = min(pairs, key=lambda pair: (distance(pair), pair))
        height = distance(nearest)
        together = members.pop(left) + members.pop(right)
        members[n + len(joins)] = together
        joins.append(Join(left, right, height, len(together)))
    return tuple(joins)


def leaf_order(joins: Sequence[Join]) -> tuple[int, ...]:
    """Return the adapters in the order of the dendrogram's leaves, for a heat map's axes."""
    n = len(joins) + 1
    leaves: dict[int, tuple[int, ...]] = {k: (k,) for k in range(n)}
    for t, join in enumerate(joins):
        leaves[n + t] = leaves[join.left] + leaves[join.right]
    return leaves[2 * n - 2]
