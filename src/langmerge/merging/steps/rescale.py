"""Rescale: what the kept entries of a thinned task vector are multiplied by."""

from __future__ import annotations

import torch

from langmerge.errors import MergeError
from langmerge.merging.composition import Thin
from langmerge.merging.vectors import Buffers, TaskVector, tiles


def rescale_factor(rescale: str, density: float, vector: TaskVector, thin: Thin) -> float:
    """Return how the kept entries make up for the ones that `thin` takes away.

    Args:
        rescale: `density` multiplies them by 1/density, which keeps every entry's expectation
            where chance decides (Yu et al., arXiv:2311.03099); `l1` keeps the task vector's L1
            norm (mergekit); `none` leaves them.
        density: the share of entries kept.
        vector: the task vector.
        thin: takes entries away.
    """
    if rescale == "none" or density == 1.0:
        return 1.0
    if rescale == "density":
        return 1.0 / density
    if rescale == "l1":
        return _l1_ratio(vector, thin)
    raise MergeError(f"rescale is {rescale!r}, expected density, l1 or none")


def _l1_ratio(vector: TaskVector, thin: Thin) -> float:
    """Return the L1 norm of the task vector over that of what `thin` leaves of it."""
    device = vector.b.device
    buffers = Buffers(1, vector.shape, device)
    before = after = 0.0
    for tile in tiles(vector.shape, device):
        (entries,) = buffers.shaped(tile.shape)
        vector.tile(tile, out=entries)
        before += float(torch.linalg.vector_norm(entries, 1))
        after += float(torch.linalg.vector_norm(thin(entries, tile), 1))
    return before / after if after > 0.0 else 1.0
