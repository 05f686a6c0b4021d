from __future__ import annotations

import numpy as np
import pytest
import torch

from langmerge.merging import merge
from langmerge.merging.compress import exact, to_energy, to_rank
from langmerge.merging.engine import MergeWarning
from langmerge.merging.spaces.types import Product

from .toys import assert_same, deltas, toy


def decaying(rows, columns, seed=0, rate=0.9):
    """A matrix whose singular values fall by `rate`."""
    draw = torch.Generator().manual_seed(seed)
    u = torch.linalg.qr(torch.randn(rows, min(rows, columns), generator=draw)).Q
    v = torch.linalg.qr(torch.randn(columns, min(rows, columns), generator=draw)).Q
    return (u * rate ** torch.arange(min(rows, columns))) @ v.T


def best_error(matrix, rank):
    return float(torch.linalg.svdvals(matrix.double())[rank:].square().sum())


@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (100, 130), (130, 100)])
@pytest.mark.parametrize("rank", [1, 5, 12])
@pytest.mark.parametrize("form", ["dense", "product"])
def test_the_best_of_its_rank(shape, rank, form):
    matrix = decaying(*shape)
    merged = matrix if form == "dense" else exact(matrix)
    product, energy, kept = to_rank(merged, rank)
    assert product.b.shape == (shape[0], rank)
    assert product.a.shape == (rank, shape[1])
    error = float((matrix - product.b @ product.a).double().square().sum())
    assert error == pytest.approx(best_error(matrix, rank), rel=1e-3, abs=1e-6)
    assert energy == pytest.approx(float(matrix.square().sum()), rel=1e-5)
    assert energy - kept == pytest.approx(error, rel=1e-3, abs=1e-5)


def test_a_flat_spectrum_stays_near_the_best():
    draw = torch.Generator().manual_seed(0)
    matrix = torch.randn(120, 200, generator=draw)
    product, _, _ = to_rank(matrix, 16)
    error = float((matrix - product.b @ product.a).square().sum())
    assert error <= 1.02 * best_error(matrix, 16)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_energy_finds_the_smallest_rank(share):
    matrix = decaying(40, 30)
    product, energy, kept = to_energy(matrix, share)
    values = torch.linalg.svdvals(matrix.double()).square()
    rank = int((values.cumsum(0) / values.sum() < share).sum()) + 1
    assert product.b.shape[1] == rank
    assert kept / energy >= share


def test_zero_has_rank_one():
    for merged in (torch.zeros(6, 5), Product(torch.zeros(6, 2), torch.ones(2, 5))):
        product, energy, kept = to_energy(merged, 0.99)
        assert product.b.shape[1] >= 1
        assert energy == kept == 0.0
        assert not (product.b @ product.a).any()


def test_a_dense_matrix_beside_the_smaller_identity():
    wide, tall = exact(torch.randn(4, 9)), exact(torch.randn(9, 4))
    assert wide.b.shape == (4, 4)
    assert tall.a.shape == (4, 4)
    assert exact(Product(torch.randn(4, 7), torch.randn(7, 9))).b.shape == (4, 4)


def test_merging_to_a_rank_that_suffices_loses_nothing():
    adapters = [toy(1, rank=1), toy(2, rank=2)]
    full = merge(adapters, "linear")
    for rank in (3, "3", "energy:1.0"):
        assert_same(merge(adapters, "linear", rank=rank), full)


def test_kept_energy_is_recorded_and_a_loss_is_named():
    adapters = [toy(1), toy(2)]
    full = deltas(merge(adapters, "ties"))
    with pytest.warns(MergeWarning, match="rank 1 keeps .*% of the merge's energy"):
        small = merge(adapters, "ties", rank=1)
    record = small.recipe["kept_energy"]
    for module, delta in full.items():
        values = np.linalg.svd(delta)[1] ** 2
        assert record["modules"][module] == pytest.approx(values[0] / values.sum(), abs=1e-4)
    assert 0 < record["total"] < 0.95


def test_enough_energy_is_silent(recwarn):
    merged = merge([toy(1), toy(2)], "ties", rank="energy:0.96")
    assert merged.recipe["kept_energy"]["total"] >= 0.96
    assert not recwarn.list
