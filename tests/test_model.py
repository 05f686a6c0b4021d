from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from langmerge.adapter import Adapter, LoraFactors
from langmerge.base import resolve_base
from langmerge.errors import AdapterError, BaseModelError
from langmerge.model import folded, load_base, refuse_unknown_head, save_merged_checkpoint

IDS = torch.tensor([[1, 50, 60, 70]])
Q_PROJ = "model.layers.0.self_attn.q_proj"
DOWN_PROJ = "model.layers.1.mlp.down_proj"


def random_adapter(base, modules, rank=3, scale=0.7):
    generator = torch.Generator().manual_seed(3)
    factors = {}
    for name in modules:
        out, into = base.module(name).weight.shape
        a = torch.randn(rank, into, generator=generator)
        b = torch.randn(out, rank, generator=generator)
        factors[name] = LoraFactors(a, b, scale)
    embeddings = [m for m in modules if isinstance(base.module(m), torch.nn.Embedding)]
    return Adapter.from_factors(factors, embeddings=embeddings)


def logits(base):
    with torch.inference_mode():
        return base.model(IDS).logits


def weights(base):
    return {name: tensor.clone() for name, tensor in base.model.state_dict().items()}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def resolved(folder, tmp_path):
    return resolve_base(str(folder), tmp_path, tmp_path / "cache")


def test_a_base_is_loaded_frozen(tiny_base):
    assert not tiny_base.model.training
    assert not any(parameter.requires_grad for parameter in tiny_base.model.parameters())
    assert (tiny_base.device.type, tiny_base.dtype) == ("cpu", torch.float32)


def test_a_dtype_may_be_chosen(tiny_base_folder, tmp_path):
    base = load_base(resolved(tiny_base_folder, tmp_path), "cpu", "bfloat16")
    assert base.dtype == torch.bfloat16


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3"])
def test_body_and_head_are_the_model(tiny_bases, family):
    base = tiny_bases(family)
    with torch.inference_mode():
        torch.testing.assert_close(base.logits(base.hidden_states(IDS)), logits(base))


@pytest.mark.parametrize(
    ("setting", "change"),
    [
        ("final_logit_softcapping", lambda x: torch.tanh(x / 0.1) * 0.1),
        ("logit_scale", lambda x: x * 0.1),
        ("logits_scaling", lambda x: x / 0.1),
    ],
)
def test_what_architectures_do_to_logits(tiny_base, monkeypatch, setting, change):
    hidden = torch.randn(2, 64)
    plain = tiny_base.logits(hidden)
    monkeypatch.setattr(tiny_base.model.config, setting, 0.1, raising=False)
    torch.testing.assert_close(tiny_base.logits(hidden), change(plain))


def test_a_head_that_does_more_is_refused(tiny_base):
    def doubled(module, inputs, output):
        output.logits = output.logits * 2
        return output

    refuse_unknown_head(tiny_base)
    hook = tiny_base.model.register_forward_hook(doubled)
    try:
        with pytest.raises(BaseModelError, match="LlamaForCausalLM computes its logits"):
            refuse_unknown_head(tiny_base)
    finally:
        hook.remove()


@pytest.mark.parametrize("rank", [3, 80])
def test_folding_adds_the_task_vectors(tiny_base, rank):
    adapter = random_adapter(tiny_base, [Q_PROJ, DOWN_PROJ], rank)
    before, output = weights(tiny_base), logits(tiny_base)
    with folded(tiny_base, adapter):
        for name, weight in weights(tiny_base).items():
            module = name.removesuffix(".weight")
            expected = before[name]
            if module in adapter.modules:
                expected = expected + adapter.factors(module).delta()
            assert torch.equal(weight, expected)
        assert not torch.allclose(logits(tiny_base), output)
    assert same(weights(tiny_base), before)


def test_folding_nothing_changes_nothing(tiny_base):
    before = weights(tiny_base)
    with folded(tiny_base, None) as base:
        assert same(weights(base), before)


def test_half_precision_comes_back_bit_for_bit(tiny_base_folder, tmp_path):
    base = load_base(resolved(tiny_base_folder, tmp_path), "cpu", "bfloat16")
    before = weights(base)
    adapter = random_adapter(base, [Q_PROJ])
    with folded(base, adapter):
        weight = base.module(Q_PROJ).weight
        exact = before[f"{Q_PROJ}.weight"].float() + adapter.factors(Q_PROJ).delta()
        assert torch.equal(weight, exact.bfloat16())
    assert same(weights(base), before)


def test_an_error_inside_the_block_restores_too(tiny_base):
    before = weights(tiny_base)
    with pytest.raises(RuntimeError), folded(tiny_base, random_adapter(tiny_base, [Q_PROJ])):
        raise RuntimeError
    assert same(weights(tiny_base), before)


def test_a_tied_weight_changes_in_the_named_module_alone(tiny_bases):
    base = tiny_bases("gemma3")
    embedding, head = base.model.get_input_embeddings(), base.model.get_output_embeddings()
    assert embedding.weight is head.weight
    with folded(base, random_adapter(base, ["lm_head"])):
        assert embedding.weight is not head.weight
        assert not torch.equal(embedding.weight, head.weight)
    assert embedding.weight is head.weight


def test_an_embedding_takes_an_adapter(tiny_base):
    name = "model.embed_tokens"
    adapter = random_adapter(tiny_base, [name])
    before = tiny_base.module(name).weight.clone()
    with folded(tiny_base, adapter):
        found = tiny_base.module(name).weight
        torch.testing.assert_close(found, before + adapter.factors(name).delta())


def test_names_with_pefts_prefix(tiny_base):
    assert tiny_base.module(f"base_model.model.{Q_PROJ}") is tiny_base.module(Q_PROJ)


def test_an_adapter_of_another_base_is_refused(tiny_base):
    one = LoraFactors(torch.ones(1, 64), torch.ones(64, 1))
    before = weights(tiny_base)
    unknown = Adapter.from_factors({Q_PROJ: one, "model.layers.9.self_attn.q_proj": one})
    with pytest.raises(AdapterError, match=r"layers\.9.*did you mean"), folded(tiny_base, unknown):
        pass
    wrong = Adapter.from_factors({DOWN_PROJ: one})
    with pytest.raises(AdapterError, match=r"\(64, 64\).*\(64, 128\)"), folded(tiny_base, wrong):
        pass
    norm = Adapter.from_factors({"model.norm": one})
    with pytest.raises(AdapterError, match="LlamaRMSNorm"), folded(tiny_base, norm):
        pass
    assert same(weights(tiny_base), before)


def test_more_than_factors_is_refused(tiny_base):
    one = LoraFactors(torch.ones(1, 64), torch.ones(64, 1))
    adapter = Adapter.from_factors({Q_PROJ: one}, extras={"lm_head.weight": torch.ones(268, 64)})
    with pytest.raises(AdapterError, match="modules_to_save"), folded(tiny_base, adapter):
        pass


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_a_merged_checkpoint_is_a_plain_one(tiny_bases, tmp_path, family):
    base = tiny_bases(family)
    adapter = random_adapter(base, [Q_PROJ, DOWN_PROJ])
    folder = save_merged_checkpoint(base, adapter, tmp_path / "merged")
    with folded(base, adapter):
        expected = logits(base)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.inference_mode():
        torch.testing.assert_close(model(IDS).logits, expected)
    assert AutoTokenizer.from_pretrained(folder)("in the").input_ids
    assert resolved(folder, tmp_path).kind == "folder"


def test_one_of_two_tied_weights_cannot_be_saved(tiny_bases, tmp_path):
    base = tiny_bases("gemma3")
    with pytest.raises(AdapterError, match="tied"):
        save_merged_checkpoint(base, random_adapter(base, ["lm_head"]), tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_a_checkpoint_that_does_not_load(tiny_base_folder, tmp_path):
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tiny_base_folder / name).read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(BaseModelError, match="cannot be loaded"):
        load_base(resolved(tmp_path, tmp_path))


def test_an_unreachable_hub_model(tmp_path):
    class Hub:
        model, revision = "langmerge-tests/there-is-no-such-model", "0" * 40

    with pytest.raises(BaseModelError, match=r"there-is-no-such-model.*check the id"):
        load_base(resolve_base(Hub(), tmp_path, tmp_path))


def test_a_tokenizer_of_another_model_is_refused(tiny_base_folder, tmp_path):
    folder = tmp_path / "base"
    folder.mkdir()
    for file in Path(tiny_base_folder).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"extra{index}" for index in range(9)])
    tokenizer.save_pretrained(folder)
    with pytest.raises(BaseModelError, match="embeds 269"):
        load_base(resolved(folder, tmp_path))
