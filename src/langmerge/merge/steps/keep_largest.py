"""Sparsify: keep the largest entries of each task vector."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from langmerge.merge.composition import Sparsify, Thin
from langmerge.merge.select import kth_largest_magnitude
from langmerge.merge.vectors import TaskVector, Tile


def keep_largest(density: float) -> Sparsify:
    """Return the step that keeps the `k = max(1, floor(density * n))` largest magnitudes.

    The entries of one module are ranked among themselves (Yadav et al., arXiv:2306.01708, rank
    the whole model's; mergekit does as here). Entries as large as the k-th are all kept, so that
    the result does not depend on their order.
    """

    def fit(vector: TaskVector) -> Thin:
        rows, columns = vector.shape
        size = rows * columns
        k = max(1, math.floor(density * size))
        threshold = 0.0 if k >= size else kth_largest_magnitude(vector, k)
        if threshold == 0.0:
            return _keep_all
        # hardshrink zeroes |x| <= lambda in one pass; the next float below keeps the k-th itself.
        below = float(np.nextafter(np.float32(threshold), np.float32(0.0)))

        def thin(entries: Tensor, tile: Tile) -> Tensor:
            torch.ops.aten.hardshrink.out(entries, below, out=entries)
            return entries

        return thin

    return fit


def _keep_all(entries: Tensor, tile: Tile) -> Tensor:
    return entries
