"""Into how many directions an adapter spreads its change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from torch import Tensor


@dataclass(frozen=True)
class Spectrum:
    """Ranks of a change; of an adapter, their means over the modules it adapts.

    Attributes:
        rank: how many singular values exceed rounding noise.
        effective_rank: the exponential of the entropy of the singular values divided by their sum
            (Roy and Vetterli 2007), from 1 (one direction) to `rank` (all alike).
        stable_rank: sum of the squared singular values divided by the largest square, from 1 to
            `rank`; it asks only how far the first direction dominates.
    """

    rank: float
    effective_rank: float
    stable_rank: float


def spectrum(values: Tensor) -> Spectrum:
    """Return the ranks of one change from its singular values, `[rank]`, all above 0, descending.

    A change of zero has none, and all its ranks are 0.
    """
    if not values.numel():
        return Spectrum(0.0, 0.0, 0.0)
    shares = values / values.sum()
    return Spectrum(
        rank=float(values.numel()),
        effective_rank=math.exp(float(-(shares * shares.log()).sum())),
        stable_rank=float((values / values[0]).square().sum()),
    )


def mean_spectrum(spectra: Sequence[Spectrum]) -> Spectrum:
    """Return the means over one adapter's modules."""
    return Spectrum(
        rank=fmean(x.rank for x in spectra),
        effective_rank=fmean(x.effective_rank for x in spectra),
        stable_rank=fmean(x.stable_rank for x in spectra),
    )
