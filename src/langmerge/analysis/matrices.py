"""Matrices of results: of every two adapters, a number or None where there is none."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from langmerge.metrics.base import Floats

Number: TypeAlias = float | None

Matrix: TypeAlias = tuple[tuple[Number, ...], ...]
"""A number for every two adapters, symmetric; None where it is undefined."""


def ratio(numerator: float, denominator: float) -> Number:
    """Return the quotient, or None where the denominator is 0."""
    return float(numerator / denominator) if denominator > 0 else None


def ratios(numerators: Floats, denominators: Floats) -> Matrix:
    """Return the quotients of two [n, n] arrays, None where a denominator is 0."""
    return tuple(
        tuple(ratio(x, y) for x, y in zip(*pair, strict=True))
        for pair in zip(numerators, denominators, strict=True)
    )


def pairs_of(matrix: Matrix) -> tuple[float, ...]:
    """Return the numbers of every two different adapters, each pair once."""
    return tuple(x for i, row in enumerate(matrix) for x in row[i + 1 :] if x is not None)


def mean(numbers: tuple[float, ...]) -> Number:
    """Return the mean, or None of nothing."""
    return float(np.mean(numbers)) if numbers else None


def mean_with_others(matrix: Matrix) -> tuple[Number, ...]:
    """Return every adapter's mean over its pairs with the others."""
    return tuple(
        mean(tuple(x for j, x in enumerate(row) if j != i and x is not None))
        for i, row in enumerate(matrix)
    )
