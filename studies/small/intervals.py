"""Intervals over test rows and seeds together, for several models at once.

As in `langmerge.statistics`, groups of rows (the entity of a question, the package of a
description) are drawn, one draw for all languages and all models. Here the seeds are drawn with
them, so that an interval also covers what another run would have given. With one seed it does not,
and the tables say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from langmerge.statistics import Samples

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000


@dataclass(frozen=True)
class Drawn:
    """A model's values, averaged over seeds.

    Attributes:
        observed: by language `[languages]`.
        draws: the same of every resample `[resamples, languages]`; NaN where one has no row of a
            language.
    """

    observed: Floats
    draws: Floats

    @property
    def mean(self) -> tuple[float, Floats]:
        """The mean over languages, and its value in every resample."""
        return float(self.observed.mean()), np.nanmean(self.draws, axis=1)


def draw(models: Mapping[str, Mapping[int, Samples]], seed: int = 0) -> dict[str, Drawn]:
    """Return every model's values in the same resamples.

    Args:
        models: by name and seed, the metric and groups of every language; all of the same
            languages and rows. Models may have different seeds (the base has one).
        seed: of the draws.
    """
    languages = sorted(next(iter(next(iter(models.values())).values())))
    some = next(iter(next(iter(models.values())).values()))
    union = sorted({group for _, groups in some.values() for group in groups})
    place = {group: index for index, group in enumerate(union)}
    runs = sorted({run for of_model in models.values() for run in of_model})
    generator = np.random.Generator(np.random.PCG64(seed))
    evenly = np.full(len(union), 1 / len(union))
    counts = generator.multinomial(len(union), evenly, size=RESAMPLES).astype(np.float64)
    of_runs = generator.multinomial(len(runs), np.full(len(runs), 1 / len(runs)), size=RESAMPLES)
    found = {}
    for name, of_model in models.items():
        seeds = sorted(of_model)
        weights = np.ones((RESAMPLES, 1))
        if len(seeds) > 1:
            weights = of_runs[:, [runs.index(run) for run in seeds]].astype(np.float64)
            # A model with only some of the seeds may have none in a draw: then all count alike.
            weights[weights.sum(axis=1) == 0] = 1.0
        weights = weights / weights.sum(axis=1, keepdims=True)
        observed, draws = [], []
        for language in languages:
            values, drawn = [], []
            for run in seeds:
                metric, groups = of_model[run][language]
                totals = np.zeros((len(union), metric.row_statistics.shape[1]))
                np.add.at(totals, [place[group] for group in groups], metric.row_statistics)
                present = np.zeros(len(union))
                present[[place[group] for group in groups]] = 1.0
                reached = counts @ present > 0
                values.append(metric.value)
                drawn.append(np.where(reached, metric.finish(counts @ totals), np.nan))
            observed.append(np.mean(values))
            draws.append((np.stack(drawn, axis=1) * weights).sum(axis=1))
        found[name] = Drawn(np.array(observed), np.stack(draws, axis=1))
    return found


def bounds(values: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """Return the two-sided percentile interval of a resampled value."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)
