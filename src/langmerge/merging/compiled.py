"""The sweeps over a tile that Numba compiles; see `kernels` for when they are used.

Each does in one sweep what its torch counterpart does in several, by the same float32 operations
in the same order, so that both give the same bits. Importing this module compiles it, or reads it
from Numba's cache.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numba
import numpy as np
from numba import float32, int64, uint32, void
from numba.extending import intrinsic

from langmerge.merging.kernels import STATE

_Flat = float32[::1]
_sweep = partial(numba.njit, nogil=True, error_model="numpy", cache=STATE.cached)

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_FIRST_FACTOR, _SECOND_FACTOR = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)
_FIFTEEN, _SIXTEEN, _TOP_BIT = np.uint32(15), np.uint32(16), np.uint32(0x80000000)


@intrinsic
def _fused(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """Compute `a * b + c` with one rounding, as torch adds with a factor."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return float32(float32, float32, float32), code


@_sweep(int64(_Flat, float32, float32, _Flat, int64[::1]))
def above_and_inside(x: Any, low: Any, high: Any, inside: Any, above: Any) -> Any:
    """Count magnitudes above `high` into `above[0]`, and collect those in [`low`, `high`].

    Returns how many of `inside` were written; it needs one place more than `x` has.
    """
    count = 0
    for i in range(x.size):
        count += abs(x[i]) > high
    above[0] += count
    found = 0
    for i in range(x.size):
        size = abs(x[i])
        inside[found] = size  # written over by the next unless it counts: no branch to mispredict
        found += (size >= low) & (size <= high)
    return found


@_sweep(void(float32[:, ::1], uint32, uint32, int64, int64, uint32))
def drop_random(  # noqa: PLR0917 - compiled signatures are positional
    x: Any, first: Any, second: Any, start: Any, columns: Any, limit: Any
) -> None:
    """Keep entries whose random bits, as unsigned numbers, are below `limit`.

    The bits are those of `random.uniform_bits`, less their sign: `start` is the position of the
    tile's first entry in a matrix of `columns`.
    """
    rows, width = x.shape
    for i in range(rows):
        row = np.uint32(start + i * columns)
        for j in range(width):
            bits = np.uint32(np.uint32(row + np.uint32(j)) ^ first)
            bits = np.uint32(bits ^ (bits >> _SIXTEEN))
            bits = np.uint32(np.uint32(bits * _FIRST_FACTOR) ^ second)
            bits = np.uint32(bits ^ (bits >> _FIFTEEN))
            bits = np.uint32(bits * _SECOND_FACTOR)
            bits = np.uint32(np.uint32(bits ^ (bits >> _SIXTEEN)) ^ _TOP_BIT)
            x[i, j] *= _ONE if bits < limit else _ZERO


@_sweep(void(_Flat, float32, _Flat, _Flat, _Flat, _Flat))
def add_by_sign(  # noqa: PLR0917 - compiled signatures are positional
    x: Any, weight: Any, total: Any, positive: Any, positive_weight: Any, negative_weight: Any
) -> None:
    """Add one adapter's entries to the sums of a `Tally`."""
    for i in range(x.size):
        entry = x[i]
        total[i] = _fused(entry, weight, total[i])
        positive[i] = _fused(max(entry, _ZERO), weight, positive[i])
        positive_weight[i] += weight * float32(entry > _ZERO)
        negative_weight[i] += weight * float32(entry < _ZERO)


@_sweep(void(_Flat, _Flat, _Flat, _Flat, _Flat))
def elected(
    is_positive: Any, total: Any, positive: Any, positive_weight: Any, negative_weight: Any
) -> None:
    """Leave the elected side's sum in `positive` and its weight in `positive_weight`."""
    for i in range(total.size):
        side = is_positive[i]
        rest = _ONE - side
        positive[i] = positive[i] * side + (total[i] - positive[i]) * rest
        positive_weight[i] = positive_weight[i] * side + negative_weight[i] * rest


__all__ = ["above_and_inside", "add_by_sign", "drop_random", "elected"]
