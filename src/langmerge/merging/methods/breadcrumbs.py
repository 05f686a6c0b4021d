"""Model breadcrumbs: mask the outliers and the negligible entries, then merge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from langmerge.merging.registry import (
    Density,
    Lambda,
    Normalize,
    Rescale,
    Spec,
    ZeroSign,
    register,
)

if TYPE_CHECKING:
    from langmerge.merging.composition import Composition

_SOURCE = "Davari and Belilovsky 2023, arXiv:2312.06795"

Gamma = Annotated[
    float,
    Spec(
        "share of each task vector's entries, its largest, that is dropped as outliers",
        above=0.0,
        most=0.5,
    ),
]


@register(
    summary="drop the outliers and the negligible entries of each task vector, then average",
    source=_SOURCE,
    weights="nonzero-sum",
)
def breadcrumbs(
    *,
    density: Density = 0.85,
    gamma: Gamma = 0.01,
    lambda_: Lambda = 1.0,
    normalize: Normalize = True,
    rescale: Rescale = "none",
) -> Composition:
    """`lambda * sum(w_i middle(d_i)) / sum(w_i)`."""
    from langmerge.merging.composition import Composition
    from langmerge.merging.steps.combine import combine
    from langmerge.merging.steps.keep_middle import keep_middle

    return Composition(
        sparsify=keep_middle(density, gamma, rescale), combine=combine(normalize), scale=lambda_
    )


@register(
    summary="drop outliers and negligible entries, then elect signs and merge as TIES does",
    source=_SOURCE,
    elects=True,
)
def breadcrumbs_ties(
    *,
    density: Density = 0.85,
    gamma: Gamma = 0.01,
    lambda_: Lambda = 1.0,
    normalize: Normalize = True,
    rescale: Rescale = "none",
    zero_sign: ZeroSign = "plus",
) -> Composition:
    """TIES with both tails masked in place of trimming."""
    from langmerge.merging.composition import Composition
    from langmerge.merging.steps.combine import combine
    from langmerge.merging.steps.elect_by_mass import elect_by_mass
    from langmerge.merging.steps.keep_middle import keep_middle

    return Composition(
        sparsify=keep_middle(density, gamma, rescale),
        elect=elect_by_mass,
        combine=combine(normalize),
        scale=lambda_,
        zero_by_majority=zero_sign == "majority",
    )
