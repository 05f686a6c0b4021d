"""Singular value calibration: directions that several adapters share are counted once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from langmerge.merging.registry import Lambda, Spec, register

if TYPE_CHECKING:
    from torch import Tensor

    from langmerge.merging.composition import WholeModule
    from langmerge.merging.factorize import Svd
    from langmerge.merging.vectors import Product, TaskVector

Floor = Annotated[
    float, Spec("least that a singular value is divided by; at 1 none is raised", above=0.0)
]


@register(
    summary="the sum, each singular value divided by how many times adapters count its direction",
    source="Li et al. 2026, arXiv:2602.05536",
    spaces=("dense",),
)
def svc(*, floor: Floor = 0.1, lambda_: Lambda = 1.0) -> WholeModule:
    """`lambda * U diag(sigma_j / eta_j) V^T`, where the sum of the task vectors is `U S V^T`."""
    from langmerge.merging.composition import WholeModule

    def merge(vectors: Sequence[TaskVector], total_weight: float) -> Product:
        return _calibrated(vectors, floor, lambda_, total_weight)

    return WholeModule(merge)


def _calibrated(
    vectors: Sequence[TaskVector], floor: float, scale: float, total_weight: float
) -> Product:
    import torch

    from langmerge.merging.factorize import side_by_side, svd_of_product
    from langmerge.merging.vectors import Product

    total = side_by_side(vectors)
    # Weights of mean 1, so that only their ratios matter and equal ones give the plain sum.
    found = svd_of_product(total.b * (len(vectors) / total_weight), total.a)
    found = found.first(found.numerical_rank())
    b = found.left * (found.values / _counts(found, vectors, floor) * scale)
    return Product(b=b.to(torch.float32), a=found.right.to(torch.float32).contiguous())


def _counts(found: Svd, vectors: Sequence[TaskVector], floor: float) -> Tensor:
    """Return by what each singular value is divided, `[rank]` float64.

    Along a left singular vector `u`, `s_i = <u^T M, u^T d_i> / |u^T d_i|^2` says how many times
    over the merge `M` holds what adapter `i` puts there. Where all are positive it is their mean,
    but at least `floor`; where one is not, the adapters disagree and nothing is changed.
    """
    import torch

    shares = []
    for vector in vectors:
        a = vector.a.double()
        along = found.left.T @ vector.b.double()  # u^T d_i = along @ a, one row per direction
        squares = (along @ (a @ a.T) * along).sum(1).clamp_min(torch.finfo(torch.float64).tiny)
        shares.append(found.values * (along * (found.right @ a.T)).sum(1) / squares)
    s = torch.stack(shares)
    return torch.where((s > 0.0).all(0), s.mean(0).clamp_min(floor), 1.0)
