"""Intervals and tests: known values, calibration by small simulations, and joint resampling."""

import itertools
import json
import math
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from langmerge import statistics
from langmerge.metrics import Metric, classification_metrics
from langmerge.metrics.base import quotient_metric
from langmerge.statistics import (
    Interval,
    PairedResult,
    approximate_randomization,
    bootstrap,
    bootstrap_mean,
    holm,
    interval_of,
    minimum_detectable_difference,
    paired_bootstrap,
    resample,
    retention,
    seed_spread,
    upper_bound,
)


def _mean(values) -> Metric:
    return quotient_metric("mean", {}, list(values))


def _names(n: int, prefix: str = "g") -> list[str]:
    return [f"{prefix}{index}" for index in range(n)]


def _width(interval: Interval) -> float:
    return interval.high - interval.low


def _normal(seed: int, *shape: int):
    return np.random.default_rng(seed).normal(size=shape)


# --- results as values ---------------------------------------------------------------------------


def test_results_print_nicely() -> None:
    assert str(Interval(72.41, 66.08, 78.34)) == "72.4 [66.1, 78.3]"
    assert f"{Interval(1.0123, 0.987, 1.04):.2f}" == "1.01 [0.99, 1.04]"
    assert str(Interval(50.0, None, None)) == "50.0 [?, ?]"
    result = PairedResult(1.23, -0.5, 2.96, 0.1649, 0.8)
    assert str(result) == "+1.2 [-0.5, +3.0], p = 0.165"


def test_results_are_json() -> None:
    interval = bootstrap(_mean([1, 2]), ["a", "a"], seed=0)
    assert json.loads(json.dumps(asdict(interval), allow_nan=False))["low"] is None


# --- bootstrap -----------------------------------------------------------------------------------


def test_the_interval_of_a_mean_is_students() -> None:
    values = _normal(1, 60)

    interval = bootstrap(_mean(values), _names(60), seed=0, resamples=8000)

    standard_error = values.std(ddof=1) / math.sqrt(60)
    low, high = stats.t.interval(0.95, 59, loc=values.mean(), scale=standard_error)
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(low, abs=0.15 * standard_error)
    assert interval.high == pytest.approx(high, abs=0.15 * standard_error)


def test_an_accuracy_on_500_rows_is_known_to_about_four_points() -> None:
    gold = [0, 1] * 250
    predicted = [0, 1, 0, 0] * 125
    accuracy = classification_metrics(gold, predicted, ["a", "b"])[2]
    interval = bootstrap(accuracy, _names(500), seed=0)
    assert _width(interval) / 2 == pytest.approx(1.96 * 100 * math.sqrt(0.75 * 0.25 / 500), rel=0.1)


@pytest.mark.parametrize("n", [8, 40])
def test_about_95_percent_of_intervals_hold_the_true_value(n: int) -> None:
    samples = _normal(2, 300, n)
    covered = 0
    for seed, values in enumerate(samples):
        interval = bootstrap(_mean(values), _names(n), seed=seed, resamples=400)
        covered += interval.low <= 0 <= interval.high
    assert covered / len(samples) == pytest.approx(0.95, abs=0.035)


def test_rows_of_a_group_are_drawn_together() -> None:
    values = _normal(3, 30)
    one_each = bootstrap(_mean(values), _names(30), seed=0)
    groups = [group for group in _names(30) for _ in range(4)]

    copied = bootstrap(_mean(np.repeat(values, 4)), groups, seed=0)
    taken_for_independent = bootstrap(_mean(np.repeat(values, 4)), _names(120), seed=0)

    assert (copied.low, copied.high) == pytest.approx((one_each.low, one_each.high))
    assert _width(taken_for_independent) < 0.6 * _width(copied)


def test_neither_row_order_nor_group_names_matter_to_the_draw() -> None:
    values, groups = _normal(4, 20), _names(20)
    shuffled = np.random.default_rng(0).permutation(20)
    expected = bootstrap(_mean(values), groups, seed=5)

    actual = bootstrap(_mean(values[shuffled]), [groups[i] for i in shuffled], seed=5)

    assert asdict(actual) == pytest.approx(asdict(expected))


def test_seeds_decide_the_draw() -> None:
    metric, groups = _mean(_normal(5, 20)), _names(20)
    assert bootstrap(metric, groups, seed=1) == bootstrap(metric, groups, seed=1)
    assert bootstrap(metric, groups, seed=1) != bootstrap(metric, groups, seed=2)


def test_blocks_of_draws_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    metric, groups = _mean(_normal(6, 20)), _names(20)
    expected = bootstrap(metric, groups, seed=1)
    monkeypatch.setattr(statistics, "_BLOCK_ENTRIES", 20 * 300)
    assert asdict(bootstrap(metric, groups, seed=1)) == pytest.approx(asdict(expected))


def test_fewer_groups_give_wider_intervals_than_percentiles_alone() -> None:
    values = np.array([-1.0, 1.0] * 4)
    interval = bootstrap(_mean(values), _names(8), seed=0, resamples=4000)
    assert _width(interval) / 2 > 1.96 * values.std() / math.sqrt(8)


def test_one_group_has_a_value_and_no_interval() -> None:
    assert bootstrap(_mean([1, 2]), ["a", "a"], seed=0) == Interval(1.5, None, None)


@given(st.lists(st.sampled_from([0.0, 100.0]), min_size=2, max_size=15), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_bounds_stay_in_the_metrics_range(values: list[float], seed: int) -> None:
    interval = bootstrap(_mean(values), _names(len(values)), seed=seed, resamples=100)
    assert 0 <= interval.low <= interval.high <= 100


@pytest.mark.parametrize("degrees", [2, 4, 10, 100])
def test_students_quantile(degrees: int) -> None:
    expected = stats.t.ppf(0.975, degrees)
    assert statistics._student_quantile(0.975, degrees) == pytest.approx(expected, rel=0.04)


def test_rows_and_groups_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="2 rows and 1 groups"):
        bootstrap(_mean([1, 2]), ["a"], seed=0)


# --- the mean over languages ---------------------------------------------------------------------


def test_the_mean_weighs_languages_equally() -> None:
    samples = {"en": (_mean([0] * 90), _names(90)), "sw": (_mean([100] * 10), _names(10, "s"))}
    assert bootstrap_mean(samples, seed=0).value == 50


def test_shared_groups_are_drawn_jointly() -> None:
    values = _normal(7, 100)
    mirror = -values
    parallel = bootstrap_mean(
        {"en": (_mean(values), _names(100)), "de": (_mean(mirror), _names(100))}, seed=0
    )
    separate = bootstrap_mean(
        {"en": (_mean(values), _names(100)), "de": (_mean(mirror), _names(100, "h"))}, seed=0
    )

    # What one language gains in a draw, the other loses: jointly, nothing is uncertain.
    assert _width(parallel) < 1e-9
    assert _width(separate) > 0.2


def test_parallel_languages_add_no_evidence_and_independent_ones_do() -> None:
    values = _normal(8, 100)
    one = bootstrap(_mean(values), _names(100), seed=0)
    copies = {language: (_mean(values), _names(100)) for language in ("en", "de", "fr", "ja")}
    independent = {
        language: (_mean(values), _names(100, language)) for language in ("en", "de", "fr", "ja")
    }

    assert asdict(bootstrap_mean(copies, seed=0)) == pytest.approx(asdict(one))
    halved = _width(bootstrap_mean(independent, seed=0)) / _width(one)
    assert halved == pytest.approx(0.5, abs=0.06)


def test_partly_shared_groups_lie_between() -> None:
    values = _normal(9, 100)
    half_shared = [*_names(50), *_names(50, "h")]
    widths = [
        _width(
            bootstrap_mean({"en": (_mean(values), _names(100)), "de": (_mean(values), g)}, seed=0)
        )
        for g in (_names(100, "h"), half_shared, _names(100))
    ]
    assert widths == sorted(widths)


def test_the_order_of_languages_does_not_matter() -> None:
    samples = {"en": (_mean(_normal(1, 9)), _names(9)), "de": (_mean(_normal(2, 9)), _names(9))}
    backwards = dict(reversed(samples.items()))
    assert bootstrap_mean(samples, seed=0) == bootstrap_mean(backwards, seed=0)


def test_a_language_that_a_draw_misses_is_left_out_of_it() -> None:
    samples = {"en": (_mean([50] * 40), _names(40)), "sw": (_mean([50] * 2), _names(2, "s"))}
    interval = bootstrap_mean(samples, seed=0)
    assert (interval.low, interval.high) == pytest.approx((50, 50))


def test_no_language_is_refused() -> None:
    with pytest.raises(ValueError, match="no language"):
        bootstrap_mean({}, seed=0)


# --- two systems ---------------------------------------------------------------------------------


def _pair(a, b, groups=None):
    groups = groups or _names(len(a))
    return {"en": (_mean(a), groups)}, {"en": (_mean(b), groups)}


def test_the_paired_interval_is_that_of_the_differences() -> None:
    a, b = _normal(10, 80) + 0.5, _normal(11, 80)
    result = paired_bootstrap(*_pair(a, b), seed=3)
    expected = bootstrap(_mean(a - b), _names(80), seed=3)

    assert (result.difference, result.low, result.high) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )
    assert result.standard_error == pytest.approx((a - b).std() / math.sqrt(80), rel=0.1)
    assert result.p_value == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=0.03)


def test_what_is_hard_for_both_cancels() -> None:
    difficulty, noise = 50 * _normal(12, 100), _normal(13, 100)
    a, b = difficulty + 1 + noise, difficulty
    result = paired_bootstrap(*_pair(a, b), seed=0)

    assert result.low > 0
    assert result.p_value < 0.01
    assert _width(bootstrap(_mean(a), _names(100), seed=0)) > 10 * (result.high - result.low)


def test_a_system_does_not_differ_from_itself() -> None:
    values = _normal(14, 30)
    a, b = _pair(values, values)

    assert paired_bootstrap(a, b, seed=0) == PairedResult(0.0, 0.0, 0.0, 1.0, 0.0)
    assert approximate_randomization(a, b, seed=0) == 1


def test_exchanging_the_systems_turns_the_result_round() -> None:
    a, b = _pair(_normal(15, 30), _normal(16, 30))
    forth, back = paired_bootstrap(a, b, seed=0), paired_bootstrap(b, a, seed=0)

    assert (back.difference, back.low, back.high, back.p_value) == pytest.approx(
        (-forth.difference, -forth.high, -forth.low, forth.p_value)
    )


@pytest.mark.parametrize("n", [10, 40])
def test_five_percent_of_equal_systems_are_found_different(n: int) -> None:
    pairs = _normal(17, 300, 2, n)
    bootstrap_p, randomization_p = [], []
    for seed, (a, b) in enumerate(pairs):
        bootstrap_p.append(paired_bootstrap(*_pair(a, b), seed=seed, resamples=300).p_value)
        randomization_p.append(approximate_randomization(*_pair(a, b), seed=seed, trials=300))

    assert np.mean(np.array(bootstrap_p) <= 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(np.array(randomization_p) <= 0.05) == pytest.approx(0.05, abs=0.03)


def _clustered(rng, n_groups: int, size: int):
    """Return every row's chance of a right answer, alike within a group; its mean is 0.7."""
    return np.repeat(rng.beta(0.7 * 7 / 3, 0.3 * 7 / 3, size=n_groups), size)


def _macro_f1(chances, gold, rng) -> Metric:
    """Return macro-F1 of answers that are right by chance and else one of two other labels."""
    other = (gold + rng.integers(1, 3, size=len(gold))) % 3
    predicted = np.where(rng.random(len(gold)) < chances, gold, other)
    return classification_metrics(gold.tolist(), predicted.tolist(), ["a", "b", "c"])[0]


def test_intervals_of_clustered_answers_hold_the_true_values() -> None:
    n_trials, n_groups, size = 300, 40, 5
    groups = [group for group in _names(n_groups) for _ in range(size)]
    # The true macro-F1: of expected counts, with labels equally frequent, F1 is 0.7 for each.
    held = Counter()
    for trial in range(n_trials):
        rng = np.random.default_rng([21, trial])
        chances, gold = _clustered(rng, n_groups, size), rng.integers(0, 3, n_groups * size)
        accuracy = _mean(100.0 * (rng.random(len(chances)) < chances))
        macro_f1 = _macro_f1(chances, gold, rng)
        for name, metric, names in (
            ("accuracy", accuracy, groups),
            ("macro-F1", macro_f1, groups),
            ("rows drawn", accuracy, _names(len(groups))),
        ):
            found = bootstrap(metric, names, seed=trial, resamples=300)
            held[name] += found.low <= 70 <= found.high

    assert held["accuracy"] / n_trials == pytest.approx(0.95, abs=0.04)
    assert held["macro-F1"] / n_trials == pytest.approx(0.95, abs=0.04)
    # Rows of a group are alike: as if they were independent, far fewer intervals hold it.
    assert held["rows drawn"] / n_trials < 0.88


def test_holm_bounds_false_findings_over_five_languages() -> None:
    n_trials, n_groups, size = 200, 30, 3
    groups = [group for group in _names(n_groups) for _ in range(size)]
    single, corrected = 0, 0
    for trial in range(n_trials):
        rng = np.random.default_rng([22, trial])
        difficulty = _clustered(rng, n_groups, size)  # Shared by all languages and systems.
        p_values = []
        for _ in range(5):
            gold = rng.integers(0, 3, len(groups))
            a, b = (
                {
                    "": (
                        _macro_f1((difficulty + _clustered(rng, n_groups, size)) / 2, gold, rng),
                        groups,
                    )
                }
                for _ in range(2)
            )
            p_values.append(paired_bootstrap(a, b, seed=trial, resamples=300).p_value)
        single += min(p_values) < 0.05
        corrected += min(holm(p_values)) < 0.05

    assert single / n_trials > 0.12
    assert corrected / n_trials < 0.09


def test_intervals_of_a_retention_hold_the_true_ratio() -> None:
    n_trials, held = 300, 0
    for trial in range(n_trials):
        rng = np.random.default_rng([23, trial])
        easy = _clustered(rng, 40, 2)
        a, b = (100.0 * (rng.random(len(easy)) < share * easy) for share in (0.9, 1.0))
        groups = [group for group in _names(40) for _ in range(2)]
        found = retention(*_pair(a, b, groups), seed=trial, resamples=300)
        held += found.low <= 90 <= found.high
    assert held / n_trials == pytest.approx(0.95, abs=0.04)


def test_few_groups_prove_little_however_clear_they_look() -> None:
    for n in (1, 2, 4):
        a, b = _pair([10.0] * n, [0.0] * n)
        assert paired_bootstrap(a, b, seed=0).p_value >= 2.0 ** (1 - n)
        assert approximate_randomization(a, b, seed=0) >= 0.8 * 2.0 ** (1 - n)
    assert paired_bootstrap(*_pair([1.0, 2.0], [0.0, 0.0], ["g", "g"]), seed=0).low is None


def test_randomization_approximates_the_exact_sign_flip_test() -> None:
    differences = np.array([3.0, 1.0, 2.5, -0.5, 4.0, 1.5, 2.0])
    flipped = [np.mean(differences * signs) for signs in itertools.product((1, -1), repeat=7)]
    exact = np.mean(np.abs(flipped) >= differences.mean() - 1e-12)

    p_value = approximate_randomization(*_pair(differences, np.zeros(7)), seed=0, trials=20_000)

    assert p_value == pytest.approx(exact, abs=0.005)


def test_languages_are_compared_jointly() -> None:
    gain = _normal(18, 60)
    zeros = np.zeros(60)
    groups = _names(60)
    a = {"en": (_mean(1 + gain), groups), "de": (_mean(1 - gain), groups)}
    b = {"en": (_mean(zeros), groups), "de": (_mean(zeros), groups)}

    result = paired_bootstrap(a, b, seed=0)

    # Gains and losses of the two languages cancel in every draw of shared groups.
    assert result.standard_error < 1e-9
    assert (result.low, result.difference, result.high) == pytest.approx((1, 1, 1))
    assert approximate_randomization(a, b, seed=0) < 0.01


def test_paired_macro_f1() -> None:
    rng = np.random.default_rng(19)
    gold = rng.integers(0, 3, 200)
    good = np.where(rng.random(200) < 0.8, gold, 0).tolist()
    poor = np.where(rng.random(200) < 0.5, gold, 0).tolist()
    labels, groups = ["a", "b", "c"], _names(200)
    a = classification_metrics(gold.tolist(), good, labels)[0]
    b = classification_metrics(gold.tolist(), poor, labels)[0]

    result = paired_bootstrap({"en": (a, groups)}, {"en": (b, groups)}, seed=0)

    assert result.difference == pytest.approx(a.value - b.value)
    assert result.low > 0
    assert approximate_randomization({"en": (a, groups)}, {"en": (b, groups)}, seed=0) < 0.01


def test_only_like_is_compared_with_like() -> None:
    metric, groups = _mean([1, 2]), ["g", "h"]
    a = {"en": (metric, groups)}
    for b, message in [
        ({"de": (metric, groups)}, "languages differ: en and de"),
        ({"en": (metric, ["g", "i"])}, "en: the systems' rows or groups differ"),
        ({"en": (quotient_metric("other", {}, [1, 2]), groups)}, "en: metrics differ: mean"),
    ]:
        for test in (paired_bootstrap, approximate_randomization):
            with pytest.raises(ValueError, match=message):
                test(a, b, seed=0)


# --- retention ------------------------------------------------------------------------------------


def test_retention_is_the_ratio_of_means_and_not_the_mean_of_ratios() -> None:
    groups = _names(40)
    a = {"en": (_mean([90.0] * 40), groups), "sw": (_mean([10.0] * 40), groups)}
    b = {"en": (_mean([90.0] * 40), groups), "sw": (_mean([20.0] * 40), groups)}

    kept = retention(a, b, seed=0)

    assert (kept.value, kept.low, kept.high) == pytest.approx((100 * 100 / 110,) * 3)


def test_the_interval_of_a_retention_is_that_of_a_ratio() -> None:
    b = 50 + 10 * _normal(30, 200)
    a = 0.9 * b + 2 * _normal(31, 200)

    kept = retention(*_pair(a, b), seed=0, resamples=4000)

    ratio = a.mean() / b.mean()
    # The delta method: the spread of a - ratio * b, over the mean of b.
    standard_error = 100 * (a - ratio * b).std(ddof=1) / math.sqrt(200) / b.mean()
    assert kept.value == pytest.approx(100 * ratio)
    assert (kept.high - kept.low) / 2 == pytest.approx(1.96 * standard_error, rel=0.1)


def test_a_retention_of_a_score_that_may_be_0_has_no_interval() -> None:
    kept = retention(*_pair([1.0, 0.0, 0.0], [2.0, 0.0, 0.0]), seed=0)
    assert kept.value == pytest.approx(50)
    assert (kept.low, kept.high) == (None, None)
    with pytest.raises(ValueError, match="a share of 0 means nothing"):
        retention(*_pair([1.0, 0.0], [0.0, 0.0]), seed=0)


# --- repeated runs --------------------------------------------------------------------------------


def _runs(values) -> dict[int, dict]:
    return {
        seed: {"en": (_mean(of_run), _names(len(of_run)))} for seed, of_run in enumerate(values)
    }


def test_runs_that_answer_alike_have_no_spread() -> None:
    values = _normal(32, 30)
    spread = seed_spread(_runs([values, values]), seed=0)
    assert (spread.deviation, spread.effect) == pytest.approx((0, 0), abs=1e-9)


def test_a_run_that_is_better_on_every_row_is_better_by_its_seed() -> None:
    values = _normal(33, 30)
    spread = seed_spread(_runs([values, values + 3]), seed=0)

    assert spread.values == pytest.approx({0: values.mean(), 1: values.mean() + 3})
    assert spread.deviation == pytest.approx(3 / math.sqrt(2))
    assert spread.effect == pytest.approx(spread.deviation)


@pytest.mark.parametrize("true_effect", [0.0, 2.0])
def test_the_seeds_effect_is_told_apart_from_the_rows_accidents(true_effect: float) -> None:
    rng = np.random.default_rng(34)
    n_trials, n_runs, n_rows, noise = 200, 4, 60, 8.0
    total, effects = [], []
    for trial in range(n_trials):
        difficulty = rng.normal(scale=30, size=n_rows)
        of_seed = true_effect * rng.normal(size=(n_runs, 1))
        runs = difficulty + of_seed + rng.normal(scale=noise, size=(n_runs, n_rows))
        spread = seed_spread(_runs(runs), seed=trial, resamples=200)
        total.append(spread.deviation**2)
        effects.append(spread.effect**2)

    of_rows = noise**2 / n_rows
    assert np.mean(total) == pytest.approx(true_effect**2 + of_rows, rel=0.15)
    if true_effect:
        assert np.mean(effects) == pytest.approx(true_effect**2, rel=0.15)
    else:  # Estimates below 0 are cut off at 0, so the mean stays above 0, and most are small.
        assert np.mean(effects) < 0.5 * of_rows
        assert np.mean(np.array(effects) == 0) == pytest.approx(0.6, abs=0.15)


def test_the_spread_of_a_difference_is_that_of_the_differences() -> None:
    runs = 40 + _normal(35, 3, 50)
    other = 30 + _normal(36, 50)

    spread = seed_spread(_runs(runs), _runs([other] * 3), seed=0)

    assert spread.values == pytest.approx(
        {seed: of_run.mean() - other.mean() for seed, of_run in enumerate(runs)}
    )
    assert spread.deviation == pytest.approx(runs.mean(axis=1).std(ddof=1))


def test_one_run_has_no_spread() -> None:
    with pytest.raises(ValueError, match="at least two seeds"):
        seed_spread(_runs([[1.0, 2.0]]), seed=0)


# --- corrections and power -----------------------------------------------------------------------


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx((0.06, 0.03, 0.06))
    assert holm([0.5, 0.9]) == (1.0, 1.0)
    assert holm([]) == ()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_holm_keeps_order_and_lies_between_raw_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for (p, q), (other_p, other_q) in itertools.product(
        zip(p_values, adjusted, strict=True), repeat=2
    ):
        assert p <= q <= min(1, len(p_values) * p)
        assert q <= other_q or p > other_p


def test_the_minimum_detectable_difference_is_found_four_times_in_five() -> None:
    assert minimum_detectable_difference(1.0) == pytest.approx(2.8016, abs=1e-4)
    assert minimum_detectable_difference(2.0, power=0.5) == pytest.approx(2 * 1.96, abs=1e-3)

    effect = minimum_detectable_difference(1 / math.sqrt(50))
    samples = _normal(20, 200, 50) + effect
    found = [
        paired_bootstrap(*_pair(values, np.zeros(50)), seed=seed, resamples=300).p_value <= 0.05
        for seed, values in enumerate(samples)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.07)


def test_resamples_are_those_of_the_mean() -> None:
    draw = np.random.default_rng(3)
    samples = {
        code: (
            quotient_metric("m", {}, list(draw.normal(50, 10, 12))),
            [f"g{i % 9}" for i in range(12)],
        )
        for code in ("de", "en")
    }
    found = resample(samples, seed=5, resamples=500)
    mean = bootstrap_mean(samples, seed=5, resamples=500)
    assert found.names == ("de", "en")
    assert float(found.observed.mean()) == pytest.approx(mean.value)
    assert interval_of(
        float(found.observed.mean()), np.nanmean(found.drawn, axis=0), found.groups
    ) == Interval(mean.value, pytest.approx(mean.low), pytest.approx(mean.high))


def test_an_upper_bound_holds_as_often_as_it_says() -> None:
    """Some rows of a finite set are seen; the bound is of the mean over all of them."""
    missed = 0
    for seed in range(200):
        draw = np.random.default_rng(seed)
        everything = draw.exponential(20, 80)
        seen = draw.permutation(everything)[:40]
        samples = {"": (quotient_metric("m", {}, list(seen)), [str(i) for i in range(40)])}
        found = resample(samples, seed=seed, resamples=200)
        bound = upper_bound(
            float(found.observed[0]), found.drawn[0], found.groups, share=0.5, risk=0.1
        )
        missed += bound < everything.mean()
    assert 5 <= missed <= 35  # of 20 expected; skewness costs a few


@pytest.mark.parametrize("noise", [0.0, 1e-14])
def test_resamples_that_are_all_alike_give_no_bound(noise: float) -> None:
    drawn = -0.5 + noise * np.arange(100)
    assert upper_bound(-0.5, drawn, 40, share=0.5) == math.inf
