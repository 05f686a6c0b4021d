"""The core space: task vectors in a basis common to all factors, on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from langmerge.merging.spaces.types import Decode, Product
from langmerge.merging.vectors import TaskVector


def core(vectors: Sequence[TaskVector]) -> tuple[list[TaskVector], Decode]:
    """Return the cores `U^T d_i V` and `M -> U M V^T`.

    `U` holds the left singular vectors of `[b_1 ... b_n]` and `V` the right ones of the `a_i`
    stacked (Panariello et al., arXiv:2509.17786). Both span all task vectors, so nothing is lost.
    """
    u = _basis(torch.cat([vector.b for vector in vectors], dim=1))
    v = _basis(torch.cat([vector.a for vector in vectors], dim=0).T)

    def decode(merged: Tensor) -> Product:
        # Multiplied into the narrower side, to keep the rank as small as the core.
        narrow = merged.shape[0] <= merged.shape[1]
        return Product(b=u, a=merged @ v.T) if narrow else Product(b=u @ merged, a=v.T)

    return [replace(x, b=u.T @ x.b, a=x.a @ v) for x in vectors], decode


def _basis(matrix: Tensor) -> Tensor:
    """Return the left singular vectors of `matrix` up to its numerical rank, float32."""
    q, r = torch.linalg.qr(matrix.double())
    left, values, _ = torch.linalg.svd(r)
    kept = max(1, int((values > values[0] * torch.finfo(torch.float32).eps).sum()))
    basis: Tensor = q @ left[:, :kept]
    return basis.to(torch.float32)
