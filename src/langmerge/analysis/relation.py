"""Whether a number of the language vectors goes with the score a language loses in the merge."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from langmerge.metrics.base import Floats

RESAMPLES = 10_000
_EXACT_UP_TO = 8
_BLOCK = 4096
_FEW = 10
_TIE = 1e-9
"""Correlations within rounding of each other are equal."""


@dataclass(frozen=True)
class Relation:
    """Spearman's rank correlation over languages.

    Attributes:
        n: how many languages.
        rho: the correlation, -1 to 1.
        low: lower bound of the bootstrap interval; None where it has none (see `relate`).
        high: upper bound.
        p_value: two-sided, of the hypothesis that the pairing is arbitrary.
        exact: whether the p-value is of all permutations rather than of some.
        least_p_value: the smallest p-value that `n` languages could give, 2 / n!.
        caution: what not to conclude, as a sentence; empty for many languages.
    """

    n: int
    rho: float
    low: float | None
    high: float | None
    p_value: float
    exact: bool
    least_p_value: float
    caution: str


def relate(
    values: Mapping[str, float],
    losses: Mapping[str, float],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> Relation:
    """Correlate a number of each language with what the language loses in the merge.

    Spearman's rho is Pearson's correlation of ranks, ties sharing their mean rank. The p-value is
    the share of permutations of the losses with a rho at least as far from 0: of all of them for
    up to 8 languages, of `resamples` random ones and the observed one for more. The interval is
    the percentile bootstrap over languages. It has no bounds where the ranks agree (or disagree)
    perfectly, because every resample then does too and the interval would be a point. For five
    languages it usually spans nearly all of [-1, 1], and only a perfect order has a p-value below
    0.05: `caution` says so.

    Args:
        values: a number by language, such as one of `Analysis.measures()`.
        losses: points lost by language, individual minus merged.
        seed: of the resamples and random permutations.
        resamples: how many.
        confidence: nominal share of intervals that hold the true value.

    Raises:
        ValueError: if the languages differ, are fewer than three, a number is not finite, or all
            values or all losses are equal.
    """
    if values.keys() != losses.keys():
        odd = ", ".join(sorted(values.keys() ^ losses.keys()))
        raise ValueError(f"values and losses are not of the same languages: {odd}")
    languages = sorted(values)
    n = len(languages)
    if n < 3:
        raise ValueError(f"a rank correlation needs three languages or more, found {n}")
    x = np.array([values[language] for language in languages], dtype=np.float64)
    y = np.array([losses[language] for language in languages], dtype=np.float64)
    for name, numbers in (("values", x), ("losses", y)):
        if not np.isfinite(numbers).all():
            raise ValueError(f"{name} hold a number that is not finite")
        if np.ptp(numbers) == 0:
            raise ValueError(f"all {name} are equal: there is no order to correlate")
    ranks_x, ranks_y = ranks(x[None]), ranks(y[None])
    rho = float(correlations(ranks_x, ranks_y)[0])
    generator = np.random.Generator(np.random.PCG64(seed))
    low, high = _bootstrap_bounds(x, y, generator, resamples, confidence)
    if abs(rho) > 1 - _TIE:
        low, high = None, None
    exact = n <= _EXACT_UP_TO
    return Relation(
        n=n,
        rho=rho,
        low=low,
        high=high,
        p_value=(
            _exact_p_value(ranks_x, ranks_y, rho)
            if exact
            else _random_p_value(ranks_x, ranks_y, rho, generator, resamples)
        ),
        exact=exact,
        least_p_value=2 / math.factorial(n),
        caution=_caution(n),
    )


def ranks(numbers: Floats) -> Floats:
    """Return the ranks within each row [rows, n], from 1; equal numbers share their mean rank."""
    below = (numbers[:, None, :] < numbers[:, :, None]).sum(axis=2)
    equal = (numbers[:, None, :] == numbers[:, :, None]).sum(axis=2)
    found: Floats = below + (equal + 1) / 2
    return found


def correlations(left: Floats, right: Floats) -> Floats:
    """Return Pearson's correlation of the rows of two arrays [rows, n]; NaN for constant rows."""
    x = left - left.mean(axis=1, keepdims=True)
    y = right - right.mean(axis=1, keepdims=True)
    size = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    products = (x * y).sum(axis=1)
    found: Floats = np.divide(products, size, out=np.full(len(size), np.nan), where=size > 0)
    return found


def _exact_p_value(ranks_x: Floats, ranks_y: Floats, rho: float) -> float:
    """Return the share of all permutations that are at least as far from 0."""
    orders = itertools.permutations(range(ranks_x.shape[1]))
    far = total = 0
    while block := list(itertools.islice(orders, _BLOCK)):
        found = correlations(ranks_x, ranks_y[0][np.array(block)])
        far += int((np.abs(found) >= abs(rho) - _TIE).sum())
        total += len(block)
    return far / total


def _random_p_value(
    ranks_x: Floats, ranks_y: Floats, rho: float, generator: np.random.Generator, trials: int
) -> float:
    """Return the share of random permutations at least as far from 0, the observed included."""
    far = 0
    for size in _blocks(trials):
        shuffled = generator.permuted(np.repeat(ranks_y, size, axis=0), axis=1)
        far += int((np.abs(correlations(ranks_x, shuffled)) >= abs(rho) - _TIE).sum())
    return (1 + far) / (1 + trials)


def _bootstrap_bounds(
    x: Floats, y: Floats, generator: np.random.Generator, resamples: int, confidence: float
) -> tuple[float, float] | tuple[None, None]:
    """Return percentiles of rho over resampled languages; those without an order are left out."""
    found = []
    for size in _blocks(resamples):
        drawn = generator.integers(len(x), size=(size, len(x)))
        found.append(correlations(ranks(x[drawn]), ranks(y[drawn])))
    rhos = np.concatenate(found)
    rhos = rhos[np.isfinite(rhos)]
    if not len(rhos):
        return None, None
    tail = (1 - confidence) / 2
    low, high = np.quantile(rhos, [tail, 1 - tail])
    return float(low), float(high)


def _blocks(trials: int) -> Iterator[int]:
    for start in range(0, trials, _BLOCK):
        yield min(_BLOCK, trials - start)


def _caution(n: int) -> str:
    """Return what so few languages cannot show; simulated in docs/analysis.md."""
    if n >= _FEW:
        return ""
    least = f"{2 / math.factorial(n):.2g}"
    if n > 5:
        return f"{n} languages: the interval is rough, and only a strong relation can be found"
    proof = (
        f"only a perfect order gives a p-value below 0.05 ({least})"
        if n == 5
        else f"even a perfect order gives no p-value below {least}"
    )
    return (
        f"{n} languages: the interval is nearly useless, and {proof}; that nothing is found says "
        "nothing"
    )
