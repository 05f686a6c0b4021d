"""Singular value decompositions of products, by way of the small matrix between their bases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from langmerge.merging.vectors import Product, TaskVector


class Svd(NamedTuple):
    """A singular value decomposition, `left @ diag(values) @ right`; float64, descending."""

    left: Tensor
    values: Tensor
    right: Tensor

    def first(self, rank: int) -> Svd:
        """Return the first `rank` triplets."""
        return Svd(self.left[:, :rank], self.values[:rank], self.right[:rank])

    def numerical_rank(self) -> int:
        """Return how many values float32 can tell from zero, at least 1."""
        floor = self.values[0] * torch.finfo(torch.float32).eps
        return max(1, int((self.values > floor).sum()))


def svd_of_product(b: Tensor, a: Tensor) -> Svd:
    """Return the SVD of `b @ a`, without the product, in float64."""
    q_b, r_b = torch.linalg.qr(b.double())
    q_a, r_a = torch.linalg.qr(a.double().T)
    left, values, right = torch.linalg.svd(r_b @ r_a.T, full_matrices=False)
    return Svd(q_b @ left, values, right @ q_a.T)


def side_by_side(vectors: Sequence[TaskVector]) -> Product:
    """Return `sum w_i d_i` as one product: `[w_1 b_1 ... w_n b_n] [a_1; ...; a_n]`."""
    b = torch.cat([vector.b * vector.weight for vector in vectors], dim=1)
    return Product(b=b, a=torch.cat([vector.a for vector in vectors], dim=0))


def polar_factor(matrix: Tensor) -> Tensor:
    """Return the matrix with orthonormal columns that is nearest to `matrix` `[rows, n]`.

    With `matrix = U S V^T` it is `U V^T` (Higham, SIAM J. Sci. Stat. Comput. 7(4), 1986). Where
    `matrix` lacks full rank the nearest is not unique; the singular directions of zero are left
    out, which makes it so.
    """
    q, r = torch.linalg.qr(matrix)
    left, values, right = torch.linalg.svd(r, full_matrices=False)
    kept = Svd(left, values, right).numerical_rank()
    factor: Tensor = q @ (left[:, :kept] @ right[:kept])
    return factor


def squared_norm(product: Product) -> float:
    """Return the squared Frobenius norm of `b @ a`, without the product."""
    b, a = product.b.double(), product.a.double()
    return float(((b.T @ b) * (a @ a.T)).sum())


def inner_product(one: TaskVector, two: TaskVector) -> float:
    """Return the sum of the products of the entries of two task vectors, without either."""
    inner = (one.b.double().T @ two.b.double()) * (one.a.double() @ two.a.double().T)
    return float(inner.sum())
