"""The exact k-th largest magnitude of a task vector, without sorting it or holding it whole.

After Floyd and Rivest, "Expected time bounds for selection", CACM 18(3), 1975: a sorted sample
brackets the wanted value; one pass counts what lies above the bracket and collects the few per
cent inside it; the value is found among those in the same way. The sample decides only how long
that takes, never the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from langmerge.merging.kernels import kernels
from langmerge.merging.vectors import Buffers, TaskVector, flat, tiles

_SAMPLE = 2048
_FEW = 2048
# Half the width of the first bracket as a share of the entries: 3.6 standard deviations at worst.
_MARGIN = 0.04
_FAR_BELOW = torch.finfo(torch.float32).min


def kth_largest_magnitude(vector: TaskVector, k: int) -> float:
    """Return the `k`-th largest of the entries' absolute values (1 is the largest)."""
    return kth_largest_of_many(lambda: (vector,), k)


def kth_largest_of_many(vectors: Callable[[], Iterable[TaskVector]], k: int) -> float:
    """Return the `k`-th largest absolute value of all entries of several task vectors.

    Args:
        vectors: returns the task vectors, the same ones whenever it is called; one at a time is
            enough.
        k: 1 is the largest.
    """
    sample, ranks = _sample_of_many(vectors())
    margin = _MARGIN
    while True:
        low, high = _bracket(sample, ranks, k, margin)
        above, pieces = 0, []
        for vector in vectors():
            more, inside = _above_and_inside(vector, low, high)
            above += more
            pieces.append(inside)
        inside = torch.cat(pieces)
        if above < k <= above + inside.numel():
            return kth_largest(inside, k - above)
        margin *= 4.0  # the sample misled


def kth_largest(values: Tensor, k: int) -> float:
    """Return the `k`-th largest of `values` (`[n]`, float32)."""
    if values.is_cpu:  # NumPy's partition is many times as fast as torch's sort and kthvalue
        at = values.numel() - k
        return float(np.partition(values.numpy(), at)[at])
    while values.numel() > _FEW:
        sample = values[:: values.numel() // 1024].sort(descending=True).values
        ranks = torch.full_like(sample, values.numel() / sample.numel()).double().cumsum(0)
        low, high = _bracket(sample, ranks, k, 4.0 / math.sqrt(sample.numel()))
        above = int((values > high).sum())
        inside = values[(values >= low) & (values <= high)]
        if not above < k <= above + inside.numel() or inside.numel() == values.numel():
            break
        values, k = inside, k - above
    return float(values.sort(descending=True).values[k - 1])


def kth_largest_in_passes(values: Callable[[], Iterable[Tensor]], k: int) -> float:
    """Return the `k`-th largest of values that are made piece by piece and never held together.

    Nonnegative floats are ordered as the integers with their bits are: one pass counts by the upper
    half of the bits, a second collects those that share the wanted half.

    Args:
        values: returns the pieces, nonnegative float32, the same ones whenever it is called.
        k: 1 is the largest.
    """
    counts = torch.zeros(1 << 15, dtype=torch.int64)
    for piece in values():
        halves = piece.flatten().view(torch.int32) >> 16
        counts += torch.bincount(halves, minlength=1 << 15).cpu()
    above = counts.flip(0).cumsum(0).flip(0) - counts  # how many are in a larger half
    half = int(((above < k) & (above + counts >= k)).nonzero()[0])
    inside = []
    for piece in values():
        flat_piece = piece.flatten()
        inside.append(flat_piece[(flat_piece.view(torch.int32) >> 16) == half])
    return kth_largest(torch.cat(inside), k - int(above[half]))


def _bracket(sample: Tensor, ranks: Tensor, k: int, margin: float) -> tuple[float, float]:
    """Return two values of a descending `sample` that should enclose the `k`-th largest of all.

    Args:
        sample: values, descending.
        ranks: about how many of all values are at least as large as each; float64.
        k: the wanted rank.
        margin: how far off the ranks may be, as a share of all.
    """
    total = float(ranks[-1])
    first = int(torch.searchsorted(ranks, k - margin * total)) - 1
    second = int(torch.searchsorted(ranks, k + margin * total)) + 1
    high = float(sample[first]) if first >= 0 else math.inf
    low = float(sample[second]) if second < sample.numel() else -math.inf
    return low, high


def _sample_of_many(vectors: Iterable[TaskVector]) -> tuple[Tensor, Tensor]:
    """Return a sample of the magnitudes, descending, and how many of all are at least as large."""
    values, counts = [], []
    for vector in vectors:
        found = _sample(vector)
        size = vector.shape[0] * vector.shape[1]
        values.append(found)
        counts.append(torch.full_like(found, size / found.numel(), dtype=torch.float64))
    sample, order = torch.cat(values).sort(descending=True)
    return sample, torch.cat(counts)[order].cumsum(0)


def _sample(vector: TaskVector) -> Tensor:
    """Return the magnitudes of entries drawn at random.

    Not a grid of rows and columns: in a matrix of low rank the entries of a row are alike.
    """
    rows, columns = vector.shape
    device = vector.b.device
    draw = torch.Generator().manual_seed(0)
    at_rows = torch.randint(rows, (_SAMPLE,), generator=draw).to(device)
    at_columns = torch.randint(columns, (_SAMPLE,), generator=draw).to(device)
    # Gathering rows is several times faster than gathering columns.
    columns_of_a = vector.a.T.contiguous()[at_columns]
    return (vector.b[at_rows] * columns_of_a).sum(1).abs_()


def _above_and_inside(vector: TaskVector, low: float, high: float) -> tuple[int, Tensor]:
    """Count the magnitudes above `high` and collect those in [`low`, `high`], in one pass."""
    if compiled := kernels(vector.b):
        return _above_and_inside_compiled(compiled, vector, low, high)
    device = vector.b.device
    buffers = Buffers(2, vector.shape, device)
    above = torch.zeros((), dtype=torch.float64, device=device)
    inside = []
    for tile in tiles(vector.shape, device):
        x, flags = buffers.shaped(tile.shape)
        vector.tile(tile, out=x).abs_()
        # A float comparison into a float buffer is several times faster than one into bool.
        above += torch.gt(x, high, out=flags).sum()
        # Push what is above far below, so that one comparison finds what is inside.
        inside.append(_at_least(x.add_(flags, alpha=_FAR_BELOW), low))
    return int(above), torch.cat(inside)


def _above_and_inside_compiled(
    compiled: Any, vector: TaskVector, low: float, high: float
) -> tuple[int, Tensor]:
    device = vector.b.device
    buffers = Buffers(1, vector.shape, device)
    above = np.zeros(1, dtype=np.int64)
    inside: list[Tensor] = []
    found = np.empty(buffers.size + 1, dtype=np.float32)
    for tile in tiles(vector.shape, device):
        (x,) = buffers.shaped(tile.shape)
        vector.tile(tile, out=x)
        count = compiled.above_and_inside(flat(x), np.float32(low), np.float32(high), found, above)
        inside.append(torch.from_numpy(found[:count].copy()))
    return int(above[0]), torch.cat(inside)


def _at_least(x: Tensor, low: float) -> Tensor:
    """Return the entries of `x` that are at least `low`, `[n]`."""
    low = max(low, 0.0)
    if x.is_cpu:  # NumPy's boolean indexing is four times as fast as torch's on a CPU
        array = x.numpy()
        return torch.from_numpy(array[array >= low])
    return x.masked_select(x >= low)
