"""Sparsify: drop entries at random, small ones more often than large ones (DELLA's MagPrune)."""

from __future__ import annotations

import torch
from torch import Tensor

from langmerge.errors import MergeError
from langmerge.merging.composition import Sparsify, Thin
from langmerge.merging.random import uniform_bits
from langmerge.merging.steps.rescale import rescale_factor
from langmerge.merging.vectors import TaskVector, Tile


def drop_by_rank(density: float, epsilon: float, rescale: str = "probability") -> Sparsify:
    """Return the step that keeps an entry the more likely the larger it is in its row.

    The entry of rank `k` of `n` in its row (0 is the smallest magnitude) is kept with probability
    `density + epsilon * (2 k / (n - 1) - 1)` (Deep et al., arXiv:2406.11617, section 3.1, with the
    ranks within rows as there and in mergekit 0.1.5).

    Args:
        density: the mean probability of keeping an entry, in (0, 1].
        epsilon: how far the largest entry's probability is above the mean; cut to what leaves all
            of them probabilities.
        rescale: `probability` multiplies a kept entry by 1 over its own probability, which keeps
            its expectation; `l1` keeps the task vector's L1 norm; `none` leaves it.
    """
    if rescale not in {"probability", "l1", "none"}:
        raise MergeError(f"rescale is {rescale!r}, expected probability, l1 or none")
    spread = min(epsilon, density, 1.0 - density)

    def fit(vector: TaskVector) -> Thin:
        if density == 1.0:
            return lambda entries, tile: entries
        band = _Band(vector)

        def drop(entries: Tensor, tile: Tile) -> Tensor:
            kept = density + spread * band.places(tile)
            bits = uniform_bits(vector.key, tile, vector.shape[1], entries.device)
            # Bits are uniform over the signed 32-bit numbers; float64 holds them exactly.
            entries.mul_(bits.double() < kept.double() * 2.0**32 - 2.0**31)
            if rescale == "probability":
                entries.div_(kept.clamp_min_(torch.finfo(kept.dtype).tiny))
            return entries

        if rescale != "l1":
            return drop
        factor = rescale_factor("l1", density, vector, drop)
        return lambda entries, tile: drop(entries, tile).mul_(factor)

    return fit


class _Band:
    """Where the entries of a band of whole rows stand among their row's magnitudes.

    Ranks need whole rows and tiles are passed row by row, so that one band is ranked once for all
    its tiles; memory is that of a band, whatever the size of the matrix.
    """

    def __init__(self, vector: TaskVector) -> None:
        self._vector = vector
        self._top: int | None = None
        self._places = torch.empty(0)

    def places(self, tile: Tile) -> Tensor:
        """Return the places of a tile's entries, from -1 (the smallest) to 1; float32."""
        if tile.top != self._top:
            self._places = self._ranked(tile.top, tile.bottom)
            self._top = tile.top
        return self._places[:, tile.left : tile.right]

    def _ranked(self, top: int, bottom: int) -> Tensor:
        sizes = (self._vector.b[top:bottom] @ self._vector.a).abs_()
        count = sizes.shape[1]
        order = sizes.argsort(dim=1, stable=True)
        steps = torch.linspace(-1.0, 1.0, count, device=sizes.device).expand_as(sizes)
        return torch.empty_like(sizes).scatter_(1, order, steps)
