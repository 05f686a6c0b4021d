from __future__ import annotations

import json
import math
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from langmerge.adapter import Adapter, LoraFactors, ModuleShape
from langmerge.errors import AdapterError, StorageError


def factors(rows=6, columns=5, rank=2, seed=0, scale=1.0, dtype=torch.float32):
    draw = torch.Generator().manual_seed(seed)
    return LoraFactors(
        torch.randn(rank, columns, generator=draw).to(dtype),
        torch.randn(rows, rank, generator=draw).to(dtype),
        scale,
    )


def write(folder, config=None, tensors=None):
    """An adapter folder as PEFT would write it, with some values changed."""
    folder.mkdir(exist_ok=True)
    base = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": "toy"}
    (folder / "adapter_config.json").write_text(json.dumps(base | (config or {})))
    if tensors is None:
        f = factors()
        tensors = {"m.lora_A.weight": f.a, "m.lora_B.weight": f.b}
    save_file(
        {
            f"base_model.model.{name}": tensor.clone().contiguous()
            for name, tensor in tensors.items()
        },
        folder / "adapter_model.safetensors",
    )
    return folder


def test_round_trip(tmp_path):
    made = Adapter.from_factors(
        {"x.q": factors(scale=2.0), "x.k": factors(4, 5, 2, 1, scale=2.0)},
        base_model="toy",
        revision="main",
        recipe={"method": "ties"},
    )
    loaded = Adapter.load(made.save(tmp_path / "a"))
    assert loaded.digest == made.digest
    assert loaded.modules == ("x.k", "x.q")
    assert loaded.shapes["x.q"] == ModuleShape(6, 5, 2)
    assert (loaded.base_model, loaded.revision) == ("toy", "main")
    assert loaded.recipe == {"method": "ties"}
    assert (loaded.config["r"], loaded.config["lora_alpha"]) == (2, 4)
    for module in made.modules:
        assert torch.equal(loaded.factors(module).delta(), made.factors(module).delta())


def test_saving_is_byte_deterministic_and_leaves_no_temporary_files(tmp_path):
    many = {f"m{i}": factors(seed=i) for i in range(5)}
    Adapter.from_factors(many).save(tmp_path / "a")
    Adapter.from_factors(dict(reversed(many.items()))).save(tmp_path / "b")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_dtypes_are_kept(tmp_path):
    made = Adapter.from_factors({"m": factors(dtype=torch.bfloat16)})
    loaded = Adapter.load(made.save(tmp_path / "a"))
    assert loaded.factors("m").a.dtype == torch.bfloat16
    assert loaded.digest == made.digest


def test_the_digest_is_of_contents_not_of_places(tmp_path):
    first = write(tmp_path / "a")
    second = write(tmp_path / "b", {"lora_dropout": 0.3, "base_model_name_or_path": "/elsewhere"})
    other_scale = write(tmp_path / "c", {"lora_alpha": 5})
    digests = [Adapter.load(path).digest for path in (first, second, other_scale)]
    assert digests[0] == digests[1] != digests[2]
    plain = Adapter.from_factors({"m": factors(rank=2)})
    as_embedding = Adapter.from_factors({"m": factors(rank=2)}, embeddings={"m"})
    assert plain.digest != as_embedding.digest


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({}, 2.0),
        ({"use_rslora": True}, 4 / math.sqrt(2)),
        ({"alpha_pattern": {"q_proj": 6}}, 3.0),
        ({"alpha_pattern": {"k_proj": 6}}, 2.0),
        ({"alpha_pattern": {"_proj": 6}}, 2.0),  # whole names only
        ({"alpha_pattern": {r".*\.1\.q_proj": 8, "q_proj": 6}}, 4.0),  # the first match wins
        ({"alpha_pattern": {r"^q_proj": 8}}, 2.0),
        ({"alpha_pattern": {r"^layers.1.q_proj": 8}}, 4.0),
        ({"r": 16, "rank_pattern": {"q_proj": 2}}, 2.0),
        ({"lora_alpha": 3}, 1.5),
    ],
)
def test_scales(tmp_path, config, scale):
    f = factors()
    tensors = {"layers.1.q_proj.lora_A.weight": f.a, "layers.1.q_proj.lora_B.weight": f.b}
    adapter = Adapter.load(write(tmp_path / "a", config, tensors))
    assert adapter.factors("layers.1.q_proj").scale == scale
    assert torch.allclose(adapter.factors("layers.1.q_proj").delta(), scale * f.b @ f.a)


def test_different_ranks_and_scales_survive_saving(tmp_path):
    many = {
        "a.b": factors(rank=2, scale=0.5),
        "x.a.b": factors(rank=3, scale=1 / 3),  # ends with another's name
        "c": factors(rank=2, scale=0.7),
        "d": factors(rank=2, scale=0.5),
    }
    made = Adapter.from_factors(many)
    loaded = Adapter.load(made.save(tmp_path / "a"))
    for module, f in many.items():
        assert loaded.factors(module).scale == pytest.approx(f.scale, rel=1e-15)
        assert loaded.factors(module).a.shape[0] == f.a.shape[0]
    assert loaded.digest == made.digest
    assert (loaded.config["r"], loaded.config["lora_alpha"]) == (2, 1)


def test_embeddings_are_transposed_as_peft_does(tmp_path):
    f = factors(rows=9, columns=4)
    made = Adapter.from_factors({"embed": f}, embeddings={"embed"})
    stored = load_file(made.save(tmp_path / "a") / "adapter_model.safetensors")
    assert stored["base_model.model.embed.lora_embedding_A"].shape == (2, 9)
    assert stored["base_model.model.embed.lora_embedding_B"].shape == (4, 2)
    loaded = Adapter.load(tmp_path / "a")
    assert loaded.embeddings == {"embed"}
    assert loaded.shapes["embed"] == ModuleShape(9, 4, 2)
    assert torch.equal(loaded.factors("embed").delta(), f.delta())
    assert loaded.digest == made.digest


def test_extras_and_names_without_prefix(tmp_path):
    folder = write(tmp_path / "a")
    f = factors()
    head = torch.ones(3)
    save_file(
        {"m.lora_A.weight": f.a, "m.lora_B.weight": f.b, "base_model.model.head.bias": head},
        folder / "adapter_model.safetensors",
    )
    adapter = Adapter.load(folder)
    assert adapter.modules == ("m",)
    assert adapter.extras["head.bias"].shape == (3,)
    assert torch.equal(adapter.extra_tensor("head.bias"), head)
    assert torch.equal(adapter.factors("m").b, f.b)
    assert Adapter.load(adapter.save(tmp_path / "b")).digest == adapter.digest


def test_inspection_reads_no_tensor(tmp_path, monkeypatch):
    folder = write(tmp_path / "a")
    adapter = Adapter.load(folder)
    monkeypatch.setattr(Adapter, "_read", None)
    assert adapter.shapes["m"] == ModuleShape(6, 5, 2)
    assert adapter.scale("m") == 2.0
    assert "1 modules" in repr(adapter)


def test_a_value_does_not_change(tmp_path):
    folder = write(tmp_path / "a")
    adapter = Adapter.load(folder)
    adapter.config["r"] = 99
    assert adapter.config["r"] == 2
    with (folder / "adapter_model.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(AdapterError, match="changed since it was loaded"):
        adapter.factors("m")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3', expected 'LORA'"),
        ({"use_dora": True}, "use_dora is set, .* DoRA also rescales each row"),
        ({"use_qalora": True}, "use_qalora is set"),
        ({"alora_invocation_tokens": [1]}, "aLoRA acts only after"),
        ({"layer_replication": [[0, 1]]}, "repeated layers"),
        ({"target_parameters": ["experts.w"]}, "bare parameters"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights is 'pissa_niter_4', which"),
        ({"r": 3}, "module 'm' has rank 2, but adapter_config.json gives it rank 3"),
        ({"r": 0}, "rank of module 'm' is 0"),
        ({"r": "2"}, "r of 'm' is '2', expected a number"),
        ({"lora_alpha": None}, "lora_alpha of 'm' is None, expected a number"),
        ({"rank_pattern": {"m": 4}}, "gives it rank 4"),
        ({"rank_pattern": {"(": 4}}, "rank_pattern has '\\(', which is no regular expression"),
        ({"rank_pattern": [1]}, r"rank_pattern is \[1\], expected a mapping"),
    ],
)
def test_configurations_that_are_refused(tmp_path, config, message):
    folder = write(tmp_path / "a", config)
    with pytest.raises(AdapterError, match=message) as caught:
        Adapter.load(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


F = factors()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"head.weight": F.a}, "expected LoRA factors, found none"),
        ({"m.lora_A.weight": F.a}, "module 'm' has linear A, expected one A and one B"),
        (
            {"m.lora_A.weight": F.a, "m.lora_B.weight": F.b.T},
            r"A \[2, 5\] and B \[2, 6\], expected A \[rank, in\]",
        ),
        (
            {"m.lora_A.weight": F.a[..., None, None], "m.lora_B.weight": F.b[..., None, None]},
            "expected two matrices",
        ),
        ({"m.lora_A.weight": F.a.int(), "m.lora_B.weight": F.b}, "has dtype I32, expected one"),
        ({"m.lora_A.default.weight": F.a}, "not named as PEFT saves"),
        (
            {
                "m.lora_A.weight": F.a,
                "m.lora_B.weight": F.b,
                "m.lora_magnitude_vector.weight": F.a[0],
            },
            "DoRA also rescales",
        ),
    ],
)
def test_tensors_that_are_refused(tmp_path, tensors, message):
    with pytest.raises(AdapterError, match=message):
        Adapter.load(write(tmp_path / "a", tensors=tensors))


def test_folders_that_are_no_adapters(tmp_path):
    with pytest.raises(AdapterError, match="expected an adapter's folder, found nothing"):
        Adapter.load(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    with pytest.raises(AdapterError, match="expected an adapter's folder, found a file"):
        Adapter.load(tmp_path / "file")
    folder = tmp_path / "a"
    folder.mkdir()
    with pytest.raises(AdapterError, match=r"expected adapter_config.json, found no such file"):
        Adapter.load(folder)
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(AdapterError, match=r"adapter_config.json: cannot be read as JSON"):
        Adapter.load(folder)
    (folder / "adapter_config.json").write_text("[]")
    with pytest.raises(AdapterError, match="expected a JSON object, found list"):
        Adapter.load(folder)
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(AdapterError, match=r"expected adapter_model.safetensors, found no such"):
        Adapter.load(folder)
    (folder / "adapter_model.bin").write_bytes(pickle.dumps({}))
    with pytest.raises(AdapterError, match="pickled weights can run code"):
        Adapter.load(folder)
    (folder / "adapter_model.safetensors").write_bytes(b"no header")
    with pytest.raises(AdapterError, match="cannot be read as safetensors"):
        Adapter.load(folder)


def test_no_factors():
    with pytest.raises(AdapterError, match="found none"):
        Adapter.from_factors({})


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "a").write_text("in the way")
    with pytest.raises(StorageError, match="the adapter cannot be written"):
        Adapter.from_factors({"m": factors()}).save(tmp_path / "a")


@pytest.fixture(scope="module")
def model():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config).eval()


def peft_adapter(model, folder, seed, **config):
    """Train nothing, but save a random adapter with PEFT itself; also its logits."""
    import copy

    import peft

    torch.manual_seed(seed)
    wrapped = peft.get_peft_model(
        copy.deepcopy(model), peft.LoraConfig(task_type="CAUSAL_LM", **config)
    )
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn_like(parameter) / 5)
    wrapped.save_pretrained(folder)
    return wrapped.eval()


def logits(model):
    with torch.no_grad():
        return model(torch.arange(12)[None]).logits


CONFIGS = {
    "plain": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"]},
    "rslora": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "use_rslora": True},
    "patterns": {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": "all-linear",
        "rank_pattern": {"q_proj": 2, r"^model.layers.0.mlp.up_proj": 3},
        "alpha_pattern": {r"model.layers.1.*": 5},
    },
    "embeddings": {"r": 2, "target_modules": ["embed_tokens", "lm_head", "v_proj"]},
}


def fold(model, adapter):
    """The base model with an adapter's deltas added, without PEFT."""
    import copy

    folded = copy.deepcopy(model)
    with torch.no_grad():
        for module in adapter.modules:
            folded.get_submodule(module).weight += adapter.factors(module).delta()
    return folded


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CONFIGS)
def test_adapters_that_peft_saved(tmp_path, model, name):
    wrapped = peft_adapter(model, tmp_path / "a", 0, **CONFIGS[name])
    adapter = Adapter.load(tmp_path / "a")
    folded = fold(model, adapter)
    torch.testing.assert_close(logits(folded), logits(wrapped), atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["linear", "ties", "knots_ties"])
@pytest.mark.parametrize("rank", ["full", 3])
def test_peft_loads_what_was_merged(tmp_path, model, method, rank):
    import copy

    import peft

    from langmerge.merging import merge

    for name in ("plain", "patterns", "rslora"):
        peft_adapter(model, tmp_path / name, len(name), **CONFIGS[name])
    merged = merge([tmp_path / n for n in ("plain", "patterns", "rslora")], method, rank=rank)
    merged.save(tmp_path / "merged")
    loaded = peft.PeftModel.from_pretrained(copy.deepcopy(model), tmp_path / "merged").eval()
    torch.testing.assert_close(logits(loaded), logits(fold(model, merged)), atol=1e-5, rtol=1e-4)
    assert (logits(loaded) - logits(model)).abs().max() > 1e-3


@pytest.mark.filterwarnings("ignore")
def test_peft_loads_embeddings(tmp_path, model):
    import copy

    import peft

    made = Adapter.from_factors(
        {"model.embed_tokens": factors(40, 16, 3), "lm_head": factors(40, 16, 2)},
        embeddings={"model.embed_tokens"},
    )
    made.save(tmp_path / "a")
    loaded = peft.PeftModel.from_pretrained(copy.deepcopy(model), tmp_path / "a").eval()
    torch.testing.assert_close(logits(loaded), logits(fold(model, made)), atol=1e-5, rtol=1e-4)
