"""Bands of layers: which module is of which, and that a merge is scaled by them alone."""

from __future__ import annotations

import numpy as np
import pytest

from langmerge.errors import MergeError
from langmerge.merging import check_recipe, merge
from langmerge.merging.layers import scales_by_module

from .toys import deltas, toy


def test_bands_are_equal_and_in_order():
    modules = [f"model.layers.{i}.q" for i in range(12)] + ["lm_head"]
    scales = scales_by_module(modules, (1.0, 2.0, 3.0))
    assert [scales[f"model.layers.{i}.q"] for i in range(12)] == [1.0] * 4 + [2.0] * 4 + [3.0] * 4
    assert scales["lm_head"] == 1.0


def test_more_bands_than_layers():
    assert scales_by_module(["a.0.q", "a.1.q"], (1.0, 2.0, 3.0, 4.0)) == {"a.0.q": 1, "a.1.q": 3}


@pytest.mark.parametrize("method", ["linear", "ties", "knots_ties", "tsv_m"])
def test_each_layer_of_a_merge_is_scaled(method):
    adapters = [toy(seed) for seed in (1, 2, 3)]
    plain = deltas(merge(adapters, method))
    scaled = deltas(merge(adapters, method, layer_scales=[0.5, 2.0]))
    for module, delta in plain.items():
        factor = 0.5 if module.startswith("layers.0") else 2.0
        np.testing.assert_allclose(scaled[module], factor * delta, rtol=1e-5, atol=1e-6)


def test_recipes_without_bands_are_written_as_ever():
    assert "layer_scales" not in check_recipe("ties", {}).as_dict()
    assert check_recipe("ties", {"layer_scales": [1, 2]}).as_dict()["layer_scales"] == [1.0, 2.0]


@pytest.mark.parametrize("scales", ["1,2", [], [1, "x"], [float("nan")], 2.0, [True]])
def test_wrong_scales_are_refused(scales):
    with pytest.raises(MergeError, match="expected a list of numbers, one for each band"):
        check_recipe("ties", {"layer_scales": scales})
