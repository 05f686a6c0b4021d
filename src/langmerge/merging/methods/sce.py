"""SCE: select the entries that vary, calculate the weights, erase the minority's signs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from langmerge.merging.registry import Density, Lambda, register

if TYPE_CHECKING:
    from torch import Tensor

    from langmerge.merging.composition import WholeModule
    from langmerge.merging.vectors import TaskVector, Tile


@register(
    summary="select the entries that vary most between adapters, weigh by energy, elect signs",
    source="Wan et al. 2024, arXiv:2408.07990",
    spaces=("dense",),
)
def sce(*, density: Density = 1.0, lambda_: Lambda = 1.0) -> WholeModule:
    """`lambda * sum(m_i c_i d_i) / sum(m_i c_i)`, `c_i = w_i |d_i|^2` over the selected entries."""
    from langmerge.merging.composition import WholeModule

    def merge(vectors: Sequence[TaskVector], total_weight: float) -> Tensor:
        return _merged(vectors, density, lambda_)

    return WholeModule(merge)


def _merged(vectors: Sequence[TaskVector], density: float, scale: float) -> Tensor:
    import torch

    shape, device = vectors[0].shape, vectors[0].b.device
    least = _least_variance(vectors, density)
    weights = torch.tensor([v.weight for v in vectors], dtype=torch.float64, device=device)
    energy = torch.zeros_like(weights)
    for _, entries in _stacks(vectors, least):
        energy += entries.flatten(1).double().square().sum(1)
    coefficients = weights * (energy if float(energy.sum()) > 0.0 else 1.0)
    shares = (coefficients / coefficients.sum()).float()[:, None, None]
    votes = (weights / weights.sum()).float()[:, None, None]
    merged = torch.empty(shape, dtype=torch.float32, device=device)
    tiny = torch.finfo(torch.float32).tiny
    for tile, entries in _stacks(vectors, least):
        positive = (entries * votes).sum(0) >= 0.0
        agree = torch.where(positive, entries > 0.0, entries < 0.0) * shares
        total, weight = (entries * agree).sum(0), agree.sum(0)
        torch.mul(total / weight.clamp_min(tiny), scale, out=tile.of(merged))
    return merged


def _stacks(vectors: Sequence[TaskVector], least: float) -> Iterator[tuple[Tile, Tensor]]:
    """Yield each tile with the entries of all adapters that are selected, `[n, rows, columns]`."""
    import torch

    from langmerge.merging.vectors import tiles

    shape, device = vectors[0].shape, vectors[0].b.device
    for tile in tiles(shape, device):
        entries = torch.empty(len(vectors), *tile.shape, device=device)
        for vector, own in zip(vectors, entries, strict=True):
            vector.tile(tile, out=own)
        if least > 0.0:
            entries *= entries.var(0, correction=0) >= least
        yield tile, entries


def _least_variance(vectors: Sequence[TaskVector], density: float) -> float:
    """Return the variance from which on an entry is selected; 0 where all are."""
    from langmerge.merging.select import kth_largest_in_passes

    def variances() -> Iterator[Tensor]:
        return (entries.var(0, correction=0) for _, entries in _stacks(vectors, 0.0))

    if density == 1.0 or len(vectors) == 1:
        return 0.0
    varying = sum(int(v.count_nonzero()) for v in variances())
    return kth_largest_in_passes(variances, max(1, int(density * varying))) if varying else 0.0
