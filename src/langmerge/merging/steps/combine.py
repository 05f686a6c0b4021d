"""Combine: from the sum and the weight of what counts to the merged entry."""

from __future__ import annotations

import torch
from torch import Tensor

from langmerge.merging.composition import Combine

_TINY = torch.finfo(torch.float32).tiny


def combine(normalize: bool) -> Combine:
    """Return `weighted_mean` or `weighted_sum`."""
    return weighted_mean if normalize else weighted_sum


def weighted_mean(total: Tensor, weight: Tensor) -> Tensor:
    """Average: where nothing counts, sum and weight are zero and so is the mean."""
    if weight.dim() == 0:  # nothing is elected: the weights' sum, which may be negative
        return total / weight
    return total / weight.clamp_min(_TINY)


def weighted_sum(total: Tensor, weight: Tensor) -> Tensor:
    """Add up."""
    return total
