"""Iso-C: give every singular direction of the sum the same weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from langmerge.merging.registry import Lambda, register

if TYPE_CHECKING:
    from langmerge.merging.composition import WholeModule
    from langmerge.merging.vectors import Product, TaskVector


@register(
    summary="the weighted sum with all its singular values set to their mean",
    source="Marczak et al. 2025, arXiv:2502.04959",
    aliases=("iso",),
    spaces=("dense",),
    weights="any",
)
def iso_c(*, lambda_: Lambda = 1.0) -> WholeModule:
    """`lambda * mean(sigma) * U V^T`, where `sum(w_i d_i) = U diag(sigma) V^T`."""
    from langmerge.merging.composition import WholeModule

    def merge(vectors: Sequence[TaskVector], total_weight: float) -> Product:
        return _isotropic(vectors, lambda_)

    return WholeModule(merge)


def _isotropic(vectors: Sequence[TaskVector], scale: float) -> Product:
    import torch

    from langmerge.merging.factorize import side_by_side, svd_of_product
    from langmerge.merging.vectors import Product

    found = svd_of_product(*side_by_side(vectors))
    left, values, right = found.first(found.numerical_rank())
    b = left * (values.mean() * scale)
    return Product(b=b.to(torch.float32), a=right.to(torch.float32).contiguous())
