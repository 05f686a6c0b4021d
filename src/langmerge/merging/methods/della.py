"""DELLA: drop entries at random, small ones more often, rescale the rest, then merge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from langmerge.merging.registry import Density, Lambda, Normalize, Spec, ZeroSign, register

if TYPE_CHECKING:
    from langmerge.merging.composition import Composition

_SOURCE = "Deep et al. 2024, arXiv:2406.11617"

Epsilon = Annotated[
    float,
    Spec(
        "how far the keep probability of a row's largest entry is above the density, and that of "
        "its smallest below",
        above=0.0,
        most=0.5,
    ),
]
Rescale = Annotated[
    str,
    Spec(
        "how kept entries make up for the others: each times 1 over its probability, to the same "
        "L1 norm, or not",
        choices=("probability", "l1", "none"),
    ),
]


@register(
    summary="drop small entries more often than large ones, rescale, then elect signs as TIES does",
    source=_SOURCE,
    elects=True,
)
def della(
    *,
    density: Density = 0.7,
    epsilon: Epsilon = 0.15,
    lambda_: Lambda = 1.0,
    normalize: Normalize = True,
    rescale: Rescale = "probability",
    zero_sign: ZeroSign = "plus",
) -> Composition:
    """TIES with drops by rank in place of trimming."""
    from langmerge.merging.composition import Composition
    from langmerge.merging.steps.combine import combine
    from langmerge.merging.steps.drop_by_rank import drop_by_rank
    from langmerge.merging.steps.elect_by_mass import elect_by_mass

    return Composition(
        sparsify=drop_by_rank(density, epsilon, rescale),
        elect=elect_by_mass,
        combine=combine(normalize),
        scale=lambda_,
        zero_by_majority=zero_sign == "majority",
    )


@register(
    summary="drop small entries more often than large ones and rescale, then average",
    source=_SOURCE,
    weights="nonzero-sum",
)
def della_linear(
    *,
    density: Density = 0.7,
    epsilon: Epsilon = 0.15,
    lambda_: Lambda = 1.0,
    normalize: Normalize = True,
    rescale: Rescale = "probability",
) -> Composition:
    """`lambda * sum(w_i drop(d_i)) / sum(w_i)`, the drops by rank."""
    from langmerge.merging.composition import Composition
    from langmerge.merging.steps.combine import combine
    from langmerge.merging.steps.drop_by_rank import drop_by_rank

    return Composition(
        sparsify=drop_by_rank(density, epsilon, rescale), combine=combine(normalize), scale=lambda_
    )
