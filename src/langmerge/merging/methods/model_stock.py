"""Model stock: the average, shortened by how little the task vectors agree."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from langmerge.merging.registry import Lambda, register

if TYPE_CHECKING:
    from langmerge.merging.composition import WholeModule
    from langmerge.merging.vectors import Product, TaskVector


@register(
    summary="the average, shortened by how little the task vectors agree in direction",
    source="Jang et al. 2024, arXiv:2403.19522",
    aliases=("stock",),
    spaces=("dense",),
)
def model_stock(*, lambda_: Lambda = 1.0) -> WholeModule:
    """`lambda * t * sum(w_i d_i) / sum(w_i)`, `t = n cos / (1 + (n - 1) cos)`."""
    from langmerge.merging.composition import WholeModule

    def merge(vectors: Sequence[TaskVector], total_weight: float) -> Product:
        from langmerge.merging.factorize import side_by_side
        from langmerge.merging.vectors import Product

        total = side_by_side(vectors)
        share = _interpolation([v for v in vectors if v.weight])
        return Product(total.b * (lambda_ * share / total_weight), total.a)

    return WholeModule(merge)


def _interpolation(vectors: Sequence[TaskVector]) -> float:
    """Return how far from the base to the average to go: 1 where all agree, 0 where none does."""
    from langmerge.merging.factorize import inner_product

    if len(vectors) < 2:
        return 1.0
    norms = [math.sqrt(max(inner_product(v, v), 0.0)) for v in vectors]
    cosines = [
        inner_product(vectors[i], vectors[j]) / (norms[i] * norms[j])
        if norms[i] * norms[j]
        else 0.0
        for i, j in itertools.combinations(range(len(vectors)), 2)
    ]
    # Below zero the formula has a pole and turns the average round; there is nothing to agree on.
    cosine = max(0.0, math.fsum(cosines) / len(cosines))
    return len(vectors) * cosine / (1.0 + (len(vectors) - 1) * cosine)
