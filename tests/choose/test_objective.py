"""Objectives by hand, over values and over resamples."""

from __future__ import annotations

import numpy as np
import pytest

from langmerge.choose.objective import POINTS_PER_DOUBLING, Objective, UnitName

UNITS = [UnitName("a", "de"), UnitName("a", "en"), UnitName("b", "de"), UnitName("b", "en")]
SCORES = np.array([40.0, 80.0, 20.0, 60.0])


def test_mean_and_worst_language():
    assert Objective("mean").of(UNITS, SCORES) == 50.0
    assert Objective("worst-language").of(UNITS, SCORES) == 30.0  # German, over both tasks


def test_retention_counts_languages_alike_and_leaves_out_zero():
    own = dict(zip(UNITS, (50.0, 100.0, 0.0, 60.0), strict=True))
    assert Objective("retention", own).of(UNITS, SCORES) == pytest.approx((80 + 80 + 100) / 3)


def test_size_takes_off_for_every_doubling():
    objective = Objective("size", adapter_size=100)
    assert objective.of(UNITS, SCORES, 400) == pytest.approx(50 - 2 * POINTS_PER_DOUBLING)
    assert objective.of(UNITS, SCORES, 50) == 50.0  # smaller than one adapter is no better


@pytest.mark.parametrize("name", ["mean", "worst-language", "retention", "size"])
def test_resamples_are_treated_as_the_observed_values(name):
    objective = Objective(name, dict.fromkeys(UNITS, 90.0), adapter_size=10)
    draws = np.stack([SCORES, SCORES + 1, SCORES * 0.5], axis=1)
    found = objective.of(UNITS, draws, 40)
    one_by_one = [float(objective.of(UNITS, draws[:, i], 40)) for i in range(3)]
    np.testing.assert_allclose(found, one_by_one)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["mean", "worst-language", "retention", "size"])
def test_a_resample_without_rows_is_no_cause_for_a_warning(name):
    objective = Objective(name, dict.fromkeys(UNITS, 90.0), adapter_size=10)
    no_german, nothing = SCORES.copy(), np.full(4, np.nan)
    no_german[[0, 2]] = np.nan
    found = objective.of(UNITS, np.stack([SCORES, no_german, nothing], axis=1))
    assert np.isfinite(found[:2]).all()
    assert np.isnan(found[2])
