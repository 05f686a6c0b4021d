"""Magnitude pruning: keep the largest entries, then average."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langmerge.merging.registry import Density, Lambda, Normalize, Rescale, Trim, register

if TYPE_CHECKING:
    from langmerge.merging.composition import Composition


@register(
    summary="keep the largest entries of each task vector, then average; no signs are elected",
    source="Yadav et al. 2023, arXiv:2306.01708 (TIES without its election)",
    aliases=("magnitude",),
    weights="nonzero-sum",
)
def magnitude_prune(
    *,
    density: Density = 0.5,
    lambda_: Lambda = 1.0,
    normalize: Normalize = True,
    rescale: Rescale = "none",
    trim: Trim = "tensor",
) -> Composition:
    """`lambda * sum(w_i trim(d_i)) / sum(w_i)`."""
    from langmerge.merging.composition import Composition
    from langmerge.merging.steps.combine import combine
    from langmerge.merging.steps.keep_largest import keep_largest, model_threshold

    return Composition(
        sparsify=keep_largest(density, rescale),
        combine=combine(normalize),
        scale=lambda_,
        survey=model_threshold(density) if trim == "model" else None,
    )
