"""Pico: weaken the output directions that all adapters share, merge, restore the size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from langmerge.merging.registry import Density, Lambda, Spec, register

if TYPE_CHECKING:
    from langmerge.merging.composition import WholeModule
    from langmerge.merging.vectors import Merged, TaskVector

Inner = Annotated[
    str, Spec("the merge between calibration and rescaling", choices=("mean", "ties"))
]


@register(
    summary="weaken the output directions that adapters share, merge, then restore the size",
    source="Tang and Yang 2026, arXiv:2604.16826",
    spaces=("dense",),
)
def pico(*, merge: Inner = "mean", density: Density = 1.0, lambda_: Lambda = 1.0) -> WholeModule:
    """`lambda * c * merge(U diag(1 / (1 + (n - 1) c_j)) U^T d_i)`, `c` restoring the mean norm."""
    from langmerge.merging.composition import WholeModule
    from langmerge.merging.methods.linear import linear
    from langmerge.merging.methods.ties import ties

    inner = linear() if merge == "mean" else ties(density=density)

    def calibrated(vectors: Sequence[TaskVector], total_weight: float) -> Merged:
        from langmerge.merging.composition import merge_entries
        from langmerge.merging.factorize import side_by_side

        weakened = _calibrate(vectors)
        found: Merged
        if merge == "mean":
            total = side_by_side(weakened)
            found = type(total)(total.b / total_weight, total.a)
        else:
            found = merge_entries(weakened, inner, total_weight)
        return _scaled(found, lambda_ * _mean_norm(vectors) / _norm(found))

    return WholeModule(calibrated)


def _calibrate(vectors: Sequence[TaskVector]) -> list[TaskVector]:
    """Return the task vectors with `b_i <- U diag(1 / (1 + (n - 1) c_j)) U^T b_i`.

    `[b_1 ... b_n] = U diag(sigma) W^T`; `c_j = sigma_j^2 / sum(sigma^2)` says how crowded an output
    direction is.
    """
    from dataclasses import replace

    import torch

    q, r = torch.linalg.qr(torch.cat([vector.b for vector in vectors], dim=1).double())
    left, values, _ = torch.linalg.svd(r)
    squares = values.square()
    crowded = squares / squares.sum().clamp_min(torch.finfo(torch.float64).tiny)
    u = q @ left
    shrunk = u / (1.0 + (len(vectors) - 1) * crowded)
    return [replace(v, b=(shrunk @ (u.T @ v.b.double())).to(torch.float32)) for v in vectors]


def _mean_norm(vectors: Sequence[TaskVector]) -> float:
    from langmerge.merging.factorize import squared_norm
    from langmerge.merging.vectors import Product

    norms = [math.sqrt(max(squared_norm(Product(v.b, v.a)), 0.0)) for v in vectors]
    return math.fsum(norms) / len(norms)


def _norm(merged: Merged) -> float:
    """Return the Frobenius norm; 1 for zero, which no factor changes."""
    from langmerge.merging.factorize import squared_norm

    square = (
        squared_norm(merged) if isinstance(merged, tuple) else float(merged.double().square().sum())
    )
    return math.sqrt(square) if square > 0.0 else 1.0


def _scaled(merged: Merged, factor: float) -> Merged:
    from langmerge.merging.vectors import Product

    if isinstance(merged, Product):
        return Product(merged.b * factor, merged.a)
    return merged * factor
