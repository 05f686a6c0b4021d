"""An adapter's change of one module in float64 factors, and its singular value decomposition.

Everything but the signs is computed from these, so that no dense matrix is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from langmerge.adapter import Adapter


class Factored(NamedTuple):
    """A change `b @ a`.

    Attributes:
        b: `[rows, rank]` float64, the adapter's scale folded in.
        a: `[rank, columns]` float64.
    """

    b: Tensor
    a: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the change."""
        return self.b.shape[0], self.a.shape[1]


Changes: TypeAlias = Sequence[Factored | None]
"""Every adapter's change of one module; None, which is a change of zero, if it adapts it not."""


class Svd(NamedTuple):
    """A change as `left @ diag(values) @ right.T`, down to its numerical rank; all float64.

    Attributes:
        left: `[rows, rank]`, an orthonormal basis of the column space.
        values: `[rank]`, the singular values, descending.
        right: `[columns, rank]`, an orthonormal basis of the row space.
    """

    left: Tensor
    values: Tensor
    right: Tensor


def read(adapter: Adapter, module: str) -> Factored | None:
    """Return an adapter's change of a module, None if it does not adapt it.

    Raises:
        AdapterError: if a value is NaN or infinite.
    """
    if module not in adapter.shapes:
        return None
    factors = adapter.factors(module)
    return Factored(b=factors.b.double() * factors.scale, a=factors.a.double())


def minus(change: Factored | None, start: Factored | None) -> Factored | None:
    """Return `b a - b_0 a_0` in factors, `[b, -b_0] [a; a_0]`; None where neither is there."""
    if start is None:
        return change
    if change is None:
        return Factored(b=-start.b, a=start.a)
    b = torch.cat([change.b, -start.b], dim=1)
    return Factored(b=b, a=torch.cat([change.a, start.a], dim=0))


def svd(change: Factored) -> Svd:
    """Decompose a change without forming it.

    With `b = Q_b R_b` and `a^T = Q_a R_a`, the SVD of the small `R_b R_a^T = u s v^T` gives
    `Q_b u`, `s` and `Q_a v`. Values below float32's resolution of the largest are rounding noise
    of the stored factors and are left out; a change of zero has rank 0.
    """
    q_b, r_b = torch.linalg.qr(change.b)
    q_a, r_a = torch.linalg.qr(change.a.T)
    u, values, v_t = torch.linalg.svd(r_b @ r_a.T, full_matrices=False)
    rank = int((values > values[0] * torch.finfo(torch.float32).eps).sum())
    return Svd(left=q_b @ u[:, :rank], values=values[:rank], right=q_a @ v_t[:rank].T)
