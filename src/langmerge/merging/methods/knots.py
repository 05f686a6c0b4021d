"""KnOTS: TIES or DARE in the basis of singular vectors that all task vectors share."""

from __future__ import annotations

from langmerge.merging.methods.dare import dare_ties
from langmerge.merging.methods.ties import ties
from langmerge.merging.registry import register

_SOURCE = "Stoica et al. 2024, arXiv:2410.19735"

knots_ties = register(
    name="knots_ties",
    summary="TIES in the shared singular basis; the result has the rank of all adapters together",
    source=_SOURCE,
    aliases=("knots",),
    space="svd",
    elects=True,
)(ties)

knots_dare = register(
    name="knots_dare",
    summary="DARE-TIES in the shared singular basis",
    source=_SOURCE,
    aliases=("knots_dare_ties",),
    space="svd",
    elects=True,
)(dare_ties)
