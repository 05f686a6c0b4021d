"""Weighted sums of task vectors; exact in factor space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langmerge.merging.registry import Lambda, register

if TYPE_CHECKING:
    from langmerge.merging.composition import Composition


@register(
    summary="weighted average of the task vectors",
    source="Wortsman et al. 2022, arXiv:2203.05482",
    aliases=("mean", "average"),
    weights="nonzero-sum",
)
def linear(*, lambda_: Lambda = 1.0) -> Composition:
    """`lambda * sum(w_i d_i) / sum(w_i)`."""
    from langmerge.merging.composition import Composition
    from langmerge.merging.steps.combine import weighted_mean

    return Composition(combine=weighted_mean, scale=lambda_)


@register(
    summary="weighted sum of the task vectors, times lambda",
    source="Ilharco et al. 2023, arXiv:2212.04089",
    aliases=("ta",),
    weights="any",
)
def task_arithmetic(*, lambda_: Lambda = 1.0) -> Composition:
    """`lambda * sum(w_i d_i)`."""
    from langmerge.merging.composition import Composition
    from langmerge.merging.steps.combine import weighted_sum

    return Composition(combine=weighted_sum, scale=lambda_)
