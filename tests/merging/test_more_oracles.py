"""The methods of 2024 to 2026 against plain float64 versions of their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from langmerge.merging import merge
from langmerge.merging.random import mask_key, uniform_bits
from langmerge.merging.select import kth_largest_in_passes
from langmerge.merging.vectors import Tile

from . import oracles
from .toys import deltas, toy

WEIGHTS = [1.0, 2.0, 0.5]
LARGE = {"large": (300, 701), "small": (7, 5)}


@pytest.fixture(scope="module")
def adapters():
    return [toy(1, rank=2), toy(2, rank=3, scale=0.5), toy(3, rank=1, scale=2.0)]


@pytest.fixture(scope="module")
def large():
    """More than one tile each way."""
    return [toy(i, rank=i + 1, shapes=LARGE, scale=0.5 + i) for i in range(3)]


def check(merged, adapters, oracle, tolerance=5e-6):
    all_deltas = [deltas(adapter) for adapter in adapters]
    for module, found in deltas(merged).items():
        expected = oracle([d[module] for d in all_deltas])
        assert np.abs(found - expected).max() <= tolerance * max(1.0, np.abs(expected).max())


def uniforms(adapter, module, shape, seed):
    """The numbers in [0, 1) that decide an adapter's drops."""
    whole = Tile(0, shape[0], 0, shape[1])
    bits = uniform_bits(
        mask_key(seed, adapter.digest, module), whole, shape[1], torch.device("cpu")
    )
    return (bits.double().numpy() + 2.0**31) / 2.0**32


@pytest.mark.parametrize("method", ["della", "della_linear"])
@pytest.mark.parametrize("rescale", ["probability", "l1", "none"])
@pytest.mark.parametrize(("density", "epsilon"), [(0.6, 0.15), (0.9, 0.3), (0.2, 0.5)])
def test_della(large, method, rescale, density, epsilon):
    merged = merge(
        large, method, weights=WEIGHTS, density=density, epsilon=epsilon, rescale=rescale, seed=7
    )
    combine = oracles.linear if method == "della_linear" else oracles.elect_and_merge
    for module, found in deltas(merged).items():
        dropped = []
        for adapter in large:
            d = deltas(adapter)[module]
            p = oracles.keep_probabilities(d, density, epsilon)
            mask = uniforms(adapter, module, d.shape, 7) < p
            l1 = np.abs(d).sum() / np.abs(d * mask).sum()
            factor = {"probability": 1 / np.maximum(p, 1e-9), "l1": l1, "none": 1.0}[rescale]
            dropped.append(d * mask * factor)
        expected = combine(dropped, WEIGHTS)
        # Float32 may rank two nearly equal magnitudes the other way round: a draw on the edge.
        off = np.abs(found - expected) > 1e-4 * max(1.0, np.abs(expected).max())
        assert off.mean() < 1e-4


def test_della_keeps_an_entrys_expectation_and_the_large_ones_more_often():
    adapter = toy(4, shapes={"m": (1, 64)})
    whole = deltas(adapter)["m"]
    draws = [deltas(merge([adapter], "della_linear", seed=s))["m"] for s in range(400)]
    np.testing.assert_allclose(np.mean(draws, axis=0), whole, atol=0.15 * np.abs(whole).max())
    kept = np.mean([d != 0 for d in draws], axis=0).ravel()
    order = np.abs(whole).ravel().argsort()
    assert kept[order[:16]].mean() < 0.66 < 0.74 < kept[order[-16:]].mean()


@pytest.mark.parametrize("density", [0.05, 0.5, 0.995, 1.0])
@pytest.mark.parametrize("gamma", [0.01, 0.2])
def test_breadcrumbs(adapters, density, gamma):
    options = {"weights": WEIGHTS, "density": density, "gamma": gamma, "lambda_": 0.9}
    middle = lambda d: [oracles.keep_middle(x, density, gamma) for x in d]  # noqa: E731
    check(
        merge(adapters, "breadcrumbs", **options),
        adapters,
        lambda d: oracles.linear(middle(d), WEIGHTS, 0.9),
    )
    check(
        merge(adapters, "breadcrumbs_ties", **options),
        adapters,
        lambda d: oracles.elect_and_merge(middle(d), WEIGHTS, 0.9),
    )


def test_model_stock():
    adapters = [toy(1, rank=2), toy(2, rank=2)]
    adapters.append(merge(adapters, "linear"))  # so that some directions agree
    merged = merge(adapters, "model_stock", weights=WEIGHTS, lambda_=0.7)
    check(merged, adapters, lambda d: oracles.model_stock(d, WEIGHTS, 0.7))


@pytest.mark.parametrize("density", [0.1, 0.6, 1.0])
def test_sce(adapters, large, density):
    for some in (adapters, large):
        merged = merge(some, "sce", weights=WEIGHTS, density=density, lambda_=0.8)
        check(merged, some, lambda d: oracles.sce(d, WEIGHTS, density, 0.8), tolerance=2e-5)


@pytest.mark.parametrize("k", [1, 100, 20_000, 29_999])
def test_the_kth_largest_of_values_made_in_pieces(k):
    values = torch.rand(30_000, generator=torch.Generator().manual_seed(1)) ** 8
    values[:50] = 0.25  # some are equal
    found = kth_largest_in_passes(lambda: values.split(7000), k)
    assert found == float(values.sort(descending=True).values[k - 1])


@pytest.mark.parametrize("floor", [0.1, 1.0])
def test_svc(adapters, floor):
    merged = merge(adapters, "svc", weights=WEIGHTS, floor=floor, lambda_=0.6)
    check(merged, adapters, lambda d: oracles.svc(d, WEIGHTS, floor, 0.6), tolerance=1e-5)


@pytest.mark.parametrize("density", [0.4, 0.8, 1.0])
def test_robust_merge(density):
    adapters = [toy(i, rank=4, scale=0.5 + i) for i in range(3)]
    merged = merge(
        adapters, "robust_merge", weights=WEIGHTS, density=density, raised=0.5, lambda_=1.5
    )
    for module, found in deltas(merged).items():
        parts = [adapter.factors(module) for adapter in adapters]
        expected = oracles.robust_merge(
            [(p.b * p.scale).double().numpy() for p in parts],
            [p.a.double().numpy() for p in parts],
            WEIGHTS,
            density,
            0.5,
            1.5,
        )
        assert np.abs(found - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


def test_robust_merge_without_pruning_is_the_mean_whatever_the_ranks(adapters):
    merged = merge(adapters, "robust_merge", density=1.0, weights=WEIGHTS)
    check(merged, adapters, lambda d: oracles.linear(d, WEIGHTS))


def test_robust_merge_where_all_of_a_rank_is_pruned(adapters):
    """At so low a density a row of A has nothing left: it adds nothing, and no infinity."""
    low = merge(adapters, "robust_merge", density=0.05, weights=WEIGHTS)
    for module, found in deltas(low).items():
        assert np.isfinite(found).all(), module
        assert np.abs(found).max() < 100 * max(np.abs(deltas(a)[module]).max() for a in adapters)


@pytest.mark.parametrize("ridge", [1e-3, 0.1, 10.0])
def test_wudi_ridge(adapters, ridge):
    merged = merge(adapters, "wudi_ridge", ridge=ridge, weights=WEIGHTS, lambda_=0.9)
    check(merged, adapters, lambda d: oracles.wudi_ridge(d, WEIGHTS, ridge, 0.9), tolerance=1e-5)


def test_wudi_ridge_disturbs_the_adapters_less_than_the_mean_and_becomes_it(adapters):
    def disturbance(merged, module):
        parts = [deltas(a)[module] for a in adapters]
        return sum(np.sum(((merged - d) @ d.T) ** 2) / np.sum(d**2) for d in parts)

    loose, mean = (deltas(merge(adapters, *a[:1], **a[1])) for a in (
        ("wudi_ridge", {"ridge": 1e-3}), ("linear", {})
    ))  # fmt: skip
    held = deltas(merge(adapters, "wudi_ridge", ridge=1e6))
    for module in loose:
        assert disturbance(loose[module], module) < 0.9 * disturbance(mean[module], module)
        np.testing.assert_allclose(held[module], mean[module], atol=1e-4)


@pytest.mark.parametrize("inner", ["mean", "ties"])
@pytest.mark.parametrize("width", [0.7, 1.0, 1.3])
def test_compress_merge(adapters, inner, width):
    merged = merge(
        adapters, "compress_merge", merge=inner, density=0.6, width=width, weights=WEIGHTS,
        beta=0.4, lambda_=1.2,
    )  # fmt: skip
    rank = round(3 * width)
    combine = {
        "mean": lambda d: oracles.linear(d, WEIGHTS, 1.2),
        "ties": lambda d: oracles.ties(d, WEIGHTS, 0.6, 1.2),
    }[inner]
    check(
        merged,
        adapters,
        lambda d: oracles.compress_merge(d, combine, rank, 0.4),
        tolerance=2e-5,
    )
    for delta in deltas(merged).values():
        assert np.linalg.matrix_rank(delta, tol=1e-4) <= rank


def test_compressing_to_all_ranks_together_loses_nothing(adapters):
    merged = merge(adapters, "compress_merge", merge="mean", width=2.0, weights=WEIGHTS)
    check(merged, adapters, lambda d: oracles.linear(d, WEIGHTS), tolerance=1e-5)
