"""Intervals over test rows and seeds together, for several models at once.

As everywhere in langmerge, groups of rows (the entity of a question, the package of a description)
are drawn, one draw for all languages and all models, and bounds are those of the expanded
percentile interval (`langmerge.statistics`). Here the seeds are drawn with them, so that an
interval also covers what another run would have given. With one seed it does not, and the tables
say so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from langmerge.statistics import Interval, Resamples, Samples, interval_of, resample

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000


@dataclass(frozen=True)
class Value:
    """One number, and what it is in every resample.

    Attributes:
        observed: over all rows and seeds.
        draws: the same of every resample `[resamples]`; NaN where one has no row for it.
        groups: how many groups of rows it rests on.
    """

    observed: float
    draws: Floats
    groups: int

    def interval(self, confidence: float = 0.95) -> Interval:
        """Return the two-sided interval; bounds are None where too little is known for one."""
        known = self.draws[~np.isnan(self.draws)]
        if not len(known):
            return Interval(self.observed, None, None)
        return interval_of(self.observed, known, self.groups, confidence)

    def minus(self, other: Value) -> Value:
        """Return the difference, resample by resample."""
        fewest = min(self.groups, other.groups)
        return Value(self.observed - other.observed, self.draws - other.draws, fewest)

    def per_cent_of(self, other: Value) -> Value:
        """Return the ratio, resample by resample.

        It has no bounds if the other is 0 or less in some resample, as in
        `langmerge.statistics.retention`.
        """
        observed = 100 * self.observed / max(other.observed, 1e-9)
        without = bool((other.draws <= 0).any())
        draws = np.full(RESAMPLES, np.nan) if without else 100 * self.draws / other.draws
        return Value(observed, draws, min(self.groups, other.groups))


def mean_of(values: Sequence[Value]) -> Value:
    """Return the mean of values drawn together; a resample without one of them is without it."""
    return Value(
        float(np.mean([value.observed for value in values])),
        np.nanmean([value.draws for value in values], axis=0),
        min(value.groups for value in values),
    )


@dataclass(frozen=True)
class Drawn:
    """A model's values, averaged over seeds.

    Attributes:
        by_language: in alphabetical order.
    """

    by_language: Mapping[str, Value]

    @property
    def mean(self) -> Value:
        """The mean over languages."""
        return mean_of(list(self.by_language.values()))


def draw(models: Mapping[str, Mapping[int, Samples]], seed: int = 0) -> dict[str, Drawn]:
    """Return every model's values in the same resamples.

    Args:
        models: by name and seed, the metric and groups of every language; all of the same
            languages and rows. Models may have different seeds (the base has one).
        seed: of the draws.
    """
    runs = sorted({run for of_model in models.values() for run in of_model})
    generator = np.random.Generator(np.random.PCG64([seed, len(runs)]))
    counts = generator.multinomial(len(runs), np.full(len(runs), 1 / len(runs)), size=RESAMPLES)
    found = {}
    for name, of_model in models.items():
        seeds = sorted(of_model)
        each = [_resampled(of_model[run], seed) for run in seeds]
        weights = _weights(counts[:, [runs.index(run) for run in seeds]])
        observed = np.mean([drawn.observed for drawn in each], axis=0)
        draws = np.einsum("rs,slr->lr", weights, np.stack([drawn.drawn for drawn in each]))
        samples = of_model[seeds[0]]
        found[name] = Drawn(
            {
                code: Value(float(observed[i]), draws[i], len(set(samples[code][1])))
                for i, code in enumerate(each[0].names)
            }
        )
    return found


_known: dict[tuple[int, int], tuple[Samples, Resamples]] = {}
"""By the samples' identity, and the seed; with the samples, so that no other have it."""


def _resampled(samples: Samples, seed: int) -> Resamples:
    """Return the resamples of these samples; those that were asked for before, at once."""
    key = (id(samples), seed)
    if key not in _known:
        _known[key] = (samples, resample(samples, seed=seed, resamples=RESAMPLES))
    return _known[key][1]


def _weights(counts: npt.NDArray[np.int64]) -> Floats:
    """Return what each of k seeds counts in each resample `[resamples, k]`; they sum to 1.

    A mean of k values drawn with replacement varies by (k - 1) / k of what the variance of the
    mean is estimated to be: with three seeds a third is missing. So the weights' distances from
    1 / k are widened by sqrt(k / (k - 1)); one may fall below 0.
    """
    k = counts.shape[1]
    if k == 1:
        return np.ones(counts.shape)
    weights = counts.astype(np.float64)
    # A model with only some of the seeds may have none in a draw: then all count alike.
    weights[weights.sum(axis=1) == 0] = 1.0
    weights /= weights.sum(axis=1, keepdims=True)
    return 1 / k + math.sqrt(k / (k - 1)) * (weights - 1 / k)
