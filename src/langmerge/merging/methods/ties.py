"""TIES: trim, elect signs, average what agrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langmerge.merging.registry import (
    Density,
    Lambda,
    Normalize,
    Rescale,
    Trim,
    ZeroSign,
    register,
)

if TYPE_CHECKING:
    from langmerge.merging.composition import Composition


@register(
    summary="trim small entries, elect a sign per entry, average the entries that agree with it",
    source="Yadav et al. 2023, arXiv:2306.01708",
    elects=True,
)
def ties(
    *,
    density: Density = 1.0,
    lambda_: Lambda = 1.0,
    normalize: Normalize = True,
    rescale: Rescale = "none",
    trim: Trim = "tensor",
    zero_sign: ZeroSign = "plus",
) -> Composition:
    """`lambda * sum(m_i w_i d_i) / sum(m_i w_i)`, `m_i` where a kept entry has the elected sign."""
    from langmerge.merging.composition import Composition
    from langmerge.merging.steps.combine import combine
    from langmerge.merging.steps.elect_by_mass import elect_by_mass
    from langmerge.merging.steps.keep_largest import keep_largest, model_threshold

    return Composition(
        sparsify=keep_largest(density, rescale),
        elect=elect_by_mass,
        combine=combine(normalize),
        scale=lambda_,
        survey=model_threshold(density) if trim == "model" else None,
        zero_by_majority=zero_sign == "majority",
    )
