import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from langmerge import gguf_conversion
from langmerge.base import resolve_base, weights_bytes
from langmerge.errors import BaseModelError, MissingExtraError
from langmerge.gguf_conversion import convert_gguf
from langmerge.model import load_base

gguf = pytest.importorskip("gguf")

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "model.layers": "blk",
}


def renamed(name):
    for ours, theirs in NAMES.items():
        name = name.replace(ours, theirs)
    return name


def write_gguf(path, model, tokenizer):
    """Write a Qwen2 model and its byte-level tokenizer as llama.cpp's converter does."""
    config = model.config
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    rows = model.get_input_embeddings().weight.shape[0]
    spare = [f"[spare{index}]" for index in range(rows - len(tokenizer))]
    writer.add_token_list(tokenizer.convert_ids_to_tokens(range(len(tokenizer))) + spare)
    special = set(tokenizer.all_special_ids)
    kinds = gguf.TokenType
    writer.add_token_types(
        [kinds.CONTROL if token in special else kinds.NORMAL for token in range(rows)]
    )
    writer.add_token_merges(["Ġ t", "h e", "Ġt he", "i n", "e r", "Ġ g", "o d"])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    for name, tensor in model.state_dict().items():
        writer.add_tensor(renamed(name), tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def file(tiny_bases, tmp_path_factory):
    base = tiny_bases("qwen2")
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(path, base.model, base.tokenizer)
    return path


def test_the_conversion_is_the_model(file, tiny_bases, tmp_path, capfd):
    folder = convert_gguf(file, tmp_path / "converted")
    assert capfd.readouterr() == ("", "")
    base, ids = tiny_bases("qwen2"), torch.tensor([[1, 50, 60, 70]])
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.inference_mode():
        torch.testing.assert_close(model(ids).logits, base.model(ids).logits)
    tokens = AutoTokenizer.from_pretrained(folder).tokenize("in the good")
    assert tokens == base.tokenizer.tokenize("in the good")
    assert not hasattr(model.config, "quantization_config")
    assert [path.name for path in tmp_path.iterdir()] == ["converted"]


def test_its_weights_take_the_same_before_and_after(file, tmp_path):
    base = resolve_base(str(file), tmp_path, tmp_path / "cache")
    before = weights_bytes(base, 2)
    model = load_base(base).model
    assert before == 2 * sum(weight.numel() for weight in model.parameters())
    assert base.checkpoint.is_dir()
    assert weights_bytes(base, 2) == before


def test_it_equals_transformers_own(file, tmp_path):
    folder = convert_gguf(file, tmp_path / "converted")
    source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    converted = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, converted[name])
    vocabulary = AutoTokenizer.from_pretrained(**source).get_vocab()
    assert AutoTokenizer.from_pretrained(folder).get_vocab() == vocabulary


def test_a_base_is_converted_on_first_use_only(file, tmp_path, monkeypatch):
    resolved = resolve_base(str(file), tmp_path, tmp_path / "cache")
    assert not resolved.checkpoint.exists()
    load_base(resolved, "cpu")
    monkeypatch.setattr(gguf_conversion, "_convert", lambda *_: pytest.fail("converted again"))
    assert load_base(resolved, "cpu").dtype == torch.float32


def test_a_failed_conversion_leaves_nothing(tmp_path):
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(40))
    with pytest.raises(BaseModelError, match="cannot read this GGUF file"):
        convert_gguf(tmp_path / "broken.gguf", tmp_path / "cache" / "converted")
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_the_package(file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingExtraError, match=r"langmerge\[gguf\]"):
        convert_gguf(file, tmp_path / "converted")
