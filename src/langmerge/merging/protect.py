"""Protection: the largest entries of some adapters keep their sign, and most of their size.

In an election by mass a small language loses most entries on which it disagrees, the ones it needs
most among them. A recipe can protect a share of its entries: where they are, it decides the sign,
and the merged entry is at least `1 - slack` of its own. (Ours; no publication.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from langmerge.merging.select import kth_largest_magnitude
from langmerge.merging.vectors import TaskVector, Tile


class Guard:
    """The protected entries of one module: `g_i`, the largest of `d_i` (see `keep_largest`)."""

    def __init__(self, vectors: Sequence[TaskVector]) -> None:
        """Find what is protected; one selection for each adapter that has something."""
        self._guarded = [(v, _least(v)) for v in vectors if v.protected]

    def at(self, tile: Tile) -> tuple[Tensor, Tensor]:
        """Return the vote on a tile's entries and the sizes to uphold, both float32.

        The vote is `sum w_i g_i`: protected adapters decide among themselves, and where it is zero
        nothing is protected. The size is that of the largest `g_i` with the sign of the vote.
        """
        device = self._guarded[0][0].b.device
        vote, up, down = (torch.zeros(tile.shape, device=device) for _ in range(3))
        entries = torch.empty(tile.shape, device=device)
        for vector, least in self._guarded:
            own = vector.tile(tile, out=entries)
            own *= own.abs() >= least
            vote.add_(own, alpha=vector.weight)
            torch.maximum(up, own, out=up)
            torch.minimum(down, own, out=down)
        return vote, torch.where(vote > 0.0, up, -down)


def overruled(positive: Tensor, vote: Tensor) -> Tensor:
    """Return an election, 1.0 for the positive side, overruled where there is a vote."""
    return torch.where(vote == 0.0, positive, (vote > 0.0).to(positive.dtype))


def upheld(merged: Tensor, vote: Tensor, least: Tensor) -> Tensor:
    """Return the merged entries, at least `least` large on the side of the vote where there is one.

    The election has put every merged entry on that side already.
    """
    return torch.where(vote == 0.0, merged, vote.sign() * torch.maximum(merged.abs(), least))


def _least(vector: TaskVector) -> float:
    """Return the smallest magnitude that is protected."""
    size = vector.shape[0] * vector.shape[1]
    return kth_largest_magnitude(vector, max(1, math.floor(vector.protected * size)))
