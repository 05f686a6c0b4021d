"""What a metric is: statistics of every row, and a function from their sum to the value.

    value = finish(sum of the rows' statistics)

Accuracy, macro-F1, ROUGE and calibration error all have this form, so resampling needs to know
nothing about any of them: a resample that takes row i `counts[i]` times is worth
`finish(counts @ row_statistics)`, and many resamples are one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Finish: TypeAlias = Callable[[Floats], Floats]

REVISION = 1
"""Raised whenever a metric's definition changes, so that old and new values are told apart."""


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric of one system on one set of rows.

    Attributes:
        name: what tables call it: `macro_f1`.
        signature: everything needed to compute it again, in sacrebleu's manner.
        row_statistics: what each row contributes, finite [rows, k]. Metrics may share the array.
        finish: summed statistics [..., k] to values [...]. It works on any number of leading
            axes and is defined for all-zero statistics.
    """

    name: str
    signature: str
    row_statistics: Floats
    finish: Finish

    def __post_init__(self) -> None:
        if self.row_statistics.ndim != 2 or not len(self.row_statistics):
            raise ValueError(
                f"{self.name}: row statistics of shape {self.row_statistics.shape}; "
                "expected [rows, k] with at least one row"
            )
        if not np.isfinite(self.row_statistics).all():
            raise ValueError(f"{self.name}: row statistics hold NaN or infinity")

    @property
    def value(self) -> float:
        """The metric over all rows."""
        return float(self.finish(self.row_statistics.sum(axis=0)))

    def __len__(self) -> int:
        return len(self.row_statistics)


def signature(name: str, settings: Mapping[str, object]) -> str:
    """Return `name|key:value|...|langmerge:1`, with the settings in the order given."""
    parts = [f"{key}:{value}" for key, value in {**settings, "langmerge": REVISION}.items()]
    return "|".join([name, *parts])


def settings_that_differ(signature: str, others: Iterable[str]) -> list[str]:
    """Return the settings of a signature that some of the others do not have: `["tok:char"]`."""
    everywhere = set[str].intersection(*(set(other.split("|")) for other in (signature, *others)))
    return [part for part in signature.split("|") if part not in everywhere]


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Return numerator / denominator, elementwise, and 0 where the denominator is 0."""
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    return np.divide(numerator, denominator, out=np.zeros(shape), where=denominator != 0)


def quotient_metric(
    name: str,
    settings: Mapping[str, object],
    numerators: Sequence[float],
    denominators: Sequence[float] | None = None,
) -> Metric:
    """Return the metric sum(numerators) / sum(denominators) over rows.

    Without denominators every row counts 1: the plain mean of one number per row.
    """
    weights = [1.0] * len(numerators) if denominators is None else denominators
    statistics = np.array([numerators, weights], dtype=np.float64).T
    return Metric(name, signature(name, settings), statistics, _quotient)


def _quotient(totals: Floats) -> Floats:
    return ratio(totals[..., 0], totals[..., 1])
