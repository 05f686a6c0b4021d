"""The shared singular basis (KnOTS): task vectors aligned by one set of left singular vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from langmerge.merging.spaces.types import Decode, Product
from langmerge.merging.vectors import TaskVector


def svd(vectors: Sequence[TaskVector]) -> tuple[list[TaskVector], Decode]:
    """Return `P_i = S V_i^T`, where `[d_1 ... d_n] = U S [V_1 ... V_n]^T`, and `P -> U P`.

    Stoica et al., arXiv:2410.19735. Since `P_i = U^T d_i = (U^T b_i) a_i`, only `U` is needed, and
    it is found without a dense matrix.
    """
    u = left_singular_vectors(vectors).to(torch.float32)

    def decode(merged: Tensor) -> Product:
        return Product(b=u, a=merged)

    return [replace(vector, b=u.T @ vector.b) for vector in vectors], decode


def left_singular_vectors(vectors: Sequence[TaskVector]) -> Tensor:
    """Return the left singular vectors of the task vectors side by side.

    With `[b_1 ... b_n] = Q R`, the Gram matrix of the whole is
    `sum d_i d_i^T = Q G Q^T`, `G = R blockdiag(a_i a_i^T) R^T`, and the eigenvectors of `G`
    (at most sum of ranks wide) turn `Q` into `U`. In float64, so that squaring costs no accuracy
    that float32 could show.

    Returns:
        `[rows, rank]` float64, singular values descending; the numerical rank, at least 1.
    """
    q, r = torch.linalg.qr(torch.cat([vector.b for vector in vectors], dim=1).double())
    gram = torch.zeros(r.shape[0], r.shape[0], dtype=torch.float64, device=r.device)
    start = 0
    for vector in vectors:
        rank = vector.b.shape[1]
        a, block = vector.a.double(), r[:, start : start + rank]
        gram += block @ (a @ a.T) @ block.T
        start += rank
    squares, directions = torch.linalg.eigh(gram)
    # Directions below float32's resolution of the largest are rounding noise, and would only
    # dilute what a density refers to.
    floor = squares[-1] * torch.finfo(torch.float32).eps ** 2
    kept = max(1, int((squares > floor).sum()))
    left: Tensor = q @ directions[:, -kept:].flip(1)
    return left
