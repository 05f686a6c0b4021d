"""What a candidate is worth: one number from its scores in all tasks and languages."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np

from langmerge.metrics.base import Floats

ObjectiveName = Literal["mean", "worst-language", "retention", "size"]
OBJECTIVES: tuple[str, ...] = get_args(ObjectiveName)

POINTS_PER_DOUBLING = 0.5
"""What `size` takes off for every doubling of the merged adapter over one adapter."""


class UnitName(NamedTuple):
    """A task and a language: what a score is of."""

    task: str
    language: str

    def __str__(self) -> str:
        return f"{self.task}/{self.language}"


@dataclass(frozen=True)
class Objective:
    """A function of the scores of all units.

    - `mean`: over languages and tasks.
    - `worst-language`: the lowest of the languages' means over tasks.
    - `retention`: the mean share, in percent, of what each language's own adapter reaches; a
      language counts alike whether its scores are high or low.
    - `size`: the mean, less half a point for every doubling of the adapter's size.

    Attributes:
        name: which of them.
        individual: the own adapters' scores by unit, for `retention`; 0 leaves a unit out.
        adapter_size: entries of one adapter, for `size`.
    """

    name: ObjectiveName = "mean"
    individual: Mapping[UnitName, float] | None = None
    adapter_size: int = 1

    def of(self, units: Sequence[UnitName], scores: Floats, size: int | None = None) -> Floats:
        """Return the objective's values.

        Args:
            units: what the rows of `scores` are of.
            scores: in points [units, ...]; NaN where a resample has no row of a unit.
            size: entries of the merged adapter, for `size`.

        Returns:
            One value for each place of the trailing axes of `scores`.
        """
        with warnings.catch_warnings():
            # Of few rows, a resample may have none of a language: its mean is NaN, and left out.
            for said in ("Mean of empty slice", "All-NaN slice encountered"):
                warnings.filterwarnings("ignore", said, RuntimeWarning)
            if self.name == "worst-language":
                languages = sorted({unit.language for unit in units})
                means = [
                    np.nanmean(scores[[u.language == code for u in units]], axis=0)
                    for code in languages
                ]
                return np.asarray(np.nanmin(np.stack(means), axis=0))
            if self.name == "retention":
                own = np.array([(self.individual or {})[unit] for unit in units])
                shares = 100 * scores[own > 0] / own[own > 0].reshape(-1, *[1] * (scores.ndim - 1))
                return np.asarray(np.nanmean(shares, axis=0))
            mean = np.asarray(np.nanmean(scores, axis=0))
        if self.name == "size" and size is not None:
            doublings = float(np.log2(max(size / self.adapter_size, 1.0)))
            return np.asarray(mean - POINTS_PER_DOUBLING * doublings)
        return mean
