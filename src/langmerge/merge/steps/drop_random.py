"""Sparsify: drop entries at random and rescale the rest (DARE)."""

from __future__ import annotations

import torch
from torch import Tensor

from langmerge.merge.composition import Sparsify, Thin
from langmerge.merge.random import uniform_bits
from langmerge.merge.vectors import Buffers, TaskVector, Tile, tiles


def drop_random(density: float, rescale: str = "density") -> Sparsify:
    """Return the step that keeps each entry with probability `density`, by chance alone.

    Args:
        density: the probability of keeping an entry, in (0, 1].
        rescale: how the kept entries make up for the dropped ones: `density` multiplies them by
            1/density, which keeps every entry's expectation (Yu et al., arXiv:2311.03099);
            `l1` keeps the task vector's L1 norm (mergekit); `none` leaves them.
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

        factor = {"density": 1.0 / density, "none": 1.0}.get(rescale)
        if factor is None:
            factor = _l1_ratio(vector, drop)

        def thin(entries: Tensor, tile: Tile) -> Tensor:
            return drop(entries, tile).mul_(factor)

        return thin

    return fit


def _l1_ratio(vector: TaskVector, drop: Thin) -> float:
    """Return the L1 norm of the task vector over that of what `drop` leaves of it."""
    device = vector.b.device
    buffers = Buffers(1, vector.shape, device)
    before = after = 0.0
    for tile in tiles(vector.shape, device):
        (entries,) = buffers.shaped(tile.shape)
        vector.tile(tile, out=entries)
        before += float(torch.linalg.vector_norm(entries, 1))
        after += float(torch.linalg.vector_norm(drop(entries, tile), 1))
    return before / after if after > 0.0 else 1.0


def _keep_all(entries: Tensor, tile: Tile) -> Tensor:
    return entries
