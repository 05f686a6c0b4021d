import itertools

import numpy as np
import pytest
from scipy.stats import permutation_test, spearmanr

from langmerge.analysis import relate


def by_name(numbers):
    return {f"l{i:02}": float(x) for i, x in enumerate(numbers)}


@pytest.mark.parametrize("n", [4, 5, 8, 12, 30])
def test_rho_is_scipys_with_ties(n) -> None:
    draw = np.random.default_rng(n)
    x, y = draw.integers(0, n, n), draw.normal(size=n)
    found = relate(by_name(x), by_name(y), resamples=500)
    assert found.rho == pytest.approx(spearmanr(x, y).statistic)
    assert found.low <= found.rho <= found.high


def test_exact_p_value_is_that_of_all_permutations() -> None:
    x, y = [1, 2, 3, 4, 5], [2, 1, 4, 3, 5]
    rhos = [spearmanr(x, p).statistic for p in itertools.permutations(y)]
    observed = spearmanr(x, y).statistic
    found = relate(by_name(x), by_name(y))
    assert found.exact
    assert found.p_value == pytest.approx(np.mean(np.abs(rhos) >= abs(observed) - 1e-9))


def test_exact_p_value_of_eight_is_scipys() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(2, 7))
    expected = permutation_test(
        (x,), lambda z: spearmanr(z, y).statistic, permutation_type="pairings", n_resamples=np.inf
    )
    assert relate(by_name(x), by_name(y)).p_value == pytest.approx(expected.pvalue)
    assert relate(by_name(range(8)), by_name(range(8))).p_value == pytest.approx(2 / 40320)


def test_random_p_value_is_near_the_exact_one_and_seeded() -> None:
    draw = np.random.default_rng(3)
    x = draw.normal(size=12)
    y = x + 1.5 * draw.normal(size=12)
    found = relate(by_name(x), by_name(y))
    assert not found.exact
    assert found.p_value == pytest.approx(spearmanr(x, y).pvalue, abs=0.02)
    assert found == relate(dict(reversed(by_name(x).items())), by_name(y))


def test_five_languages_are_said_to_prove_little() -> None:
    found = relate(by_name(range(5)), by_name(range(5)))
    assert found.rho == pytest.approx(1)
    assert found.p_value == pytest.approx(found.least_p_value) == pytest.approx(1 / 60)
    # Every resample of a perfect order is perfect: an interval would be the point 1.
    assert (found.low, found.high) == (None, None)
    assert "5 languages: the interval is nearly useless" in found.caution
    assert "only a perfect order gives a p-value below 0.05 (0.017)" in found.caution
    assert "no p-value below 0.083" in relate(by_name(range(4)), by_name(range(4))).caution
    assert "only a strong relation" in relate(by_name(range(8)), by_name(range(8))).caution
    assert not relate(by_name(range(30)), by_name(range(30, 0, -1)), resamples=100).caution


def test_five_in_any_other_order_are_not_significant() -> None:
    nearly = relate(by_name(range(5)), by_name([1, 0, 2, 3, 4]))
    assert nearly.rho == pytest.approx(0.9)
    assert nearly.p_value > 0.05


def test_the_interval_of_five_spans_most_of_what_is_possible() -> None:
    draw = np.random.default_rng(1)
    found = [relate(*map(by_name, draw.normal(size=(2, 5))), resamples=400) for _ in range(40)]
    assert np.median([x.high - x.low for x in found if x.low is not None]) > 1.5


def test_p_values_are_uniform_where_nothing_is_there() -> None:
    draw = np.random.default_rng(2)
    p = [relate(*map(by_name, draw.normal(size=(2, 5))), resamples=1).p_value for _ in range(300)]
    assert np.mean(np.array(p) <= 0.05) < 0.09


@pytest.mark.parametrize(
    ("values", "losses", "message"),
    [
        ({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2, "d": 3}, "not of the same languages: c, d"),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}, "three languages or more, found 2"),
        ({"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2, "c": 3}, "all values are equal"),
        ({"a": 1, "b": 2, "c": 3}, {"a": 0, "b": 0, "c": 0}, "all losses are equal"),
        ({"a": 1, "b": 2, "c": float("nan")}, {"a": 1, "b": 2, "c": 3}, "not finite"),
    ],
)
def test_what_cannot_be_related(values, losses, message) -> None:
    with pytest.raises(ValueError, match=message):
        relate(values, losses)
