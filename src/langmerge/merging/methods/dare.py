"""DARE: drop entries at random, rescale the rest, then merge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langmerge.merging.registry import Density, Lambda, Normalize, Rescale, ZeroSign, register

if TYPE_CHECKING:
    from langmerge.merging.composition import Composition


@register(
    summary="drop entries at random and rescale the rest, then average",
    source="Yu et al. 2023, arXiv:2311.03099",
    aliases=("dt",),
    weights="nonzero-sum",
)
def dare_linear(
    *,
    density: Density = 0.8,
    lambda_: Lambda = 1.0,
    normalize: Normalize = True,
    rescale: Rescale = "density",
) -> Composition:
    """`lambda * sum(w_i drop(d_i)) / sum(w_i)`."""
    from langmerge.merging.composition import Composition
    from langmerge.merging.steps.combine import combine
    from langmerge.merging.steps.drop_random import drop_random

    return Composition(
        sparsify=drop_random(density, rescale), combine=combine(normalize), scale=lambda_
    )


@register(
    summary="drop entries at random and rescale the rest, then elect signs and merge as TIES does",
    source="Yu et al. 2023, arXiv:2311.03099",
    aliases=("dts", "dare"),
    elects=True,
)
def dare_ties(
    *,
    density: Density = 0.8,
    lambda_: Lambda = 1.0,
    normalize: Normalize = True,
    rescale: Rescale = "density",
    zero_sign: ZeroSign = "plus",
) -> Composition:
    """TIES with random dropping in place of trimming."""
    from langmerge.merging.composition import Composition
    from langmerge.merging.steps.combine import combine
    from langmerge.merging.steps.drop_random import drop_random
    from langmerge.merging.steps.elect_by_mass import elect_by_mass

    return Composition(
        sparsify=drop_random(density, rescale),
        elect=elect_by_mass,
        combine=combine(normalize),
        scale=lambda_,
        zero_by_majority=zero_sign == "majority",
    )
