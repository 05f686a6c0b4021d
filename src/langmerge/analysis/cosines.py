"""Cosines and norms of task vectors, from inner products of their factors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from langmerge.analysis.factored import Changes, Factored
from langmerge.analysis.matrices import Matrix, Number, ratio
from langmerge.metrics.base import Floats


@dataclass(frozen=True)
class Similarity:
    """How alike the adapters' task vectors are, over some of the modules or all.

    Attributes:
        norms: every adapter's Frobenius norm.
        cosines: of every two adapters, -1 to 1; None where a norm is 0.
    """

    norms: tuple[float, ...]
    cosines: Matrix


def gram(changes: Changes) -> Floats:
    """Return the inner products `<d_i, d_j>` of one module's changes, [n, n].

    Gram matrices of modules add up to that of the whole. A missing change is zero.
    """
    products = np.zeros((len(changes), len(changes)))
    for i, first in enumerate(changes):
        for j, second in enumerate(changes[: i + 1]):
            if first is not None and second is not None:
                products[i, j] = products[j, i] = inner_product(first, second)
    return products


def inner_product(first: Factored, second: Factored) -> float:
    """Return `<d_1, d_2> = tr(d_2^T d_1) = tr((b_2^T b_1) (a_1 a_2^T))`, at the cost of the ranks.

    The trace of a product is the sum over the entries of one factor times the other transposed.
    """
    return float(((second.b.T @ first.b) * (second.a @ first.a.T)).sum())


def similarity(products: Floats) -> Similarity:
    """Return norms and cosines from inner products [n, n]."""
    # The inner product of a change with itself can round to just below 0.
    norms = np.sqrt(np.maximum(products.diagonal(), 0.0))
    n = len(norms)
    return Similarity(
        norms=tuple(norms.tolist()),
        cosines=tuple(
            tuple(cosine(products[i, j], norms[i], norms[j]) for j in range(n)) for i in range(n)
        ),
    )


def cosine(product: float, norm: float, other_norm: float) -> Number:
    """Return a cosine, clipped to [-1, 1]; None where a norm is 0."""
    found = ratio(product, norm * other_norm)
    return None if found is None else min(1.0, max(-1.0, found))
