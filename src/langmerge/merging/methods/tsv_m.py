"""TSV-M: whiten the singular vectors of different tasks against each other, then add up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from langmerge.merging.registry import Lambda, Spec, register

if TYPE_CHECKING:
    from langmerge.merging.composition import WholeModule
    from langmerge.merging.vectors import Product, TaskVector

Keep = Annotated[
    str,
    Spec(
        "which singular triplets of an adapter count: its share of the rank (rank / adapters), "
        "or all",
        choices=("share", "all"),
    ),
]


@register(
    summary="add up the leading singular triplets of all adapters, made orthogonal to each other",
    source="Gargiulo et al. 2024, arXiv:2412.00081",
    aliases=("tsv",),
    spaces=("dense",),
    weights="any",
)
def tsv_m(*, lambda_: Lambda = 1.0, keep: Keep = "share") -> WholeModule:
    """`lambda * polar(U) S polar(V)^T`, where U, S, V hold the triplets of every `d_i`."""
    from langmerge.merging.composition import WholeModule

    def merge(vectors: Sequence[TaskVector], total_weight: float) -> Product:
        return _whitened(vectors, lambda_, keep)

    return WholeModule(merge)


def _whitened(vectors: Sequence[TaskVector], scale: float, keep: str) -> Product:
    import torch

    from langmerge.merging.factorize import polar_factor, svd_of_product
    from langmerge.merging.vectors import Product

    parts = []
    for vector in vectors:
        found = svd_of_product(vector.b, vector.a)
        rank = found.numerical_rank()
        parts.append(found.first(rank if keep == "all" else max(1, rank // len(vectors))))
    left = polar_factor(torch.cat([part.left for part in parts], dim=1))
    right = polar_factor(torch.cat([part.right.T for part in parts], dim=1))
    values = torch.cat([p.values * v.weight for p, v in zip(parts, vectors, strict=True)])
    b = left * (values * scale)
    return Product(b=b.to(torch.float32), a=right.T.to(torch.float32).contiguous())
