"""What must hold of merging whatever the adapters."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langmerge.merging import merge, methods
from langmerge.merging.engine import MergeWarning

from .toys import assert_same, deltas, toy

few = settings(max_examples=8, deadline=None)
seeds = st.integers(1, 50)
EVERY = [info.name for info in methods()]
# Methods without chance; DARE's drops are part of its result.
STEADY = [name for name in EVERY if "dare" not in name]
SPACES = ["dense", "svd", "core"]


# Methods that add the adapters up, so that the weights' sizes matter.
ADDING = ["task_arithmetic", "tsv_m", "iso_c"]


def whole(name):
    """Parameters under which a method neither trims nor drops."""
    info = next(info for info in methods() if info.name == name)
    return {"density": 1.0} if any(p.name == "density" for p in info.parameters) else {}


@few
@given(seed=seeds, scale=st.floats(0.1, 4.0))
@pytest.mark.parametrize("name", [name for name in EVERY if name != "iso_c"])
def test_a_single_adapter_merges_to_itself(name, seed, scale):
    adapter = toy(seed, scale=scale)
    assert_same(merge([adapter], name, **whole(name)), adapter)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", ["linear", "ties", "dare_ties"])
def test_a_single_adapter_merges_to_itself_in_every_space(name, space):
    adapter = toy(3)
    assert_same(merge([adapter], name, space=space, **whole(name)), adapter)


@pytest.mark.filterwarnings("ignore::langmerge.merging.engine.MergeWarning")
@few
@given(seed=seeds)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", ["linear", "ties"])
def test_identical_adapters_merge_to_themselves(name, space, seed):
    adapter = toy(seed)
    assert_same(merge([adapter] * 3, name, space=space), adapter)


@few
@given(seed=seeds, order=st.permutations(range(3)))
@pytest.mark.parametrize("name", EVERY)
def test_the_order_of_the_adapters_changes_no_bit(name, seed, order):
    adapters = [toy(seed + i) for i in range(3)]
    weights = [1.0, 2.0, 3.0]
    first = merge(adapters, name, weights=weights)
    second = merge([adapters[i] for i in order], name, weights=[weights[i] for i in order])
    assert first.digest == second.digest
    assert first.recipe == second.recipe


@few
@given(seed=seeds, factor=st.floats(0.01, 100.0))
@pytest.mark.parametrize("name", [name for name in EVERY if name not in ADDING])
def test_only_the_ratios_of_weights_matter(name, seed, factor):
    adapters, weights = [toy(seed), toy(seed + 1)], [1.0, 3.0]
    scaled = [factor * w for w in weights]
    assert_same(merge(adapters, name, weights=weights), merge(adapters, name, weights=scaled))


# Methods that take a weight of 0; TSV-M gives the adapter its share of the ranks all the same.
LEAVING_OUT = [m.name for m in methods() if m.weights != "positive" and m.name != "tsv_m"]


@few
@given(seed=seeds)
@pytest.mark.parametrize("name", LEAVING_OUT)
def test_weight_zero_leaves_an_adapter_out(name, seed):
    adapters = [toy(seed + i) for i in range(3)]
    assert_same(merge(adapters, name, weights=[1, 2, 0]), merge(adapters[:2], name, weights=[1, 2]))


@few
@given(seed=seeds)
def test_a_tiny_weight_leaves_an_adapter_out_of_ties_that_trims_nothing(seed):
    adapters = [toy(seed + i) for i in range(3)]
    found = deltas(merge(adapters, "ties", weights=[1, 1, 0.0001]))
    for module, without in deltas(merge(adapters[:2], "ties")).items():
        assert np.linalg.norm(found[module] - without) < 0.001 * np.linalg.norm(without)


@few
@given(seed=seeds, weights=st.lists(st.floats(0.1, 5.0), min_size=3, max_size=3))
def test_a_weighted_sum_is_the_same_in_every_space(seed, weights):
    adapters = [toy(seed + i, rank=i + 1) for i in range(3)]
    dense, svd, core = (merge(adapters, "linear", weights=weights, space=space) for space in SPACES)
    assert_same(svd, dense)
    assert_same(core, dense)


@pytest.mark.parametrize(
    "name",
    [n for n in EVERY if any(part in n for part in ("ties", "dare", "della", "bread", "sce"))],
)
def test_density_one_neither_trims_nor_drops(name):
    adapters = [toy(1), toy(2)]
    full = merge(adapters, name, density=1.0)
    assert_same(merge(adapters, name, density=1.0, seed=9), full)
    assert all(np.abs(d).min() > 0 for d in deltas(full).values())


def test_lambda_scales_the_result():
    adapters = [toy(1), toy(2)]
    once, twice = (deltas(merge(adapters, "ties", lambda_=x)) for x in (1.0, 2.0))
    for module in once:
        np.testing.assert_allclose(twice[module], 2 * once[module], rtol=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_threads_and_repetition_change_no_bit(name):
    adapters = [toy(i, shapes={f"m{j}": (60, 40) for j in range(6)}) for i in range(2)]
    one = merge(adapters, name, workers=1, seed=3)
    assert one.digest == merge(adapters, name, workers=4, seed=3).digest


@pytest.mark.parametrize("name", EVERY)
def test_inputs_are_untouched(name):
    adapters = [toy(1), toy(2)]
    before = [deltas(adapter) for adapter in adapters]
    merge(adapters, name)
    for adapter, kept in zip(adapters, before, strict=True):
        for module, delta in deltas(adapter).items():
            np.testing.assert_array_equal(delta, kept[module])


def test_another_adapter_never_changes_a_mask():
    shapes = {"m": (50, 40)}
    one, two = toy(1, shapes=shapes), toy(2, shapes=shapes)
    alone = deltas(merge([one], "dare_linear", density=0.5, normalize=False))["m"]
    other = deltas(merge([two], "dare_linear", density=0.5, normalize=False))["m"]
    both = deltas(merge([one, two], "dare_linear", density=0.5, normalize=False))["m"]
    np.testing.assert_allclose(both, alone + other, atol=1e-5)


def test_another_seed_draws_other_masks():
    adapters = [toy(1), toy(2)]
    digests = {merge(adapters, "dare_ties", seed=seed).digest for seed in range(3)}
    assert len(digests) == 3


def test_the_same_adapter_twice_is_named():
    with pytest.warns(MergeWarning, match="same content"):
        merge([toy(1), toy(1)], "linear")


@few
@given(seed=seeds, copies=st.integers(1, 3))
def test_identical_adapters_under_tsv_m_and_pico(seed, copies):
    adapter = toy(seed)
    adapters = [toy(seed) for _ in range(copies)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MergeWarning)
        assert_same(merge(adapters, "tsv_m", keep="all"), adapter)
        found = deltas(merge(adapters, "pico"))
    for module, delta in deltas(adapter).items():  # weakened unevenly, but of the same size
        assert np.linalg.norm(found[module]) == pytest.approx(np.linalg.norm(delta), rel=1e-5)


@few
@given(seed=seeds)
def test_iso_c_is_isotropic_with_the_trace_of_the_sum(seed):
    adapters = [toy(seed), toy(seed + 1)]
    for module, delta in deltas(merge(adapters, "iso_c")).items():
        values = np.linalg.svd(delta)[1]
        total = np.linalg.svd(sum(deltas(a)[module] for a in adapters))[1]
        kept = values[values > 1e-5 * values[0]]
        assert kept.max() == pytest.approx(kept.min(), rel=1e-4)
        assert kept.sum() == pytest.approx(total.sum(), rel=1e-4)


@few
@given(seed=seeds, density=st.floats(0.05, 0.95), space=st.sampled_from(SPACES))
def test_trimming_over_the_model_keeps_that_share_of_it(seed, density, space):
    adapter = toy(seed, shapes={"small": (8, 6), "large": (40, 30)})
    found = deltas(merge([adapter], "ties", trim="model", density=density, space=space))
    if space == "dense":
        size = sum(delta.size for delta in found.values())
        kept = sum(np.count_nonzero(delta) for delta in found.values())
        assert kept == max(1, int(density * size))


@pytest.mark.parametrize("rescale", ["l1", "density"])
def test_rescaling_after_trimming(rescale):
    adapter = toy(5)
    plain = deltas(merge([adapter], "ties", density=0.5))
    found = deltas(merge([adapter], "ties", density=0.5, rescale=rescale))
    for module, delta in deltas(adapter).items():
        factor = np.abs(delta).sum() / np.abs(plain[module]).sum() if rescale == "l1" else 2.0
        np.testing.assert_allclose(found[module], factor * plain[module], rtol=1e-4, atol=1e-7)
