"""Elect: the sign with the larger total weighs in."""

from __future__ import annotations

import torch
from torch import Tensor

from langmerge.merging.composition import Tally


def elect_by_mass(tally: Tally, zero_is_positive: bool = True) -> Tensor:
    """Elect the sign of the weighted sum (Yadav et al., arXiv:2306.01708, section 4).

    What a sum of zero counts as is positive in mergekit, and the sign of most sums in the authors'
    code: see `Composition.zero_by_majority`.
    """
    compare = torch.ge if zero_is_positive else torch.gt
    return compare(tally.total, 0.0, out=torch.empty_like(tally.total))
