"""Every method against a plain float64 version of its formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from langmerge.adapter import Adapter, LoraFactors
from langmerge.merging import merge
from langmerge.merging.random import mask_key, uniform_bits
from langmerge.merging.vectors import Tile

from . import oracles
from .toys import deltas, toy

WEIGHTS = [1.0, 2.0, 0.5]


@pytest.fixture(scope="module")
def adapters():
    # Different ranks and scales; the third lacks nothing but has its own alpha.
    return [toy(1, rank=2), toy(2, rank=3, scale=0.5), toy(3, rank=1, scale=2.0)]


def check(merged, adapters, oracle, tolerance=2e-6):
    all_deltas = [deltas(adapter) for adapter in adapters]
    for module, found in deltas(merged).items():
        expected = oracle([d[module] for d in all_deltas])
        assert np.abs(found - expected).max() <= tolerance * max(1.0, np.abs(expected).max())


def test_linear(adapters):
    merged = merge(adapters, "linear", weights=WEIGHTS, lambda_=0.7)
    check(merged, adapters, lambda d: oracles.linear(d, WEIGHTS, 0.7))


def test_mean_is_linear_with_equal_weights(adapters):
    check(merge(adapters, "mean"), adapters, lambda d: sum(d) / 3)


def test_task_arithmetic_may_subtract(adapters):
    weights = [1.0, -1.0, 0.0]
    merged = merge(adapters, "task_arithmetic", weights=weights, lambda_=0.4)
    check(merged, adapters, lambda d: oracles.task_arithmetic(d, weights, 0.4))


@pytest.mark.parametrize("density", [0.01, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("normalize", [True, False])
def test_ties(adapters, density, normalize):
    merged = merge(
        adapters, "ties", weights=WEIGHTS, density=density, lambda_=1.3, normalize=normalize
    )
    check(merged, adapters, lambda d: oracles.ties(d, WEIGHTS, density, 1.3, normalize))


def test_ties_on_more_than_one_tile():
    shapes = {"big": (300, 700)}
    adapters = [toy(seed, rank=4, shapes=shapes) for seed in range(3)]
    merged = merge(adapters, "ties", density=0.3)
    check(merged, adapters, lambda d: oracles.ties(d, [1, 1, 1], 0.3))


def masks(adapters, module, shape, density, seed):
    whole = Tile(0, shape[0], 0, shape[1])
    limit = round(density * 2**32) - 2**31
    for adapter in adapters:
        bits = uniform_bits(
            mask_key(seed, adapter.digest, module), whole, shape[1], torch.device("cpu")
        )
        yield (bits < limit).numpy()


@pytest.mark.parametrize("method", ["dare_linear", "dare_ties"])
@pytest.mark.parametrize("rescale", ["density", "l1", "none"])
def test_dare(adapters, method, rescale):
    merged = merge(
        adapters, method, weights=WEIGHTS, density=0.6, lambda_=0.8, rescale=rescale, seed=7
    )
    combine = oracles.linear if method == "dare_linear" else oracles.elect_and_merge
    for module, found in deltas(merged).items():
        dropped = []
        for adapter, mask in zip(
            adapters, masks(adapters, module, found.shape, 0.6, 7), strict=True
        ):
            d = deltas(adapter)[module]
            l1 = np.abs(d).sum() / np.abs(d * mask).sum()
            dropped.append(d * mask * {"density": 1 / 0.6, "l1": l1, "none": 1.0}[rescale])
        expected = combine(dropped, WEIGHTS, 0.8)
        assert np.abs(found - expected).max() <= 5e-6 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("density", [0.5, 1.0])
def test_knots_ties(adapters, density):
    merged = merge(adapters, "knots_ties", weights=WEIGHTS, density=density)
    check(
        merged,
        adapters,
        lambda d: oracles.knots(d, lambda parts: oracles.ties(parts, WEIGHTS, density)),
        tolerance=1e-5,
    )


@pytest.mark.parametrize("density", [0.3, 0.7])
def test_knots_as_its_authors_trim(adapters, density):
    """The profile `knots`: one threshold for all aligned parts of an adapter's model."""
    merged = deltas(merge(adapters, "knots_ties", profile="knots", density=density))
    bases, parts = {}, [{} for _ in adapters]
    for module in merged:
        whole = np.concatenate([deltas(a)[module] for a in adapters], axis=1)
        u, s, vt = np.linalg.svd(whole, full_matrices=False)
        kept = s > s[0] * 1e-6
        bases[module] = u[:, kept]
        split = np.split(s[kept, None] * vt[kept], len(adapters), axis=1)
        for own, part in zip(parts, split, strict=True):
            own[module] = part
    trimmed = [oracles.trim_over_the_model(own, density) for own in parts]
    for module, found in merged.items():
        kept = [t[module] for t in trimmed]
        expected = bases[module] @ oracles.elect_and_merge(kept, [1.0] * len(adapters))
        assert np.abs(found - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("density", [0.5, 1.0])
def test_core_ties(adapters, density):
    merged = merge(adapters, "ties", space="core", weights=WEIGHTS, density=density)
    for module, found in deltas(merged).items():
        parts = [adapter.factors(module) for adapter in adapters]
        expected = oracles.core(
            [(p.b * p.scale).double().numpy() for p in parts],
            [p.a.double().numpy() for p in parts],
            lambda cores: oracles.ties(cores, WEIGHTS, density),
        )
        assert np.abs(found - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
def test_magnitude_prune(adapters, density):
    merged = merge(adapters, "magnitude_prune", weights=WEIGHTS, density=density, lambda_=0.9)
    check(merged, adapters, lambda d: oracles.magnitude_prune(d, WEIGHTS, density, 0.9))


@pytest.mark.parametrize("density", [0.1, 0.5, 0.9])
def test_ties_trimmed_over_the_model(adapters, density):
    found = deltas(merge(adapters, "ties", weights=WEIGHTS, density=density, trim="model"))
    trimmed = [oracles.trim_over_the_model(deltas(adapter), density) for adapter in adapters]
    for module, delta in found.items():
        expected = oracles.elect_and_merge([t[module] for t in trimmed], WEIGHTS)
        assert np.abs(delta - expected).max() <= 2e-6 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_sum_of_zero_takes_the_chosen_sign(sign):
    """Both adapters cancel in the second row; the rest of the module votes with `sign`."""
    a = torch.ones(1, 4)
    one = Adapter.from_factors({"m": LoraFactors(a, torch.tensor([[3.0 * sign], [1.0]]))})
    two = Adapter.from_factors({"m": LoraFactors(a, torch.tensor([[1.0 * sign], [-1.0]]))})
    plus = deltas(merge([one, two], "ties"))["m"]
    majority = deltas(merge([one, two], "ties", zero_sign="majority"))["m"]
    np.testing.assert_allclose(plus, [[2.0 * sign] * 4, [1.0] * 4])
    np.testing.assert_allclose(majority, [[2.0 * sign] * 4, [sign] * 4])


@pytest.mark.parametrize("keep", ["share", "all"])
def test_tsv_m(keep):
    adapters = [toy(1, rank=3), toy(2, rank=4)]
    merged = merge(adapters, "tsv_m", keep=keep, lambda_=0.8)
    ranks = (3, 4) if keep == "all" else (1, 2)
    check(merged, adapters, lambda d: oracles.tsv_m(d, ranks, 0.8), tolerance=1e-5)


def test_iso_c(adapters):
    merged = merge(adapters, "iso_c", weights=WEIGHTS, lambda_=0.7)
    check(merged, adapters, lambda d: oracles.iso_c(d, WEIGHTS, 0.7), tolerance=1e-5)


@pytest.mark.parametrize("inner", ["mean", "ties"])
def test_pico(adapters, inner):
    merged = merge(adapters, "pico", merge=inner, weights=WEIGHTS, density=0.6, lambda_=1.2)
    for module, found in deltas(merged).items():
        parts = [adapter.factors(module) for adapter in adapters]
        expected = oracles.pico(
            [(p.b * p.scale).double().numpy() for p in parts],
            [p.a.double().numpy() for p in parts],
            (lambda d: oracles.linear(d, WEIGHTS))
            if inner == "mean"
            else (lambda d: oracles.ties(d, WEIGHTS, 0.6)),
            1.2,
        )
        assert np.abs(found - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


def test_a_module_that_an_adapter_lacks_is_a_zero_task_vector():
    both, one = toy(1), toy(2, shapes={"layers.0.q_proj": (12, 8)})
    merged = merge([both, one], "linear")
    found, alone = deltas(merged), deltas(both)
    np.testing.assert_allclose(found["layers.1.q_proj"], alone["layers.1.q_proj"] / 2, atol=1e-6)
    ties = deltas(merge([both, one], "ties"))
    np.testing.assert_allclose(ties["layers.1.q_proj"], alone["layers.1.q_proj"], atol=1e-6)
    dare = deltas(merge([both, one], "dare_linear", density=1.0))
    np.testing.assert_allclose(dare["layers.1.q_proj"], alone["layers.1.q_proj"] / 2, atol=1e-6)
