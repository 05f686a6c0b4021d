"""The form that all metrics share: summable statistics and a finish for any leading axes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langmerge.metrics import (
    Metric,
    choice_metrics,
    classification_metrics,
    generation_metrics,
)
from langmerge.metrics.base import quotient_metric, ratio, signature


def _all_metrics() -> list[Metric]:
    texts = ["the cat sat", "", "a dog ran far", "the cat sat on it"]
    return [
        *classification_metrics([0, 1, 2, 0], [0, None, 1, 0], ["a", "b", "c", "d"]),
        *choice_metrics([0, 1, 1], [[-1, -2], [-3, -2, -4], [-1, -5]], [["a", "b"], "abc", "ab"]),
        *generation_metrics(texts, texts[::-1], ["the cat ran"] * 4, "en"),
    ]


ALL_METRICS = _all_metrics()


@pytest.mark.parametrize("metric", ALL_METRICS, ids=lambda metric: metric.name)
def test_finish_is_vectorized_over_any_leading_axes(metric: Metric) -> None:
    counts = np.random.default_rng(0).integers(0, 4, size=(5, 3, len(metric)))
    totals = counts @ metric.row_statistics

    finished = metric.finish(totals)

    assert finished.shape == (5, 3)
    one_by_one = [[float(metric.finish(total)) for total in row] for row in totals]
    np.testing.assert_allclose(finished, one_by_one, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("metric", ALL_METRICS, ids=lambda metric: metric.name)
def test_finish_is_defined_without_rows(metric: Metric) -> None:
    nothing = np.zeros((2, metric.row_statistics.shape[1]))

    with np.errstate(all="raise"):
        assert metric.finish(nothing).tolist() == [0, 0]


@pytest.mark.parametrize("metric", ALL_METRICS, ids=lambda metric: metric.name)
def test_every_row_twice_changes_nothing(metric: Metric) -> None:
    twice = 2 * metric.row_statistics.sum(axis=0)
    assert float(metric.finish(twice)) == pytest.approx(metric.value)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_a_mean_is_numpys(values: list[float]) -> None:
    assert quotient_metric("mean", {}, values).value == pytest.approx(np.mean(values), abs=1e-9)


def test_a_quotient_divides_sums_and_does_not_average_quotients() -> None:
    assert quotient_metric("q", {}, [1, 3], [1, 7]).value == 0.5


def test_ratio_broadcasts_and_gives_zero_for_zero_denominators() -> None:
    values = ratio(np.array([[1.0], [2.0]]), np.array([0.0, 4.0]))
    np.testing.assert_array_equal(values, [[0, 0.25], [0, 0.5]])


def test_a_signature_keeps_the_order_of_settings_and_ends_with_the_revision() -> None:
    assert signature("x", {"tok": "char", "case": "fold"}) == "x|tok:char|case:fold|langmerge:1"


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf")]])
def test_no_rows_and_non_finite_statistics_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="broken: row statistics"):
        quotient_metric("broken", {}, values)
