"""Sparsify: mask both tails of the magnitudes, the negligible ones and the outliers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from langmerge.merging.composition import Sparsify, Thin
from langmerge.merging.select import kth_largest_magnitude
from langmerge.merging.steps.rescale import rescale_factor
from langmerge.merging.vectors import TaskVector, Tile


def keep_middle(density: float, gamma: float, rescale: str = "none") -> Sparsify:
    """Return the step that drops a module's largest entries, then its smallest.

    Of `n` entries the `floor(gamma n)` largest magnitudes are dropped, and of the others the
    smallest, until `floor(density n)` are left; fewer of the largest where the density asks for
    more. Entries as large as the last one kept are kept too, so that the result does not depend on
    their order. (Davari and Belilovsky, arXiv:2312.06795, section 3; counts as in mergekit 0.1.5.)

    Args:
        density: the share of entries kept, in (0, 1].
        gamma: the share of entries dropped as outliers.
        rescale: `density`, `l1` or `none`; see `rescale_factor`.
    """

    def fit(vector: TaskVector) -> Thin:
        size = vector.shape[0] * vector.shape[1]
        kept = max(1, int(density * size))
        outliers = min(int(gamma * size), size - kept)
        smallest = size - kept - outliers
        most = kth_largest_magnitude(vector, outliers + 1) if outliers else np.inf
        least = kth_largest_magnitude(vector, size - smallest) if smallest else 0.0
        below = float(np.nextafter(np.float32(least), np.float32(0.0)))

        def thin(entries: Tensor, tile: Tile) -> Tensor:
            if outliers:
                entries.mul_(entries.abs() <= most)
            if least > 0.0:
                torch.ops.aten.hardshrink.out(entries, below, out=entries)
            return entries

        factor = rescale_factor(rescale, density, vector, thin)
        if factor == 1.0:
            return thin
        return lambda entries, tile: thin(entries, tile).mul_(factor)

    return fit
