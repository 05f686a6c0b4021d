"""How often intervals hold the true value, and how often tests find what is not there.

    python benchmarks/intervals.py                # all figures of docs/metrics.md, about 20 minutes
    python benchmarks/intervals.py --trials 100   # the same, rough
    python benchmarks/intervals.py --only power   # one of the tables

Test sets are drawn from populations whose true value is known. Every trial draws groups with a
difficulty of their own, rows of those groups, and a system's answers, and calls the functions of
`langmerge.statistics` as `langmerge run` does. Rows of a group are alike: the chances of right
answers that two rows of a group share make their answers correlate by 0.3. Two systems share two
thirds of what makes a group easy. Tables are printed as Markdown; `--json FILE` keeps the figures.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from langmerge.metrics import Metric, classification_metrics
from langmerge.metrics.base import quotient_metric
from langmerge.statistics import (
    Samples,
    approximate_randomization,
    bootstrap,
    holm,
    minimum_detectable_difference,
    paired_bootstrap,
)

Floats = npt.NDArray[np.float64]

MEAN = 0.7
CORRELATION = 0.3
LABELS = ("negative", "neutral", "positive")
PREVALENCE = np.array([0.6, 0.3, 0.1])
LANGUAGES = ("de", "en", "ja", "sw", "zh")
ALPHA = 0.05


@dataclass(frozen=True)
class Population:
    """Where a metric's test sets are drawn from.

    Attributes:
        name: of the metric, for people.
        truth: the value over the whole population.
        measure: each row's chance of a good answer, and a generator, to the metric of one test
            set; systems that are to be paired see the same `gold`.
    """

    name: str
    truth: float
    measure: Callable[[Floats, Any, np.random.Generator], Metric]


def main() -> None:
    """Run all simulations and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=1000)
    names = [simulation.__name__ for simulation in SIMULATIONS]
    parser.add_argument("--only", choices=names, help="run this simulation alone")
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    arguments = parser.parse_args()
    figures = {}
    for simulation in SIMULATIONS:
        if arguments.only not in (None, simulation.__name__):
            continue
        start = time.perf_counter()
        rows = list(simulation(arguments.trials, arguments.resamples))
        figures[simulation.__name__] = rows
        heading = (simulation.__doc__ or "").splitlines()[0]
        print(f"\n{heading} ({time.perf_counter() - start:.0f} s)\n\n{_markdown(rows)}")
        noise = 200 * math.sqrt(ALPHA * (1 - ALPHA) / arguments.trials)
        print(f"\n{arguments.trials} trials: ±{noise:.1f}", flush=True)
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"trials": arguments.trials, **figures}, indent=1) + "\n", encoding="utf-8"
        )


def coverage(trials: int, resamples: int) -> Iterator[dict[str, Any]]:
    """Share of 95% intervals that hold the true value, in %."""
    for n_groups in (10, 30, 100, 300):
        for size in (1, 10):
            row: dict[str, Any] = {"groups": n_groups, "rows a group": size}
            for population in POPULATIONS:
                by_group, by_row = 0, 0
                for trial in range(trials):
                    rng = np.random.default_rng([1, n_groups, size, trial])
                    metric, groups = _test_set(population, n_groups, size, rng)
                    found = bootstrap(metric, groups, seed=trial, resamples=resamples)
                    by_group += _holds(found.low, population.truth, found.high)
                    if size > 1 and n_groups <= 100:
                        rows = [str(i) for i in range(len(groups))]
                        found = bootstrap(metric, rows, seed=trial, resamples=resamples)
                        by_row += _holds(found.low, population.truth, found.high)
                row[population.name] = _percent(by_group, trials)
                if size > 1 and n_groups <= 100:
                    row[f"{population.name}, rows drawn"] = _percent(by_row, trials)
            yield row


def false_positives(trials: int, resamples: int) -> Iterator[dict[str, Any]]:
    """Share of comparisons of equal systems with p below 0.05, in %."""
    for n_groups in (10, 30, 100):
        for size in (1, 10):
            row: dict[str, Any] = {"groups": n_groups, "rows a group": size}
            for population in POPULATIONS:
                found = {"bootstrap": 0, "randomization": 0}
                for trial in range(trials):
                    rng = np.random.default_rng([2, n_groups, size, trial])
                    a, b = _pair(population, n_groups, size, rng)
                    p_values = _p_values(a, b, trial, resamples)
                    for test, p_value in p_values.items():
                        found[test] += p_value < ALPHA
                for test, count in found.items():
                    row[f"{population.name}, {test}"] = _percent(count, trials)
            yield row


def several_languages(trials: int, resamples: int) -> Iterator[dict[str, Any]]:
    """Five languages of equal systems: share of runs with a false finding, in %."""
    for shared in (True, False):
        for population in POPULATIONS:
            found = {"mean": 0, "any, uncorrected": 0, "any, Holm": 0}
            for trial in range(trials):
                rng = np.random.default_rng([3, trial])
                a, b = _pair(population, 50, 4, rng, LANGUAGES, shared=shared)
                found["mean"] += paired_bootstrap(a, b, seed=trial, resamples=resamples).p_value < (
                    ALPHA
                )
                p_values = [
                    paired_bootstrap(
                        {code: a[code]}, {code: b[code]}, seed=trial, resamples=resamples
                    ).p_value
                    for code in LANGUAGES
                ]
                found["any, uncorrected"] += min(p_values) < ALPHA
                found["any, Holm"] += min(holm(p_values)) < ALPHA
            yield {
                "groups": "shared by the languages" if shared else "each language its own",
                "metric": population.name,
                **{name: _percent(count, trials) for name, count in found.items()},
            }


def power(trials: int, resamples: int) -> Iterator[dict[str, Any]]:
    """Share of comparisons that find a true difference of the detectable size, in %."""
    population = ROUGE
    for n_groups, size in ((30, 1), (100, 1), (100, 4), (300, 1)):
        errors = []
        for trial in range(200):
            rng = np.random.default_rng([4, n_groups, size, trial])
            a, b = _pair(population, n_groups, size, rng)
            errors.append(paired_bootstrap(a, b, seed=trial, resamples=resamples).standard_error)
        difference = minimum_detectable_difference(float(np.mean(errors)))
        found = 0
        for trial in range(trials):
            rng = np.random.default_rng([5, n_groups, size, trial])
            a, b = _pair(population, n_groups, size, rng, shift=difference)
            found += paired_bootstrap(a, b, seed=trial, resamples=resamples).p_value < ALPHA
        yield {
            "groups": n_groups,
            "rows a group": size,
            "difference": round(difference, 2),
            "found": _percent(found, trials),
        }


def _accuracy(chances: Floats, gold: Any, rng: np.random.Generator) -> Metric:
    return quotient_metric("accuracy", {}, 100.0 * (rng.random(chances.shape) < chances))


def _macro_f1(chances: Floats, gold: Any, rng: np.random.Generator) -> Metric:
    right = rng.random(chances.shape) < chances
    others = (gold + rng.integers(1, len(LABELS), size=chances.shape)) % len(LABELS)
    predicted = np.where(right, gold, others)
    return classification_metrics(gold.tolist(), predicted.tolist(), LABELS)[0]


def _rouge(chances: Floats, gold: Any, rng: np.random.Generator) -> Metric:
    # Scores between 0 and 100, skewed, many near the ends: as of short summaries.
    scores = 100 * rng.beta(2 * chances, 2 * (1 - chances))
    return quotient_metric("rouge", {}, scores)


def _true_macro_f1() -> float:
    """Return macro-F1 of the population: of expected counts, a right answer having chance MEAN."""
    hits = PREVALENCE * MEAN
    wrong = PREVALENCE * (1 - MEAN) / (len(LABELS) - 1)
    predicted = hits + wrong.sum() - wrong
    return float(100 * (2 * hits / (PREVALENCE + predicted)).mean())


ACCURACY = Population("accuracy", 100 * MEAN, _accuracy)
MACRO_F1 = Population("macro-F1", _true_macro_f1(), _macro_f1)
ROUGE = Population("mean of row scores", 100 * MEAN, _rouge)
POPULATIONS = (ACCURACY, MACRO_F1, ROUGE)


def _test_set(
    population: Population, n_groups: int, size: int, rng: np.random.Generator
) -> tuple[Metric, list[str]]:
    groups = _names(n_groups, size)
    gold = rng.choice(len(LABELS), size=len(groups), p=PREVALENCE)
    return population.measure(_chances(n_groups, size, rng), gold, rng), groups


def _pair(
    population: Population,
    n_groups: int,
    size: int,
    rng: np.random.Generator,
    languages: Sequence[str] = ("",),
    *,
    shared: bool = True,
    shift: float = 0.0,
) -> tuple[Samples, Samples]:
    """Return two systems on the same rows: equal, or the first better by `shift` points."""
    common = [_chances(n_groups, size, rng) for _ in range(2)]
    a, b = {}, {}
    for language in languages:
        # Two thirds of what makes a group easy for a system are the same for both.
        own = common if shared else [_chances(n_groups, size, rng) for _ in range(2)]
        groups = _names(n_groups, size, "" if shared else language)
        gold = rng.choice(len(LABELS), size=len(groups), p=PREVALENCE)
        metrics = [
            population.measure((own[0] + own[1] + _chances(n_groups, size, rng)) / 3, gold, rng)
            for _ in range(2)
        ]
        if shift:
            better = metrics[0].row_statistics[:, 0] + shift
            metrics[0] = quotient_metric("rouge", {}, better.tolist())
        a[language], b[language] = (metrics[0], groups), (metrics[1], groups)
    return a, b


def _chances(n_groups: int, size: int, rng: np.random.Generator) -> Floats:
    """Return every row's chance of a good answer: one per group, of mean MEAN.

    A beta distribution whose variance is CORRELATION of that of one answer.
    """
    spread = 1 / CORRELATION - 1
    chances = rng.beta(MEAN * spread, (1 - MEAN) * spread, size=n_groups)
    return np.clip(np.repeat(chances, size), 1e-3, 1 - 1e-3)


def _p_values(a: Samples, b: Samples, seed: int, resamples: int) -> dict[str, float]:
    return {
        "bootstrap": paired_bootstrap(a, b, seed=seed, resamples=resamples).p_value,
        "randomization": approximate_randomization(a, b, seed=seed, trials=resamples),
    }


def _names(n_groups: int, size: int, prefix: str = "") -> list[str]:
    return [f"{prefix}{group}" for group in range(n_groups) for _ in range(size)]


def _holds(low: float | None, truth: float, high: float | None) -> bool:
    return low is not None and high is not None and low <= truth <= high


def _percent(count: int, trials: int) -> float:
    return round(100 * count / trials, 1)


def _markdown(rows: Sequence[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] + ["---:"] * (len(names) - 1)]
    lines += [[str(row.get(name, "")) for name in names] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


SIMULATIONS = (coverage, false_positives, several_languages, power)


if __name__ == "__main__":
    main()
