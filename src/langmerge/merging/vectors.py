"""Task vectors in factored form, and the tiles in which they are computed.

A task vector is never held whole: it is computed from its factors tile by tile. A tile of half a
megabyte stays in a core's cache while all steps of a merge pass over it, which is what makes the
entrywise methods fast, and memory does not grow with the model or the number of adapters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_TILE_ROWS, _TILE_COLUMNS = 256, 512
# A GPU wants few large kernels rather than cache-sized ones.
_GPU_TILE_ROWS, _GPU_TILE_COLUMNS = 4096, 4096


class Product(NamedTuple):
    """A matrix as a product, `b @ a`; `b` is `[rows, rank]` and `a` is `[rank, columns]`."""

    b: Tensor
    a: Tensor


# A merged task vector: dense where no smaller form is known.
Merged = Tensor | Product


class Tile(NamedTuple):
    """A rectangle of a matrix."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    def of(self, matrix: Tensor) -> Tensor:
        """Return this part of `matrix` as a view."""
        return matrix[self.top : self.bottom, self.left : self.right]


@dataclass(frozen=True)
class TaskVector:
    """One adapter's change of one module, `b @ a`, with the adapter's weight in the merge.

    Attributes:
        b: `[rows, rank]` float32, the adapter's scale folded in.
        a: `[rank, columns]` float32.
        weight: the adapter's weight.
        key: what random masks of this adapter and module are drawn from; unsigned 64 bits.
        owner: the adapter's digest.
        statistic: what a survey of all the adapter's modules found, where the method makes one.
        protected: the share of its entries, the largest, that the merge protects.
    """

    b: Tensor
    a: Tensor
    weight: float = 1.0
    key: int = 0
    owner: str = ""
    statistic: float | None = None
    protected: float = 0.0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the whole."""
        return self.b.shape[0], self.a.shape[1]

    def tile(self, tile: Tile, out: Tensor) -> Tensor:
        """Compute one tile into `out`; equal tiles give equal bits."""
        return torch.mm(self.b[tile.top : tile.bottom], self.a[:, tile.left : tile.right], out=out)


def tiles(shape: tuple[int, int], device: torch.device) -> Iterator[Tile]:
    """Cut a matrix into tiles, row by row; the same cut for every pass over a shape."""
    rows, columns = shape
    on_cpu = device.type == "cpu"
    height = _TILE_ROWS if on_cpu else _GPU_TILE_ROWS
    width = _TILE_COLUMNS if on_cpu else _GPU_TILE_COLUMNS
    for top in range(0, rows, height):
        for left in range(0, columns, width):
            yield Tile(top, min(top + height, rows), left, min(left + width, columns))


def flat(tile: Tensor) -> np.ndarray:
    """Return a contiguous tile on a CPU as a flat NumPy view `[n]`."""
    return tile.view(-1).numpy()


class Buffers:
    """Reusable memory for tiles, so that a pass over a matrix allocates nothing."""

    def __init__(self, count: int, shape: tuple[int, int], device: torch.device) -> None:
        """Make `count` buffers, each large enough for any tile of a matrix of `shape`."""
        largest = max((t.shape for t in tiles(shape, device)), key=lambda s: s[0] * s[1])
        self.size = largest[0] * largest[1]
        self._memory = torch.empty(count, self.size, dtype=torch.float32, device=device)

    def shaped(self, shape: tuple[int, int]) -> tuple[Tensor, ...]:
        """Return the buffers as matrices of `shape`, with whatever they held."""
        size = shape[0] * shape[1]
        return tuple(buffer[:size].view(shape) for buffer in self._memory)
