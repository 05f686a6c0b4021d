"""Merging into a checkpoint: equal to PEFT's model, streamed, whatever the layout of the base."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from langmerge.adapter import Adapter
from langmerge.errors import MergeError, StorageError
from langmerge.merging import full_model, into_model, merge

from .toys import factors

TOKENS = torch.tensor([[1, 5, 9, 30, 7, 22], [1, 4, 100, 3, 60, 8]])


def trained_by_peft(base, folder, seed, targets="all-linear"):
    """An adapter that PEFT made and saved, with random values in place of training."""
    model = AutoModelForCausalLM.from_pretrained(base)
    model = get_peft_model(
        model, LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM")
    )
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = 0.05 * torch.randn(parameter.shape, generator=draw)
    model.save_pretrained(folder)
    return folder


def logits(model):
    with torch.inference_mode():
        return model.eval()(TOKENS).logits


def peft_logits(base, merged, folder):
    merged.save(folder)
    return logits(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder))


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3"])
def test_logits_are_those_of_peft(tiny_base_folders, tmp_path, family):
    base = tiny_base_folders(family)
    adapters = [trained_by_peft(base, tmp_path / str(seed), seed) for seed in range(2)]
    expected = peft_logits(base, merge(adapters, "ties", density=0.5), tmp_path / "merged")
    out = into_model(adapters, base, tmp_path / "model", "ties", density=0.5)
    found = logits(AutoModelForCausalLM.from_pretrained(out))
    assert not torch.allclose(found, logits(AutoModelForCausalLM.from_pretrained(base)), atol=1e-2)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert (out / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()
    assert (out / "config.json").read_bytes() == (base / "config.json").read_bytes()


@pytest.mark.parametrize("targets", [["embed_tokens"], ["lm_head"], ["embed_tokens", "q_proj"]])
@pytest.mark.filterwarnings("ignore")
def test_tied_weights_become_two_where_one_of_them_changes(tiny_base_folders, tmp_path, targets):
    base = tiny_base_folders("gemma3")
    adapters = [trained_by_peft(base, tmp_path / str(seed), seed, targets) for seed in range(2)]
    adapters = [without_extras(adapter) for adapter in adapters]
    expected = peft_logits(base, merge(adapters, "linear"), tmp_path / "merged")
    out = into_model(adapters, base, tmp_path / "model", "linear")
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is False
    found = logits(AutoModelForCausalLM.from_pretrained(out))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def without_extras(folder):
    """The adapter without the copy of the embeddings that PEFT saves beside it."""
    found = Adapter.load(folder)
    return Adapter.from_factors(
        {module: found.factors(module) for module in found.modules}, embeddings=found.embeddings
    )


@pytest.mark.parametrize("family", ["llama", "gemma3"])
@pytest.mark.filterwarnings("ignore")
def test_copies_of_embeddings_that_peft_saves(tiny_base_folders, tmp_path, family):
    base = tiny_base_folders(family)
    adapters = [
        trained_by_peft(base, tmp_path / str(seed), seed, ["embed_tokens"]) for seed in range(2)
    ]
    merged = merge(adapters, "linear")
    assert merged.extras, "this PEFT saves no copy of the embeddings"
    expected = peft_logits(base, merged, tmp_path / "merged")
    out = into_model(adapters, base, tmp_path / "model", "linear")
    found = logits(AutoModelForCausalLM.from_pretrained(out))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def sharded(base, folder, dtype=torch.float32):
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    model.save_pretrained(folder, max_shard_size="100KB")
    return folder


def toys_for(base, count=2):
    """Adapters of every attention query of a checkpoint."""
    tensors = {}
    for file in base.glob("*.safetensors"):
        tensors |= load_file(file)
    shapes = {n: t.shape for n, t in tensors.items() if n.endswith("q_proj.weight")}
    return [
        Adapter.from_factors(
            {
                name.removesuffix(".weight"): factors(*shape, 3, 100 * seed + i, 1e-2)
                for i, (name, shape) in enumerate(shapes.items())
            }
        )
        for seed in range(count)
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_shards_index_and_dtype_are_kept_and_each_weight_is_rounded_once(
    tiny_base_folder, tmp_path, dtype
):
    base = sharded(tiny_base_folder, tmp_path / "base", dtype)
    adapters = toys_for(base)
    seen = []
    out = into_model(
        adapters, base, tmp_path / "out", "ties", density=0.3, on_progress=lambda *x: seen.append(x)
    )
    index = "model.safetensors.index.json"
    before, after = (json.loads((folder / index).read_text()) for folder in (base, out))
    assert before["weight_map"] == after["weight_map"]
    assert len(set(after["weight_map"].values())) > 1
    assert before["metadata"]["total_size"] == after["metadata"]["total_size"]
    assert seen[-1] == (len(after["weight_map"]), len(after["weight_map"]))
    exact = merge(adapters, "ties", density=0.3)
    for file in sorted(set(after["weight_map"].values())):
        old, new = load_file(base / file), load_file(out / file)
        assert old.keys() == new.keys()
        for name, tensor in new.items():
            assert tensor.dtype == dtype
            module = name.removesuffix(".weight")
            expected = old[name]
            if module in exact.modules:
                change = exact.factors(module).delta()
                expected = (old[name].float() + change).to(dtype)
            assert torch.equal(tensor, expected), name


def test_equal_inputs_give_equal_bytes(tiny_base_folder, tmp_path):
    base = sharded(tiny_base_folder, tmp_path / "base")
    adapters = toys_for(base)
    one = into_model(adapters, base, tmp_path / "one", "dare_ties", workers=1)
    two = into_model(adapters[::-1], base, tmp_path / "two", "dare_ties", workers=3)
    assert sorted(p.name for p in one.iterdir()) == sorted(p.name for p in two.iterdir())
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes(), path.name


def test_a_compressed_merge_and_the_record(tiny_base_folder, tmp_path):
    adapters = toys_for(tiny_base_folder)
    out = into_model(adapters, tiny_base_folder, tmp_path / "out", "linear", rank=6)
    full = into_model(adapters, tiny_base_folder, tmp_path / "full", "linear")
    small, exact = (load_file(folder / "model.safetensors") for folder in (out, full))
    for name in exact:
        np.testing.assert_allclose(small[name], exact[name], atol=1e-5)
    record = json.loads((out / "langmerge_recipe.json").read_text())
    assert record["recipe"]["rank"] == 6
    assert record["adapters"] == sorted(adapter.digest for adapter in adapters)
    assert len(record["base"]["weights"]) == 64


def test_transposed_weights(tmp_path):
    """GPT-2 stores its weights transposed; adapters say so by fan_in_fan_out."""
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    weight = torch.randn(8, 12)
    save_file({"h.0.c_attn.weight": weight}, base / "model.safetensors")
    adapter = Adapter.from_factors(
        {"transformer.h.0.c_attn": factors(12, 8, 2, 0)}, fan_in_fan_out=True
    )
    out = into_model([adapter], base, tmp_path / "out", "linear")
    change = adapter.factors("transformer.h.0.c_attn").delta().T
    found = load_file(out / "model.safetensors")["h.0.c_attn.weight"]
    torch.testing.assert_close(found, weight + change)


def one_weight(folder, config="{}", shape=(12, 8), name="m.weight"):
    folder.mkdir()
    (folder / "config.json").write_text(config)
    save_file({name: torch.zeros(shape)}, folder / "model.safetensors")
    return folder


def test_whole_modules_that_all_adapters_share_replace_the_base(tmp_path):
    base = one_weight(tmp_path / "base", name="score.weight", shape=(2, 3))
    tensors = load_file(base / "model.safetensors") | {"m.weight": torch.zeros(12, 8)}
    save_file(tensors, base / "model.safetensors")
    adapters = [
        Adapter.from_factors(
            {"m": factors(12, 8, 2, seed)}, extras={"score.weight": torch.ones(2, 3)}
        )
        for seed in range(2)
    ]
    out = into_model(adapters, base, tmp_path / "out", "linear")
    assert load_file(out / "model.safetensors")["score.weight"].min() == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (13, 8)}, "'m.weight' is 13 x 8, but the adapters change 12 x 8; .*added tok"),
        ({"name": "n.weight"}, "has no tensor 'm.weight', which the adapters change; did you mean"),
        ({"config": '{"quantization_config": {"bits": 4}}'}, "its weights are quantized"),
        ({"config": "[]"}, "expected a JSON object"),
        ({"config": "{"}, "cannot be read as JSON"),
    ],
)
def test_bases_that_do_not_fit(tmp_path, change, message):
    base = one_weight(tmp_path / "base", **change)
    adapter = Adapter.from_factors({"m": factors(12, 8, 2, 0)})
    with pytest.raises(MergeError, match=message):
        into_model([adapter], base, tmp_path / "out", "linear")
    assert not (tmp_path / "out").exists()


def test_a_weight_beyond_its_dtype_is_named(tmp_path):
    base = one_weight(tmp_path / "base")
    save_file({"m.weight": torch.zeros(12, 8).half()}, base / "model.safetensors")
    adapter = Adapter.from_factors({"m": factors(12, 8, 2, 0, scale=1e6)})
    with pytest.raises(MergeError, match=r"'m.weight' plus the merge is beyond what torch.float16"):
        into_model([adapter], base, tmp_path / "out", "linear")
    assert not (tmp_path / "out" / "config.json").exists()
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_bases_that_are_no_checkpoint(tmp_path):
    adapter = Adapter.from_factors({"m": factors(12, 8, 2, 0)})
    with pytest.raises(MergeError, match="fetch a model of the Hub first"):
        into_model([adapter], "org/model", tmp_path / "out", "linear")
    base = one_weight(tmp_path / "base")
    (base / "model.safetensors").write_bytes(b"")
    with pytest.raises(MergeError, match="cannot be read as safetensors"):
        into_model([adapter], base, tmp_path / "out", "linear")
    (base / "model.safetensors").unlink()
    with pytest.raises(MergeError, match="found neither; save the model"):
        into_model([adapter], base, tmp_path / "out", "linear")


def test_a_folder_that_holds_something_and_a_full_disk(tmp_path, monkeypatch):
    base = one_weight(tmp_path / "base")
    adapter = Adapter.from_factors({"m": factors(12, 8, 2, 0)})
    with pytest.raises(StorageError, match="already there, left as it is"):
        into_model([adapter], base, base, "linear")
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(full_model.Checkpoint, "size", property(lambda self: 10**6))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StorageError, match=r"takes 0.0 GiB, the disk has 0.0 GiB left"):
        into_model([adapter], base, tmp_path / "out", "linear")
