"""From a merged task vector to LoRA factors: exact, or the best ones of a smaller rank."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from langmerge.merging.factorize import squared_norm, svd_of_product
from langmerge.merging.vectors import Merged, Product

_OVERSAMPLING = 16
_POWER_ITERATIONS = 2


class Compressed(NamedTuple):
    """Factors and what they keep.

    Attributes:
        product: the factors.
        energy: the squared Frobenius norm of the merged task vector.
        kept: the squared Frobenius norm of the part that the factors keep.
    """

    product: Product
    energy: float
    kept: float


def exact(merged: Merged) -> Product:
    """Write a merged task vector as factors of the smallest rank known, without loss.

    A dense matrix is written as itself beside an identity on its shorter side.
    """
    if isinstance(merged, Product):
        rows, columns = merged.b.shape[0], merged.a.shape[1]
        if merged.b.shape[1] < min(rows, columns):
            return merged
        merged = merged.b @ merged.a
    rows, columns = merged.shape
    identity = torch.eye(min(rows, columns), dtype=merged.dtype, device=merged.device)
    return Product(identity, merged) if rows <= columns else Product(merged, identity)


def to_rank(merged: Merged, rank: int) -> Compressed:
    """Return the best factors of at most `rank` (Eckart and Young, 1936).

    They are found by a randomized range finder with power iterations (Halko, Martinsson and Tropp,
    SIAM Review 53(2), 2011, algorithms 4.4 and 5.1) where `rank` is well below the size of the
    matrix, so that a flat spectrum costs a little of the optimum; otherwise exactly.
    """
    wide = rank + _OVERSAMPLING
    if 3 * wide < _smallest_side(merged):
        return _cut(*_randomized_svd(merged, wide), rank, _energy(merged))
    left, values, right = _svd(merged)
    return _cut(left, values, right, rank, float(values.double().square().sum()))


def to_energy(merged: Merged, share: float) -> Compressed:
    """Return the factors of the smallest rank that keeps `share` of the energy."""
    left, values, right = _svd(merged)
    energies = values.double().square().cumsum(0)
    energy = float(energies[-1])
    rank = int((energies < share * energy).sum()) + 1
    return _cut(left, values, right, rank, energy)


def _cut(left: Tensor, values: Tensor, right: Tensor, rank: int, energy: float) -> Compressed:
    """Return the first `rank` singular triplets, the values shared evenly by both factors."""
    rank = min(rank, values.numel())
    root = values[:rank].sqrt()
    b = (left[:, :rank] * root).to(torch.float32)
    a = (root[:, None] * right[:rank]).to(torch.float32)
    kept = min(energy, float(values[:rank].double().square().sum()))
    return Compressed(Product(b.contiguous(), a.contiguous()), energy, kept)


def _svd(merged: Merged) -> tuple[Tensor, Tensor, Tensor]:
    return svd_of_product(*merged) if isinstance(merged, Product) else _exact_svd(merged)


def _smallest_side(merged: Merged) -> int:
    """Return a bound on the rank."""
    sizes = (*merged.b.shape, *merged.a.shape) if isinstance(merged, Product) else merged.shape
    return int(min(sizes))


def _energy(merged: Merged) -> float:
    """Return the squared Frobenius norm; float32 within a row, float64 over the rows."""
    if isinstance(merged, Product):
        return squared_norm(merged)
    return float(torch.linalg.vector_norm(merged, dim=1).double().square().sum())


def _times(merged: Merged, other: Tensor) -> Tensor:
    """Return `merged @ other`, without the matrix where factors are known."""
    if isinstance(merged, Product):
        return merged.b @ (merged.a @ other)
    return merged @ other


def _transposed_times(merged: Merged, other: Tensor) -> Tensor:
    """Return `merged.T @ other`."""
    if isinstance(merged, Product):
        return merged.a.T @ (merged.b.T @ other)
    return merged.T @ other


def _exact_svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the SVD of a dense matrix from the float64 eigenvectors of its smaller Gram matrix."""
    if matrix.shape[0] > matrix.shape[1]:
        left, values, right = _exact_svd(matrix.T)
        return right.T, values, left.T
    wide = matrix.double()
    squares, left = torch.linalg.eigh(wide @ wide.T)
    left = left.flip(1)
    values = squares.flip(0).clamp_min(0.0).sqrt()
    # Rows of right are only determined, and only needed, where there is something to multiply.
    inverse = torch.where(values > 0.0, 1.0 / values.clamp_min(1e-300), 0.0)
    return left, values, (left.T @ wide) * inverse[:, None]


def _randomized_svd(merged: Merged, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return about the first `width` singular triplets of a float32 matrix."""
    last = merged.a if isinstance(merged, Product) else merged
    # The start only has to be independent of the matrix, so one fixed draw serves all.
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(last.shape[1], width, generator=draw).to(last.device)
    basis = _orthonormal(_times(merged, start))
    for _ in range(_POWER_ITERATIONS):
        basis = _orthonormal(_times(merged, _orthonormal(_transposed_times(merged, basis))))
    left, values, right = _exact_svd(_transposed_times(merged, basis).T)
    return basis.double() @ left, values, right


def _orthonormal(matrix: Tensor) -> Tensor:
    basis: Tensor = torch.linalg.qr(matrix).Q
    return basis
