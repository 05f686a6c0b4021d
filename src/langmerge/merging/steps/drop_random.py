"""Sparsify: drop entries at random and rescale the rest (DARE)."""

from __future__ import annotations

from torch import Tensor

from langmerge.merging.composition import Sparsify, Thin
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
        if density == 1.0:
            return _keep_all

        def drop(entries: Tensor, tile: Tile) -> Tensor:
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
