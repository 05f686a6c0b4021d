"""Elect: the sign with the larger total weighs in."""

from __future__ import annotations

import torch
from torch import Tensor

from langmerge.merge.composition import Tally


def elect_by_mass(tally: Tally) -> Tensor:
    """Elect the sign of the weighted sum; a sum of zero counts as positive.

    Yadav et al., arXiv:2306.01708, section 4; the choice for zero is mergekit's.
    """
    return torch.ge(tally.total, 0.0, out=torch.empty_like(tally.total))
