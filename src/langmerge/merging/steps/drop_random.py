"""Sparsify: drop entries at random and rescale the rest (DARE)."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from langmerge.merging.composition import Sparsify, Thin
from langmerge.merging.kernels import kernels
from langmerge.merging.random import uniform_bits
from langmerge.merging.steps.rescale import rescale_factor
from langmerge.merging.vectors import TaskVector, Tile


def drop_random(density: float, rescale: str = "density") -> Sparsify:
    """Return the step that keeps each entry with probability `density`, by chance alone.

    Args:
        density: the probability of keeping an entry, in (0, 1].
        rescale: `density`, `l1` or `none`; see `rescale_factor`.
    """
    # Bits are uniform over the signed 32-bit numbers.
    limit = round(density * 2**32) - 2**31

    def fit(vector: TaskVector) -> Thin:
        columns = vector.shape[1]
        if limit >= 2**31:
            return _keep_all

        def drop(entries: Tensor, tile: Tile) -> Tensor:
            if compiled := kernels(entries):
                key = (np.uint32(vector.key & 0xFFFFFFFF), np.uint32(vector.key >> 32))
                start = tile.top * columns + tile.left
                compiled.drop_random(entries.numpy(), *key, start, columns, limit + 2**31)
                return entries
            bits = uniform_bits(vector.key, tile, columns, entries.device)
            # In place the comparison gives 0 and 1, which multiply faster than booleans.
            return entries.mul_(bits.lt_(limit))

        factor = rescale_factor(rescale, density, vector, drop)

        def thin(entries: Tensor, tile: Tile) -> Tensor:
            return drop(entries, tile).mul_(factor)

        return thin

    return fit


def _keep_all(entries: Tensor, tile: Tile) -> Tensor:
    return entries
