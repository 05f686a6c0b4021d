"""Inputs that do not merge, what is recorded, and where other tools go wrong."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from langmerge.adapter import Adapter, LoraFactors
from langmerge.errors import AdapterError, MergeError
from langmerge.merging import merge, methods

from .toys import SHAPES, assert_same, deltas, factors, toy


def test_base_models_that_differ():
    one = Adapter.from_factors({"m": factors(4, 3, 1, 0)}, base_model="org/gemma")
    two = Adapter.from_factors({"m": factors(4, 3, 1, 1)}, base_model="org/llama")
    with pytest.raises(MergeError, match=r"its base model is 'org/llama', but .* 'org/gemma'"):
        merge([one, two])


def test_a_base_model_by_name_and_by_path():
    one = Adapter.from_factors({"m": factors(4, 3, 1, 0)}, base_model="org/gemma")
    two = Adapter.from_factors({"m": factors(4, 3, 1, 1)}, base_model="/models/gemma/")
    merge([one, two])


def test_revisions_that_differ():
    one, two = (
        Adapter.from_factors({"m": factors(4, 3, 1, 0)}, base_model="x", revision=revision)
        for revision in ("main", "v2")
    )
    with pytest.raises(MergeError, match=r"revision 'v2' of its base, but .* on 'main'"):
        merge([one, two])


def test_shapes_that_differ():
    other = toy(2, shapes=SHAPES | {"layers.1.q_proj": (13, 8)})
    with pytest.raises(MergeError, match=r"module 'layers.1.q_proj' is 13 x 8, but 12 x 8"):
        merge([toy(1), other])


def test_an_embedding_and_a_linear_layer():
    one = Adapter.from_factors({"m": factors(4, 3, 1, 0)}, embeddings={"m"})
    two = Adapter.from_factors({"m": factors(4, 3, 1, 1)})
    with pytest.raises(MergeError, match="is an embedding in one adapter"):
        merge([one, two])


def test_extras_are_kept_if_equal_and_refused_if_not():
    def adapter(seed, value):
        head = {"score.weight": torch.full((2, 3), value)}
        return Adapter.from_factors({"m": factors(4, 3, 1, seed)}, extras=head)

    merged = merge([adapter(0, 1.0), adapter(1, 1.0)])
    assert torch.equal(merged.extra_tensor("score.weight"), torch.ones(2, 3))
    with pytest.raises(MergeError, match=r"'score.weight' is no LoRA factor .* different in"):
        merge([adapter(0, 1.0), adapter(1, 2.0)])
    with pytest.raises(MergeError, match="not in <memory>"):
        merge([adapter(0, 1.0), Adapter.from_factors({"m": factors(4, 3, 1, 1)})])


def test_embeddings_are_merged_like_any_module():
    adapters = [
        Adapter.from_factors({"embed": factors(20, 6, 2, seed)}, embeddings={"embed"})
        for seed in range(2)
    ]
    merged = merge(adapters, "linear")
    assert merged.embeddings == {"embed"}
    mean = sum(deltas(adapter)["embed"] for adapter in adapters) / 2
    np.testing.assert_allclose(deltas(merged)["embed"], mean, atol=1e-6)


def test_a_device_that_is_not_there():
    with pytest.raises(MergeError, match="device is 'gpu', which torch cannot use"):
        merge([toy(1)], device="gpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("method", [info.name for info in methods()])
def test_a_gpu_gives_the_same_merge(method):
    adapters = [toy(seed) for seed in range(3)]
    assert_same(merge(adapters, method, device="cuda"), merge(adapters, method), rtol=1e-4)


def test_progress_and_record():
    seen = []
    adapters = [toy(1), toy(2)]
    merged = merge(adapters, "ties", density=0.5, on_progress=lambda *x: seen.append(x))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    record = merged.recipe
    assert record["recipe"] == {
        "method": "ties",
        "density": 0.5,
        "lambda": 1.0,
        "normalize": True,
        "rescale": "none",
        "trim": "tensor",
        "zero_sign": "plus",
        "weights": [1.0, 1.0],
        "rank": "full",
        "space": "dense",
        "seed": 0,
    }
    assert record["adapters"] == sorted(adapter.digest for adapter in adapters)
    assert set(record["versions"]) == {"langmerge", "torch"}


def test_saved_merges_are_equal_byte_by_byte(tmp_path):
    for name, adapters in (("x", [toy(1), toy(2)]), ("y", [toy(2), toy(1)])):
        merge(adapters, "dare_ties", density=0.5).save(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "x").iterdir())
    assert files == ["adapter_config.json", "adapter_model.safetensors", "langmerge_recipe.json"]
    for name in files:
        assert (tmp_path / "x" / name).read_bytes() == (tmp_path / "y" / name).read_bytes()
    assert json.loads((tmp_path / "x/langmerge_recipe.json").read_text())["recipe"]["seed"] == 0


def test_ranks_of_linear_and_knots_merges_add_up():
    shapes = {"m": (30, 40)}
    adapters = [toy(1, rank=2, shapes=shapes), toy(2, rank=3, shapes=shapes)]
    assert merge(adapters, "linear").shapes["m"].rank == 5
    assert merge(adapters, "knots_ties").shapes["m"].rank == 5
    assert merge(adapters, "ties").shapes["m"].rank == 30


def test_common_rank_is_written_plainly():
    merged = merge([toy(1), toy(2)], "ties", rank=2)
    assert merged.config["r"] == merged.config["lora_alpha"] == 2
    assert not merged.config["rank_pattern"]
    assert not merged.config["alpha_pattern"]


# Defects of other tools (docs: why langmerge merges task vectors), each with a test of ours.


def test_linear_merges_task_vectors_not_factors():
    """PEFT's `linear` averages A and B apart; the cosine to the true mean is near 0.6."""
    adapters = [toy(seed) for seed in range(3)]
    merged = deltas(merge(adapters, "linear"))
    for module, found in merged.items():
        true = sum(deltas(adapter)[module] for adapter in adapters) / 3
        cosine = (found * true).sum() / np.linalg.norm(found) / np.linalg.norm(true)
        assert cosine > 1 - 1e-6


def test_rslora_is_scaled_once(tmp_path):
    """PEFT overscales a merge of rslora adapters by sqrt(r)."""
    path = toy(1, rank=4).save(tmp_path / "a")
    config = json.loads((path / "adapter_config.json").read_text())
    config |= {"use_rslora": True, "lora_alpha": 8}
    (path / "adapter_config.json").write_text(json.dumps(config))
    adapter = Adapter.load(path)
    assert adapter.scale("layers.0.q_proj") == 8 / math.sqrt(4)
    assert_same(merge([adapter], "linear"), adapter)


def test_weights_are_not_cut_silently():
    """PEFT cuts a short list of weights."""
    with pytest.raises(MergeError, match="found 1 weights for 2 adapters"):
        merge([toy(1), toy(2)], "linear", weights=[1.0])


def test_an_adapter_retrained_in_place_is_seen(tmp_path):
    """mergekit's cache key is the path: a retrained adapter merges in its old version."""
    toy(1).save(tmp_path / "a")
    first = merge([tmp_path / "a", toy(3)], "linear")
    toy(2).save(tmp_path / "a")
    second = merge([tmp_path / "a", toy(3)], "linear")
    assert first.digest != second.digest
    assert_same(second, merge([toy(2), toy(3)], "linear"))


def test_small_deltas_of_half_precision_adapters_are_exact():
    """mergekit takes deltas in bf16: 3 to 32% error at a delta of 1e-3 to 1e-4."""
    made = factors(12, 8, 2, 0, scale=1e-4, dtype=torch.bfloat16)
    adapter = Adapter.from_factors({"m": made})
    found = deltas(merge([adapter], "ties"))["m"]
    np.testing.assert_allclose(found, deltas(adapter)["m"], rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nan_is_named_not_passed_on(value, tmp_path):
    """mergekit passes NaN on in silence."""
    bad = factors(4, 3, 1, 0)
    bad.b[2, 0] = value
    path = Adapter.from_factors({"layers.3.o_proj": bad}).save  # saving reads, and so refuses
    with pytest.raises(AdapterError, match=r"layers.3.o_proj.lora_B.weight' holds NaN"):
        path(tmp_path / "a")
    adapter = Adapter.from_factors({"layers.3.o_proj": LoraFactors(bad.a, bad.b)})
    with pytest.raises(AdapterError, match="holds NaN or infinity"):
        merge([adapter, toy(1)])


def test_the_smallest_density_keeps_an_entry():
    """PEFT gives NaN at density 0; here 0 is refused and the smallest keeps one entry."""
    found = deltas(merge([toy(1)], "ties", density=1e-9))
    assert all(np.count_nonzero(delta) == 1 for delta in found.values())
