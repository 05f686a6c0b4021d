"""RobustMerge: prune the factors, make up for it rank by rank, balance the adapters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from langmerge.merging.registry import Density, Lambda, Spec, register

if TYPE_CHECKING:
    from torch import Tensor

    from langmerge.merging.composition import WholeModule
    from langmerge.merging.vectors import Product, TaskVector

Raised = Annotated[
    float,
    Spec(
        "share of an adapter's smallest scales that is raised to the next one", above=0.0, most=1.0
    ),
]


@register(
    summary="prune A and B, scale each rank by what pruning took from A, average over adapters",
    source="Zeng et al. 2025, arXiv:2502.17159",
    aliases=("robustmerge",),
    spaces=("dense",),
)
def robust_merge(
    *, density: Density = 0.8, raised: Raised = 0.8, lambda_: Lambda = 1.0
) -> WholeModule:
    """`lambda * sum_i trim(b_i) diag(w_i S_i / sum_j w_j S_j) trim(a_i)`."""
    from langmerge.merging.composition import WholeModule

    def merge(vectors: Sequence[TaskVector], total_weight: float) -> Product:
        return _merged(vectors, density, raised, lambda_, total_weight)

    return WholeModule(merge)


def _merged(
    vectors: Sequence[TaskVector], density: float, raised: float, scale: float, total_weight: float
) -> Product:
    import torch

    from langmerge.merging.vectors import Product

    width = max(vector.a.shape[0] for vector in vectors)
    # An adapter that lacks the module, or the rank, counts as one that lost nothing to pruning.
    total = vectors[0].a.new_full((width,), total_weight)
    pruned, scales = [], []
    for vector in vectors:
        a = _largest(vector.a, density)
        s = _raised(_lost(vector.a, a), raised)
        total[: len(s)] += vector.weight * (s - 1.0)
        pruned.append((_largest(vector.b, density), a))
        scales.append(vector.weight * s)
    b = [part * (s / total[: len(s)] * scale) for (part, _), s in zip(pruned, scales, strict=True)]
    return Product(b=torch.cat(b, dim=1), a=torch.cat([a for _, a in pruned], dim=0))


def _largest(factor: Tensor, density: float) -> Tensor:
    """Return a factor with its `max(1, floor(density n))` largest magnitudes, 0 elsewhere."""
    from langmerge.merging.select import kth_largest

    k = max(1, int(density * factor.numel()))
    if k >= factor.numel():
        return factor
    sizes = factor.abs()
    return factor * (sizes >= kth_largest(sizes.flatten(), k))


def _raised(scales: Tensor, share: float) -> Tensor:
    """Raise the smallest scales to the one at `share` of their order: few ranks stand out."""
    ordered = scales.sort().values
    return scales.clamp_min(ordered[min(int(share * len(ordered)), len(ordered) - 1)])


def _lost(whole: Tensor, left: Tensor) -> Tensor:
    """Return by how much each rank shrank; 1 where nothing is left that a scale could make up."""
    size = left.abs().sum(1)
    return (whole.abs().sum(1) / size).where(size > 0, 1.0)
