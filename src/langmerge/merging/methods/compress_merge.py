"""Compress, then merge: TIES or an average inside subspaces that all adapters share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from langmerge.merging.registry import Density, Lambda, Spec, register

if TYPE_CHECKING:
    from torch import Tensor

    from langmerge.merging.composition import WholeModule
    from langmerge.merging.vectors import Product, TaskVector

Inner = Annotated[str, Spec("the merge inside the shared subspaces", choices=("mean", "ties"))]
Width = Annotated[
    float, Spec("rank of the result, in multiples of the largest adapter's rank", above=0.0)
]
Beta = Annotated[
    float,
    Spec(
        "how much larger task vectors count for more in the choice of the subspaces: from hardly "
        "to as they are",
        above=0.0,
        most=1.0,
    ),
]

_ROUNDS = 20


@register(
    summary="project all adapters into shared subspaces of the result's rank, then merge there",
    source="He et al. 2026, arXiv:2606.03723",
    aliases=("ctm", "compress_then_merge"),
    spaces=("dense",),
)
def compress_merge(
    *,
    merge: Inner = "ties",
    density: Density = 1.0,
    width: Width = 1.0,
    beta: Beta = 0.5,
    lambda_: Lambda = 1.0,
) -> WholeModule:
    """`U merge(U^T d_i V) V^T`: `U`, `V` best for all (rescaled) task vectors (Tucker-2)."""
    from langmerge.merging.composition import WholeModule
    from langmerge.merging.methods.linear import linear
    from langmerge.merging.methods.ties import ties

    inner = linear(lambda_=lambda_) if merge == "mean" else ties(density=density, lambda_=lambda_)

    def compressed(vectors: Sequence[TaskVector], total_weight: float) -> Product:
        import torch

        from langmerge.merging.composition import merge_entries
        from langmerge.merging.vectors import Product

        rank = max(1, round(width * max(v.a.shape[0] for v in vectors)))
        u, v = _subspaces(vectors, rank, beta)
        cores = [
            replace(x, b=(u.T @ x.b.double()).float(), a=(x.a.double() @ v).float())
            for x in vectors
        ]
        merged = merge_entries(cores, inner, total_weight)
        return Product(b=u.to(torch.float32) @ merged, a=v.T.to(torch.float32).contiguous())

    return WholeModule(compressed)


def _subspaces(vectors: Sequence[TaskVector], rank: int, beta: float) -> tuple[Tensor, Tensor]:
    """Return orthonormal `U [rows, rank]` and `V [columns, rank]` that lose least, float64.

    `U`, `V` maximize `sum |U^T x_i V|^2` (Tucker-2: started by HOSVD, improved by HOOI) for the
    task vectors rescaled to `x_i = (beta |d_i| + (1 - beta) mean |d|) d_i / |d_i|`. In the core
    space of all factors together, which holds every task vector, this is exact and small.
    """
    import torch

    q_b, r_b = torch.linalg.qr(torch.cat([x.b for x in vectors], dim=1).double())
    q_a, r_a = torch.linalg.qr(torch.cat([x.a for x in vectors], dim=0).double().T)
    cores, start = [], 0
    for x in vectors:
        own = slice(start, start + x.a.shape[0])
        cores.append(r_b[:, own] @ r_a[:, own].T)
        start = own.stop
    norms = [float(torch.linalg.matrix_norm(core)) for core in cores]
    mean = math.fsum(norms) / len(norms)
    targets = torch.stack(
        [
            core * (beta + (1.0 - beta) * mean / norm) if norm > 0.0 else core
            for core, norm in zip(cores, norms, strict=True)
        ]
    )
    u, v = _leading(targets, rank), _leading(targets.mT, rank)
    for _ in range(_ROUNDS):
        u = _leading(targets @ v, rank)
        v = _leading(targets.mT @ u, rank)
    return q_b @ u, q_a @ v


def _leading(parts: Tensor, rank: int) -> Tensor:
    """Return the leading eigenvectors of `sum p_i p_i^T`, for `parts` `[n, rows, columns]`."""
    import torch

    vectors = torch.linalg.eigh((parts @ parts.mT).sum(0)).eigenvectors
    leading: Tensor = vectors[:, -rank:].flip(1)
    return leading
