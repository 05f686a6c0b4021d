"""WUDI in closed form: the merge that disturbs each adapter least on its own task vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from langmerge.merging.registry import Lambda, Spec, register

if TYPE_CHECKING:
    from langmerge.merging.composition import WholeModule
    from langmerge.merging.vectors import Product, TaskVector

Ridge = Annotated[
    float,
    Spec(
        "how strongly the merge is held to the average, as a share of the mean eigenvalue",
        above=0.0,
    ),
]


@register(
    summary="the merge that differs least from each task vector where that one acts, by ridge",
    source="Cheng et al. 2025, arXiv:2503.08099 (their objective; the closed form is ours)",
    aliases=("wudi",),
    spaces=("dense",),
)
def wudi_ridge(*, ridge: Ridge = 0.1, lambda_: Lambda = 1.0) -> WholeModule:
    """`lambda * argmin_M sum w_i |(M - d_i) d_i^T|^2 / |d_i|^2 + mu |M - mean|^2`."""
    from langmerge.merging.composition import WholeModule

    def merge(vectors: Sequence[TaskVector], total_weight: float) -> Product:
        return _solved(vectors, ridge, lambda_, total_weight)

    return WholeModule(merge)


def _solved(
    vectors: Sequence[TaskVector], ridge: float, scale: float, total_weight: float
) -> Product:
    """Solve `M (G + mu I) = N + mu mean`, `G = sum c_i d_i^T d_i`, `N = sum c_i d_i d_i^T d_i`.

    With `[a_1; ...; a_n] = T V^T` all of it lives in the row space `V`, so that the system is of
    the size of the ranks together: `c_i = w_i / |d_i|^2`, `d_i = b_i T_i V^T`.
    """
    import torch

    from langmerge.merging.factorize import side_by_side
    from langmerge.merging.vectors import Product

    stacked = side_by_side(vectors)
    q, r = torch.linalg.qr(stacked.a.double().T)
    gram = torch.zeros(r.shape[0], r.shape[0], dtype=torch.float64, device=r.device)
    right, start = [], 0
    for vector in vectors:
        rank = vector.a.shape[0]
        t, b = r[:, start : start + rank].T, vector.b.double()
        start += rank
        inner = b.T @ b
        square = float((inner * (t @ t.T)).sum())  # |d_i|^2
        c = vector.weight / square if square > 0.0 else 0.0
        own = t.T @ inner @ t  # d_i^T d_i in the row space
        gram += c * own
        right.append(c * t @ own)  # N = sum b_i (c_i T_i own)
    mu = ridge * float(gram.trace()) / gram.shape[0]
    if mu == 0.0:  # every task vector is zero
        return stacked
    start, rows = 0, []
    for vector, n in zip(vectors, right, strict=True):
        rank = vector.a.shape[0]
        rows.append(n + mu * vector.weight / total_weight * r[:, start : start + rank].T)
        start += rank
    identity = torch.eye(gram.shape[0], dtype=torch.float64, device=gram.device)
    solved = torch.linalg.solve(gram + mu * identity, torch.cat(rows).T).T
    a = (solved @ q.T * scale).to(torch.float32)
    return Product(b=torch.cat([v.b for v in vectors], dim=1), a=a)
