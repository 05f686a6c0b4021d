"""Sparsify: keep the largest entries of each task vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from langmerge.merging.composition import Sparsify, Survey, Thin
from langmerge.merging.select import kth_largest_magnitude, kth_largest_of_many
from langmerge.merging.steps.rescale import rescale_factor
from langmerge.merging.vectors import TaskVector, Tile


def keep_largest(density: float, rescale: str = "none") -> Sparsify:
    """Return the step that keeps the `k = max(1, floor(density * n))` largest magnitudes.

    The entries of one module are ranked among themselves (as mergekit does), unless a survey gave
    the threshold (see `model_threshold`). Entries as large as the k-th are all kept, so that the
    result does not depend on their order.

    Args:
        density: the share of entries kept, in (0, 1].
        rescale: `density`, `l1` or `none`; see `rescale_factor`.
    """

    def fit(vector: TaskVector) -> Thin:
        threshold = vector.statistic
        if threshold is None:
            threshold = _threshold_of_module(vector, density)
        if threshold == 0.0:
            return _keep_all
        # hardshrink zeroes |x| <= lambda in one pass; the next float below keeps the k-th itself.
        below = float(np.nextafter(np.float32(threshold), np.float32(0.0)))

        def thin(entries: Tensor, tile: Tile) -> Tensor:
            torch.ops.aten.hardshrink.out(entries, below, out=entries)
            return entries

        factor = rescale_factor(rescale, density, vector, thin)
        if factor == 1.0:
            return thin
        return lambda entries, tile: thin(entries, tile).mul_(factor)

    return fit


def model_threshold(density: float) -> Survey:
    """Return the survey that finds one threshold for all modules of an adapter.

    This is the trimming of the TIES paper (Yadav et al., arXiv:2306.01708) and of the KnOTS code.
    """

    def survey(vectors: Callable[[], Iterable[TaskVector]]) -> float:
        size = sum(vector.shape[0] * vector.shape[1] for vector in vectors())
        k = max(1, math.floor(density * size))
        return 0.0 if k >= size else kth_largest_of_many(vectors, k)

    return survey


def _threshold_of_module(vector: TaskVector, density: float) -> float:
    size = vector.shape[0] * vector.shape[1]
    k = max(1, math.floor(density * size))
    return 0.0 if k >= size else kth_largest_magnitude(vector, k)


def _keep_all(entries: Tensor, tile: Tile) -> Tensor:
    return entries
