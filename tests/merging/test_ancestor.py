"""Merging the differences to a common ancestor, and adding it back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from langmerge.adapter import Adapter, LoraFactors
from langmerge.errors import MergeError
from langmerge.merging import inspect_adapters, into_model, merge, methods
from langmerge.merging.merger import MergeWarning
from langmerge.merging.random import mask_key, uniform_bits
from langmerge.merging.vectors import Tile

from . import oracles
from .toys import SHAPES, assert_same, deltas, factors, toy

EVERY = [info.name for info in methods()]
WEIGHTS = [1.0, 2.0, 0.5]
SPACES = ["dense", "svd", "core"]


def descendant(ancestor, seed, step=0.3):
    """An adapter some way from the ancestor, in both factors, with the ancestor's scales."""
    made = {}
    for i, module in enumerate(ancestor.modules):
        start = ancestor.factors(module)
        rank, rows, columns = start.a.shape[0], start.b.shape[0], start.a.shape[1]
        move = factors(rows, columns, rank, 77 * seed + i)
        made[module] = LoraFactors(start.a + step * move.a, start.b + step * move.b, start.scale)
    return Adapter.from_factors(made, base_model="toy")


@pytest.fixture(scope="module")
def ancestor():
    return toy(9, scale=0.5)


@pytest.fixture(scope="module")
def adapters(ancestor):
    return [descendant(ancestor, seed) for seed in (1, 2, 3)]


def whole(name):
    info = next(info for info in methods() if info.name == name)
    return {"density": 1.0} if any(p.name == "density" for p in info.parameters) else {}


def check(merged, adapters, ancestor, oracle, tolerance=3e-6):
    """Compare with an oracle of the differences, in float64."""
    start = deltas(ancestor)
    each = [deltas(adapter) for adapter in adapters]
    for module, found in deltas(merged).items():
        expected = start[module] + oracle([d[module] - start[module] for d in each])
        assert np.abs(found - expected).max() <= tolerance * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("name", [name for name in EVERY if name != "iso_c"])
def test_a_single_descendant_merges_to_itself(name, ancestor, adapters):
    assert_same(merge(adapters[:1], name, ancestor=ancestor, **whole(name)), adapters[0])


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", ["linear", "ties"])
def test_a_single_descendant_merges_to_itself_in_every_space(name, space, ancestor, adapters):
    assert_same(merge(adapters[:1], name, space=space, ancestor=ancestor), adapters[0])


@pytest.mark.parametrize("name", EVERY)
def test_an_ancestor_that_changes_nothing_changes_no_bit(name, ancestor, adapters):
    made = {
        module: LoraFactors(found.a, torch.zeros_like(found.b), found.scale)
        for module in ancestor.modules
        for found in [ancestor.factors(module)]
    }
    nothing = Adapter.from_factors(made, base_model="toy")
    plain = merge(adapters, name, weights=WEIGHTS)
    assert merge(adapters, name, weights=WEIGHTS, ancestor=nothing).digest == plain.digest


@pytest.mark.parametrize("name", EVERY)
def test_the_order_of_descendants_changes_no_bit(name, ancestor, adapters):
    first = merge(adapters, name, weights=WEIGHTS, ancestor=ancestor)
    second = merge(adapters[::-1], name, weights=WEIGHTS[::-1], ancestor=ancestor)
    assert first.digest == second.digest
    assert first.recipe == second.recipe


@pytest.mark.filterwarnings("ignore::langmerge.merging.engine.MergeWarning")
@pytest.mark.parametrize("name", [name for name in EVERY if name != "iso_c"])
def test_the_ancestor_itself_merges_to_itself(name, ancestor):
    """No language has learned anything more: all task vectors are zero."""
    assert_same(merge([ancestor] * 2, name, ancestor=ancestor, **whole(name)), ancestor)


def test_a_mean_does_not_see_where_its_members_started(ancestor, adapters):
    merged = merge(adapters, "linear", weights=WEIGHTS, ancestor=ancestor)
    assert merged.digest == merge(adapters, "linear", weights=WEIGHTS).digest
    ranks = {shape.rank for shape in merged.shapes.values()}
    assert ranks == {6}  # of the adapters alone: the ancestor's share of a mean is none


def test_linear(ancestor, adapters):
    merged = merge(adapters, "linear", weights=WEIGHTS, lambda_=0.7, ancestor=ancestor)
    check(merged, adapters, ancestor, lambda d: oracles.linear(d, WEIGHTS, 0.7))


def test_task_arithmetic(ancestor, adapters):
    weights = [1.0, -1.0, 0.5]
    merged = merge(adapters, "task_arithmetic", weights=weights, lambda_=0.4, ancestor=ancestor)
    check(merged, adapters, ancestor, lambda d: oracles.task_arithmetic(d, weights, 0.4))


@pytest.mark.parametrize("density", [0.2, 0.5, 1.0])
def test_ties(ancestor, adapters, density):
    merged = merge(
        adapters, "ties", weights=WEIGHTS, density=density, lambda_=1.3, ancestor=ancestor
    )
    check(merged, adapters, ancestor, lambda d: oracles.ties(d, WEIGHTS, density, 1.3))


def test_ties_trimmed_over_the_model(ancestor, adapters):
    merged = merge(adapters, "ties", density=0.3, trim="model", ancestor=ancestor)
    start = deltas(ancestor)
    trimmed = [
        oracles.trim_over_the_model({m: d - start[m] for m, d in deltas(adapter).items()}, 0.3)
        for adapter in adapters
    ]
    for module, found in deltas(merged).items():
        moved = oracles.elect_and_merge([t[module] for t in trimmed], [1.0] * 3)
        np.testing.assert_allclose(found, start[module] + moved, atol=3e-5)


@pytest.mark.parametrize("name", ["linear", "ties"])
def test_layers_scale_what_was_learned_since(name, ancestor, adapters):
    scales = {"layers.0.q_proj": 0.5, "layers.0.down_proj": 0.5, "layers.1.q_proj": 2.0}
    merged = merge(adapters, name, layer_scales=[0.5, 2.0], ancestor=ancestor)
    plain, start = deltas(merge(adapters, name, ancestor=ancestor)), deltas(ancestor)
    for module, found in deltas(merged).items():
        expected = start[module] + scales[module] * (plain[module] - start[module])
        np.testing.assert_allclose(found, expected, atol=3e-5)


@pytest.mark.parametrize("density", [0.4, 1.0])
def test_knots(ancestor, adapters, density):
    merged = merge(adapters, "knots_ties", weights=WEIGHTS, density=density, ancestor=ancestor)
    check(
        merged,
        adapters,
        ancestor,
        lambda d: oracles.knots(d, lambda parts: oracles.ties(parts, WEIGHTS, density)),
        tolerance=2e-5,
    )


def test_dare(ancestor, adapters):
    """A mask is drawn by the descendant's digest, whatever it descends from."""
    merged = merge(adapters, "dare_linear", weights=WEIGHTS, density=0.6, seed=5, ancestor=ancestor)
    start = deltas(ancestor)
    limit = round(0.6 * 2**32) - 2**31
    for module, found in deltas(merged).items():
        rows, columns = found.shape
        kept = []
        for adapter in adapters:
            key = mask_key(5, adapter.digest, module)
            bits = uniform_bits(key, Tile(0, rows, 0, columns), columns, torch.device("cpu"))
            moved = deltas(adapter)[module] - start[module]
            kept.append(moved * (bits < limit).numpy() / 0.6)
        expected = start[module] + oracles.linear(kept, WEIGHTS)
        assert np.abs(found - expected).max() <= 3e-6 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("rank", [12, "energy:0.999999"])
def test_a_compressed_merge_holds_the_ancestor_too(ancestor, adapters, rank):
    whole_merge = merge(adapters, "ties", density=0.5, ancestor=ancestor)
    assert_same(
        merge(adapters, "ties", density=0.5, ancestor=ancestor, rank=rank), whole_merge, rtol=1e-2
    )


def test_a_low_rank_keeps_the_best_of_the_sum(ancestor, adapters):
    with pytest.warns(MergeWarning):
        merged = merge(adapters, "task_arithmetic", ancestor=ancestor, rank=1)
    expected = deltas(merge(adapters, "task_arithmetic", ancestor=ancestor))
    for module, found in deltas(merged).items():
        u, s, vt = np.linalg.svd(expected[module])
        best = s[0] * np.outer(u[:, 0], vt[0])
        assert np.linalg.norm(found - best) <= 1e-3 * np.linalg.norm(best)


def test_the_record_names_the_ancestor(ancestor, adapters, tmp_path):
    merged = merge(adapters, "ties", ancestor=ancestor.save(tmp_path / "ancestor"))
    assert merged.recipe["ancestor"] == ancestor.digest
    assert "ancestor" not in merge(adapters, "ties").recipe


def test_a_descendant_may_adapt_more_than_its_ancestor(adapters):
    shapes = {name: shape for name, shape in SHAPES.items() if "layers.0" in name}
    start = toy(9, scale=0.5, shapes=shapes)
    merged = merge(adapters, "task_arithmetic", ancestor=start)
    begun = deltas(start)
    for module, found in deltas(merged).items():
        zero = np.zeros_like(found)
        moved = sum(deltas(a)[module] - begun.get(module, zero) for a in adapters)
        expected = begun.get(module, zero) + moved
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_into_a_checkpoint(tiny_base_folder, tiny_base, tmp_path):
    """The checkpoint is the base plus what the merged adapter adds."""
    from safetensors.torch import load_file

    sizes = {
        name: tuple(tiny_base.module(name).weight.shape)
        for name in ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj")
    }
    start = toy(9, scale=0.01, shapes=sizes)
    members = [descendant(start, seed) for seed in (1, 2)]
    merged = merge(members, "ties", density=0.5, ancestor=start)
    out = into_model(
        members, tiny_base_folder, tmp_path / "out", "ties", density=0.5, ancestor=start
    )
    before = load_file(tiny_base_folder / "model.safetensors")
    after = load_file(out / "model.safetensors")
    for name, delta in deltas(merged).items():
        change = (after[f"{name}.weight"] - before[f"{name}.weight"]).double().numpy()
        np.testing.assert_allclose(change, delta, atol=1e-6)


@pytest.mark.parametrize(
    ("start", "complaint"),
    [
        (toy(9, shapes={**SHAPES, "layers.0.q_proj": (12, 9)}), "12 x 9"),
        (toy(9, shapes={**SHAPES, "layers.2.q_proj": (12, 8)}), "'layers.2.q_proj', which"),
        (Adapter.from_factors({"layers.0.q_proj": factors(12, 8, 2, 1)}, base_model="x/y"), "x/y"),
    ],
)
def test_an_ancestor_that_does_not_fit_is_refused_in_one_line(adapters, start, complaint):
    with pytest.raises(MergeError) as refusal:
        merge(adapters, "ties", ancestor=start)
    message = str(refusal.value)
    assert message.startswith("ancestor ")
    assert complaint in message
    assert "\n" not in message
    assert any(complaint in problem for problem in inspect_adapters(adapters, start).problems)


def test_an_ancestor_that_is_not_there_is_a_problem(adapters, tmp_path):
    report = inspect_adapters(adapters, tmp_path / "none")
    assert any("none" in problem for problem in report.problems)
