from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import pytest

from langmerge.errors import MergeError
from langmerge.merging import Spec, check_recipe, methods, register
from langmerge.merging import registry as registry_module


def test_defaults_are_filled_in():
    recipe = check_recipe("TIES", {"lambda": 0.5})
    assert recipe.method == "ties"
    assert recipe.parameters == {
        "density": 1.0,
        "lambda_": 0.5,
        "normalize": True,
        "rescale": "none",
        "trim": "tensor",
        "zero_sign": "plus",
    }
    assert recipe.as_dict()["lambda"] == 0.5
    assert (recipe.rank, recipe.space, recipe.seed, recipe.weights) == ("full", "dense", 0, None)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("DTS", "dare_ties"),
        ("DT", "dare_linear"),
        ("knots", "knots_ties"),
        ("mean", "linear"),
        ("dare-ties", "dare_ties"),
    ],
)
def test_aliases(alias, name):
    assert check_recipe(alias, {}).method == name


def test_knots_is_ties_in_the_svd_space():
    assert check_recipe("knots_ties", {}).space == "svd"
    assert check_recipe("ties", {"space": "svd"}).space == "svd"


@pytest.mark.parametrize(
    ("method", "parameters", "message"),
    [
        ("tise", {}, "no merging method is named 'tise'; did you mean 'ties'?"),
        ("ties", {"densty": 0.5}, "ties has no parameter 'densty'; did you mean 'density'?"),
        ("linear", {"density": 0.5}, "linear has no parameter 'density'"),
        ("ties", {"density": 0}, r"density is 0, expected a number in \(0, 1\]"),
        ("ties", {"density": 1.5}, r"density is 1.5, expected a number in \(0, 1\]"),
        ("ties", {"density": float("nan")}, "density is nan"),
        ("ties", {"density": "half"}, "density is 'half', expected a number"),
        ("ties", {"density": True}, "density is True, expected a number"),
        ("ties", {"lambda": float("inf")}, "lambda is inf"),
        ("ties", {"normalize": 1}, "normalize is 1, expected true or false"),
        ("dare_ties", {"rescale": "l2"}, "rescale is 'l2', expected one of density, l1, none"),
        ("ties", {"weights": [1, 0]}, "weight 0 is not positive"),
        ("ties", {"weights": [1, -1]}, "weight -1 is not positive"),
        ("ties", {"weights": [1]}, "found 1 weights for 2 adapters"),
        ("ties", {"weights": [1, 2, 3]}, "found 3 weights for 2 adapters"),
        ("ties", {"weights": "1,2"}, "expected a list of numbers"),
        ("ties", {"weights": [1, float("nan")]}, "weight nan is not finite"),
        ("ties", {"weights": [1, "2"]}, "weight '2' is not a number"),
        ("linear", {"weights": [1, -1]}, "the weights add up to 0"),
        ("ties", {"rank": 0}, "rank is 0, expected 'full'"),
        ("ties", {"rank": "energy:1.5"}, "rank is 'energy:1.5'"),
        ("ties", {"rank": "energy:0.0"}, "rank is 'energy:0.0'"),
        ("ties", {"rank": "ful"}, "rank is 'ful'"),
        ("ties", {"space": "svg"}, "space is 'svg', expected one of dense, svd, core; did you"),
        ("tsv_m", {"space": "svd"}, "space is 'svd', but it works on whole matrices"),
        ("ties", {"profile": "mergkit"}, "profile is 'mergkit', .* did you mean 'mergekit'"),
        ("pico", {"profile": "mergekit"}, "the profile 'mergekit' has no such method"),
        ("ties", {"seed": -1}, "seed is -1, expected a whole number"),
    ],
)
def test_wrong_recipes(method, parameters, message):
    with pytest.raises(MergeError, match=message):
        check_recipe(method, parameters, n_adapters=2)


def test_a_profile_changes_defaults_and_nothing_that_is_said():
    assert check_recipe("dare_ties", {}).parameters["normalize"] is True
    assert check_recipe("dare_ties", {"profile": "mergekit"}).parameters["normalize"] is False
    said = check_recipe("dare_ties", {"profile": "mergekit", "normalize": True})
    assert said.parameters["normalize"] is True
    assert check_recipe("knots", {"profile": "knots"}).parameters["trim"] == "model"


def test_no_adapters():
    with pytest.raises(MergeError, match="at least one adapter"):
        check_recipe("ties", {}, n_adapters=0)


def test_zero_sum_weights_add_up_where_nothing_divides():
    check_recipe("task_arithmetic", {"weights": [1, -1]})
    check_recipe("dare_linear", {"weights": [1, -1], "normalize": False})


def test_the_sum_of_weights_is_not_judged_before_all_are_known():
    check_recipe("linear", {"weights": [0]})
    with pytest.raises(MergeError, match="the weights add up to 0"):
        check_recipe("linear", {"weights": [0]}, n_adapters=1)
    with pytest.raises(MergeError, match="weight 0 is not positive"):
        check_recipe("ties", {"weights": [0]})


def test_every_method_says_what_it_is():
    for info in methods():
        assert info.summary
        assert "arXiv" in info.source
        assert all(parameter.spec.meaning for parameter in info.parameters)


def test_checking_recipes_imports_no_torch():
    code = (
        "import sys; from langmerge.merging import check_recipe, methods; methods();"
        "check_recipe('ties', {'density': 0.5}); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(registry_module, "_methods", dict(registry_module._methods))


Power = Annotated[float, Spec("exponent of the magnitudes", above=0.0)]


def test_a_method_of_ones_own(registry):
    import torch

    from langmerge.merging import merge
    from langmerge.merging.composition import Composition

    from .toys import deltas, toy

    @register(summary="keeps the positive part", source="arXiv:none", weights="any")
    def positive_part(*, power: Power = 1.0):
        def thin(vector):
            return lambda entries, tile: entries.clamp_min_(0.0).pow_(power)

        return Composition(sparsify=thin, combine=lambda total, weight: total)

    assert methods()[-1].name == "positive_part"
    adapter = toy(1)
    found, original = deltas(merge([adapter], "positive_part", power=2.0)), deltas(adapter)
    for module in original:
        expected = torch.from_numpy(original[module]).clamp_min(0).pow(2).numpy()
        assert abs(found[module] - expected).max() < 1e-4
    with pytest.raises(MergeError, match=r"power is 0, expected a number in \(0, inf\)"):
        check_recipe("positive_part", {"power": 0})


def test_a_taken_name_is_refused(registry):
    with pytest.raises(MergeError, match="a merging method named 'dts' is registered"):
        register(summary="x", source="y", aliases=("dts",))(lambda: None)


def test_a_parameter_needs_a_spec_and_a_default(registry):
    def untyped(*, x=1.0):
        return None

    def required(*, power: Power):
        return None

    for build in (untyped, required):
        with pytest.raises(MergeError, match="needs a default and a type annotated with a Spec"):
            register(summary="x", source="y")(build)
